"""The supervised adversarial autoencoder (Makhzani et al., section 4; Figures 6 and 7)."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from aae_lib.data import CLASSES, Images
from aae_lib.losses import fool_loss, half_squared_error, real_fake_loss
from aae_lib.models.model import Model
from aae_lib.networks import PIXELS, multilayer_perceptron
from aae_lib.priors import Categorical, Gaussian, LabelAndStyle


class SupervisedAutoencoder(Model):
    """An adversarial autoencoder whose decoder is told the label, so that the code need not carry it.

    The encoder makes a style z of an image; the decoder gets the one-hot label beside it. What the label says, z need
    not say again, and where z is short the reconstruction needs its room for the style. But nothing forbids z to tell
    the label, and the longer it is, the more of the label it carries. A code is the label, then the style:
    ``[classes + style_dimensions]``; ``encode`` gives the style alone, ``[n, style_dimensions]``.

    Args:
        style_dimensions: length of z (the paper: 15).
        classes: number of labels.
        hidden, reconstruction_loss: as for :class:`~aae_lib.models.autoencoder.Autoencoder`; the discriminator has the
            same hidden layers.
    """

    moves = {"reconstruction": ("encoder", "decoder"), "discriminator": ("discriminator",), "generator": ("encoder",)}

    def __init__(
        self,
        style_dimensions: int = 15,
        classes: int = CLASSES,
        hidden: tuple[int, ...] = (1000, 1000),
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor] = half_squared_error,
    ):
        super().__init__()
        self.reconstruction_loss = reconstruction_loss
        self.prior = LabelAndStyle(Categorical(classes), Gaussian(style_dimensions))
        self.encoder = multilayer_perceptron(PIXELS, style_dimensions, hidden)
        self.decoder = multilayer_perceptron(classes + style_dimensions, PIXELS, hidden)
        self.discriminator = multilayer_perceptron(style_dimensions, 1, hidden)

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        yield "reconstruction", self.reconstruction_loss(self.decoder(self.code_of(batch)), batch.images)

        style = self.encode(batch.images)  # the encoder has just moved
        real = self.prior.style.sample(len(style), style.device)
        yield "discriminator", real_fake_loss(self.discriminator, real=real, fake=style.detach())
        yield "generator", fool_loss(self.discriminator, style)

    def code_of(self, images: Images) -> Tensor:
        """The labels of ``images``, one-hot, and the styles: ``[n, classes + style_dimensions]``."""
        return torch.cat([self.prior.label.sample_of_class(images.labels), self.encode(images.images).float()], dim=1)
