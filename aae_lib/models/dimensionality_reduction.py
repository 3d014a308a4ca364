"""Dimensionality reduction with the adversarial autoencoder (Makhzani et al., section 7; Figures 10 and 11)."""

from collections.abc import Callable, Iterator

import torch.nn.functional as F
from torch import Tensor

from aae_lib.data import Images
from aae_lib.losses import half_squared_error
from aae_lib.models.label_and_style import LabelAndStyleAutoencoder
from aae_lib.networks import ClusterHeads, attenuated
from aae_lib.priors import AroundHeads, Categorical, Gaussian


class ReducingAutoencoder(LabelAndStyleAutoencoder):
    """A map of the images in few dimensions: the code of an image is the head of its cluster plus a style.

    The encoder makes a label y and a style z of an image, as for clustering, but the decoder gets only ``y W + z``, of
    as many dimensions as the style. Row k of W is the *head* of cluster k. The heads are learned: the reconstruction
    moves them, and an update of their own pushes those apart that are closer than ``distance``.

    Args:
        clusters: number of heads, at least 2.
        dimensions: of a code, and of its style.
        distance: between two heads, below which the cost sets in (the paper gives no number).
        label_share: how much of the reconstruction's gradient reaches the label. The heads lie many units from the
            origin, so the full gradient moves the label that much more than the style, and mixes the digits up.
        hidden, reconstruction_loss, input_noise, input_dropout, batch_norm, label_weight: as for
            :class:`~aae_lib.models.clustering.ClusteringAutoencoder`.

    Raises:
        ValueError: if a code has a single dimension.
    """

    moves = LabelAndStyleAutoencoder.moves | {"reconstruction": ("encoder", "heads", "decoder"), "heads": ("heads",)}

    def __init__(
        self,
        clusters: int = 20,
        dimensions: int = 2,
        distance: float = 6.0,
        label_share: float = 0.1,
        hidden: tuple[int, ...] = (1000, 1000),
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor] = half_squared_error,
        input_noise: float = 0.0,
        input_dropout: float = 0.2,
        batch_norm: bool = True,
        label_weight: float = 1.0,
    ):
        if dimensions < 2:
            raise ValueError(
                f"a map needs at least 2 dimensions, not {dimensions}: on a line heads cannot pass each other"
            )
        label, style = Categorical(clusters), Gaussian(dimensions)
        heads = ClusterHeads(clusters, dimensions)
        prior = AroundHeads(label, style, heads.positions)
        super().__init__(prior, hidden, reconstruction_loss, input_noise, input_dropout, batch_norm, label_weight)
        self.heads, self.distance, self.label_share = heads, distance, label_share

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        yield from super().updates(batch)
        yield "heads", self.heads.crowding(self.distance)

    def encode(self, images: Tensor) -> Tensor:
        logits, style = self.logits_and_style(images)
        label = logits.softmax(1)
        return self.heads(attenuated(label, self.label_share) if self.training else label) + style


class SemiSupervisedReducingAutoencoder(ReducingAutoencoder):
    """The same with a few labels, which say that cluster k is the digit k. Arguments as above."""

    moves = ReducingAutoencoder.moves | {"classification": ("encoder",)}

    def updates(self, unlabeled: Images, labeled: Images) -> Iterator[tuple[str, Tensor]]:
        yield from super().updates(unlabeled)
        yield "classification", F.cross_entropy(self.classify(labeled.images), labeled.labels)

    def classify(self, images: Tensor) -> Tensor:
        """Logits of q(y|x): ``[n, 784] -> [n, clusters]``."""
        return self.logits_and_style(images)[0]
