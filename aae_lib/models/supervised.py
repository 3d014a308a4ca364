"""The supervised adversarial autoencoder (Makhzani et al., section 4; Figures 6 and 7)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from aae_lib.data import Images
from aae_lib.losses import fool_loss, real_fake_loss
from aae_lib.models.aae import AdversarialAutoencoder
from aae_lib.priors import LabelAndStyle


class SupervisedAutoencoder(AdversarialAutoencoder):
    """An adversarial autoencoder whose decoder is told the label, so that the code need not carry it.

    The encoder makes a style z of an image; the decoder gets the one-hot label beside it. Where z is short, the
    reconstruction needs its room for the style. Nothing forbids z to tell the label, and the longer z is, the more of
    the label it carries. A code is the label, then the style; ``encode`` gives the style alone.

    Args:
        prior: of label and style.
        encoder: ``[n, pixels] -> [n, d]``, the style (the paper: d = 15).
        decoder: ``[n, classes + d] -> [n, pixels]``.
        discriminator: of styles.
    """

    prior: LabelAndStyle

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        yield "reconstruction", self.reconstruction_loss(self.decoder(self.code_of(batch)), batch.images)

        style = self.encode(batch.images)  # the encoder has just moved
        real = self.prior.style.sample(len(style), style.device)
        yield "discriminator", real_fake_loss(self.discriminator, real=real, fake=style.detach())
        yield "generator", fool_loss(self.discriminator, style)

    def code_of(self, images: Images) -> Tensor:
        """The labels of ``images``, one-hot, and their styles: ``[n, classes + d]``.

        Raises:
            PriorError: the labels are not integers from 0 to ``classes`` - 1.
        """
        return torch.cat([self.prior.label.sample_of_class(images.labels), self.encode(images.images).float()], dim=1)
