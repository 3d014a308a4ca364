"""Dimensionality reduction with the adversarial autoencoder (Makhzani et al., section 7; Figures 10 and 11)."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.errors import PriorError
from aae_lib.models.clustering import ClusteringAutoencoder, GuidedClusteringAutoencoder
from aae_lib.models.semi_supervised import SemiSupervisedAutoencoder
from aae_lib.networks import ClusterHeads, attenuated
from aae_lib.priors import AroundHeads, Categorical, Gaussian


class ReducingAutoencoder(ClusteringAutoencoder):
    """Codes of few dimensions: the code of an image is the head of its cluster plus a style.

    The encoder makes a label y and a style z of an image, as for clustering, but the decoder gets only ``y W + z``,
    which has as many dimensions as the style. Row k of W is the *head* of cluster k. The heads are learned: the
    reconstruction moves them, and an update of their own pushes apart those that are closer than ``distance``.

    Args:
        style: the prior of the style; its dimensions are those of a code, at least 2, or a ``PriorError`` is raised.
        heads: one head for each cluster, of as many dimensions.
        encoder: ``[n, pixels] -> [n, clusters + d]``: logits of q(y|x), then the style.
        distance: between two heads, below which they are pushed apart (the paper gives no number).
        label_share: the share of the reconstruction's gradient that reaches the label, in [0, 1]. Heads lie many units
            from the origin, so all of the gradient would move the label that much more than the style.
        settings: the other arguments of :class:`~aae_lib.models.clustering.ClusteringAutoencoder`.
    """

    moves = ClusteringAutoencoder.moves | {"reconstruction": ("encoder", "heads", "decoder"), "heads": ("heads",)}

    def __init__(
        self, style: Gaussian, heads: ClusterHeads, encoder: nn.Module, decoder: nn.Module,
        distance: float = 6.0, label_share: float = 0.1, **settings: Any,
    ):  # fmt: skip
        if style.dimensions < 2:
            raise PriorError("a code needs at least 2 dimensions, found 1: on a line heads cannot pass each other")
        prior = AroundHeads(Categorical(len(heads.positions)), style, heads.positions)
        super().__init__(prior, encoder, decoder, **settings)
        self.heads, self.distance, self.label_share = heads, distance, label_share

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        yield from super().updates(batch)
        yield "heads", self.heads.crowding(self.distance)

    def encode(self, images: Tensor) -> Tensor:
        logits, style = self.logits_and_style(images)
        label = logits.softmax(1)
        return self.heads(attenuated(label, self.label_share) if self.training else label) + style


class SemiSupervisedReducingAutoencoder(SemiSupervisedAutoencoder, ReducingAutoencoder):
    """The same with a few labeled images, which say that cluster k is class k."""

    moves = ReducingAutoencoder.moves | {"classification": ("encoder",)}


class FixedHeadsAutoencoder(SemiSupervisedReducingAutoencoder):
    """The same with heads that stay where they are: nothing moves them or pushes them apart (AAE, Figure 11d)."""

    moves = SemiSupervisedAutoencoder.moves

    def __init__(self, style: Gaussian, heads: ClusterHeads, encoder: nn.Module, decoder: nn.Module, **settings: Any):
        super().__init__(style, heads, encoder, decoder, **settings)
        heads.requires_grad_(False)

    def updates(self, unlabeled: Images, labeled: Images) -> Iterator[tuple[str, Tensor]]:
        for name, loss in super().updates(unlabeled, labeled):
            if name != "heads":
                yield name, loss


class GuidedReducingAutoencoder(GuidedClusteringAutoencoder, ReducingAutoencoder):
    """The same without labels, guided by the clusters of another model (ours)."""

    moves = ReducingAutoencoder.moves | {"classification": ("encoder",)}
