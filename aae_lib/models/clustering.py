"""The clustering adversarial autoencoder (Makhzani et al., section 6; Figure 9, Table 3)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.losses import fool_loss, half_squared_error, real_fake_loss
from aae_lib.models.autoencoder import Autoencoder, ReconstructionLoss
from aae_lib.models.model import classification_loss
from aae_lib.priors import AroundHeads, LabelAndStyle


class ClusteringAutoencoder(Autoencoder):
    """An autoencoder whose code is made of a label y and a style z, with an adversary for each of the two.

    The first adversary pushes the aggregated q(y) to the categorical distribution: each image gets one label, all
    labels are used alike, and y has no room for style. The second pushes q(z) to a Gaussian. Nobody says what a label
    means; that clusters of images are kinds of images is a hope. A code is the label's probabilities, then the style.

    Args:
        prior: of label and style. The paper has 16 and 30 labels, and a 5-D style (A.3).
        encoder: ``[n, pixels] -> [n, classes + d]``: logits of q(y|x), then the style. Batch-norm on this output
            spreads the labels from the start; without it most clusters are never in use.
        decoder: ``[n, classes + d] -> [n, pixels]``.
        label_weight: of the label's adversary beside the style's, in both its updates (the paper: 1). With less weight
            labels stay soft for longer, so images can still move to a better cluster.
        augmentation: ``[n, pixels] -> [n, pixels]``, such as :class:`~aae_lib.networks.RandomAffine` (ours). While
            training, the label is then read from an augmented copy of an image and the style from the image itself:
            labels become invariant, and reconstructions stay sharp.
    """

    moves = {
        "reconstruction": ("encoder", "decoder"),
        "discriminator": ("label_discriminator", "style_discriminator"),
        "generator": ("encoder",),
    }
    adversaries = ("label_discriminator", "style_discriminator")
    prior: LabelAndStyle | AroundHeads

    def __init__(
        self, prior: LabelAndStyle | AroundHeads, encoder: nn.Module, decoder: nn.Module,
        label_discriminator: nn.Module, style_discriminator: nn.Module,
        reconstruction_loss: ReconstructionLoss = half_squared_error,
        label_weight: float = 1.0, augmentation: nn.Module | None = None,
    ):  # fmt: skip
        super().__init__(encoder, decoder, reconstruction_loss)
        self.prior, self.label_weight, self.augmentation = prior, label_weight, augmentation
        self.label_discriminator, self.style_discriminator = label_discriminator, style_discriminator

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        images = batch.images
        yield "reconstruction", self.reconstruction_loss(self.decoder(self.encode(images)), images)

        logits, style = self.logits_and_style(images)  # the encoder has just moved
        label = logits.softmax(1)
        real_label = self.prior.label.sample(len(images), images.device)
        real_style = self.prior.style.sample(len(images), images.device)
        yield (
            "discriminator",
            self.label_weight * real_fake_loss(self.label_discriminator, real=real_label, fake=label.detach())
            + real_fake_loss(self.style_discriminator, real=real_style, fake=style.detach()),
        )
        yield (
            "generator",
            self.label_weight * fool_loss(self.label_discriminator, label) + fool_loss(self.style_discriminator, style),
        )

    def logits_and_style(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of q(y|x), ``[n, classes]``, and the style, ``[n, d]``, of images ``[n, pixels]``, in float32.

        While training with an augmentation the logits are those of the augmented images.
        """
        if self.augmentation is None or not self.training:
            return self._split(self.encoder(images))
        both = self.encoder(torch.cat([self.augmentation(images), images]))  # one pass, and one set of statistics
        augmented, unchanged = both.split(len(images))
        return self._split(augmented)[0], self._split(unchanged)[1]

    def encode(self, images: Tensor) -> Tensor:
        logits, style = self.logits_and_style(images)
        return torch.cat([logits.softmax(1), style], dim=1)

    def _split(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's output ``[n, classes + d]`` as logits and style."""
        return output[:, : self.prior.classes].float(), output[:, self.prior.classes :].float()


class GuidedClusteringAutoencoder(ClusteringAutoencoder):
    """The same, guided by the clusters of another model (ours).

    The other model has more clusters than there are kinds of images, so some of its clusters are fragments. Images of
    which it is certain, ``guiding``, say what the clusters of this model are: their labels are clusters, from 0 to
    ``classes`` - 1, and no classes. The adversaries and the reconstruction sort the others. Arguments as for
    :class:`ClusteringAutoencoder`.
    """

    moves = ClusteringAutoencoder.moves | {"classification": ("encoder",)}

    def updates(self, unlabeled: Images, guiding: Images) -> Iterator[tuple[str, Tensor]]:
        yield from super().updates(unlabeled)
        yield "classification", classification_loss(self.logits_and_style(guiding.images)[0], guiding.labels)
