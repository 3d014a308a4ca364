"""What the models of sections 5 to 7 share: a code of label and style, and an adversary for each (Makhzani et al.)."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.losses import fool_loss, real_fake_loss
from aae_lib.models.model import Model
from aae_lib.networks import PIXELS, Dropout, disturbed, multilayer_perceptron
from aae_lib.priors import AroundHeads, LabelAndStyle


class LabelAndStyleAutoencoder(Model):
    """An autoencoder whose code is made of a label y and a style z, with an adversary for each of the two.

    The first adversary pushes the aggregated q(y) to the categorical distribution: each image gets one label, all
    labels are used alike, and y has no room for style. The second pushes q(z) to a Gaussian. Nobody says what a label
    means; subclasses may. A code is the label's probabilities, then the style.

    Args:
        prior: of the codes.
        hidden: units of the hidden layers of all networks. q(y|x) and q(z|x) share those of the encoder.
        reconstruction_loss: as for :class:`~aae_lib.models.autoencoder.Autoencoder`.
        input_noise: standard deviation of the noise on the images that the encoder sees while training.
        input_dropout: the share of pixels that the encoder does not see while training.
        batch_norm: whether every layer of the encoder, that of the code too, normalizes over the minibatch.
        label_weight: of the label's adversary beside the style's, in both its updates.
        input_motion: how the images that the encoder sees while training are moved, as the arguments of
            :class:`~aae_lib.networks.RandomAffine`; the decoder reconstructs them where they are.
    """

    moves = {
        "reconstruction": ("encoder", "decoder"),
        "discriminator": ("label_discriminator", "style_discriminator"),
        "generator": ("encoder",),
    }
    prior: LabelAndStyle | AroundHeads

    def __init__(
        self,
        prior: LabelAndStyle | AroundHeads,
        hidden: tuple[int, ...],
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor],
        input_noise: float = 0.0,
        input_dropout: float = 0.0,
        batch_norm: bool = False,
        label_weight: float = 1.0,
        input_motion: tuple[float, ...] = (),
    ):
        super().__init__()
        self.prior, self.reconstruction_loss = prior, reconstruction_loss
        self.input_noise, self.input_dropout, self.batch_norm = input_noise, input_dropout, batch_norm
        self.label_weight, self.input_motion = label_weight, input_motion
        classes, style_dimensions = prior.classes, prior.style.dimensions
        encoder = multilayer_perceptron(PIXELS, classes + style_dimensions, hidden, batch_norm=batch_norm)
        dropout = [Dropout(input_dropout)] if input_dropout else []
        self.encoder = disturbed(nn.Sequential(*dropout, *encoder), input_noise, input_motion)
        self.decoder = multilayer_perceptron(prior.dimensions, PIXELS, hidden)
        self.label_discriminator = multilayer_perceptron(classes, 1, hidden)
        self.style_discriminator = multilayer_perceptron(style_dimensions, 1, hidden)

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
        """Logits of q(y|x), ``[n, classes]``, and the style, ``[n, style_dimensions]``, of images ``[n, 784]``."""
        output = self.encoder(images).float()
        return output[:, : self.prior.classes], output[:, self.prior.classes :]

    def encode(self, images: Tensor) -> Tensor:
        logits, style = self.logits_and_style(images)
        return torch.cat([logits.softmax(1), style], dim=1)
