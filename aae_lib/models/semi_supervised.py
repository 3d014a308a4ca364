"""The semi-supervised adversarial autoencoder (Makhzani et al., section 5; Figure 8, Table 2)."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.data import CLASSES, Images
from aae_lib.losses import fool_loss, half_squared_error, real_fake_loss
from aae_lib.models.model import Model
from aae_lib.networks import PIXELS, GaussianNoise, multilayer_perceptron
from aae_lib.priors import Categorical, Gaussian, LabelAndStyle


class SemiSupervisedAutoencoder(Model):
    """An autoencoder whose code is a label y and a style z, with an adversary for each of the two.

    The first adversary pushes the aggregated q(y) to the categorical distribution: each image gets one label, all
    labels are used alike, and y has no room for style. The second pushes q(z) to a Gaussian. A few labeled images say
    which label is which. A code is the label's probabilities, then the style: ``[classes + style_dimensions]``.

    Args:
        classes: number of labels.
        style_dimensions: length of z (the paper: 10, A.2.1).
        hidden, reconstruction_loss: as for :class:`~aae_lib.models.autoencoder.Autoencoder`. q(y|x) and q(z|x) share
            the encoder's hidden layers; both discriminators have hidden layers of the same sizes.
        input_noise: standard deviation of the noise on the images that the encoder sees while training; the paper's
            only regularizer (A.2.1).
    """

    moves = {
        "reconstruction": ("encoder", "decoder"),
        "discriminator": ("label_discriminator", "style_discriminator"),
        "generator": ("encoder",),
        "classification": ("encoder",),
    }

    def __init__(
        self,
        classes: int = CLASSES,
        style_dimensions: int = 10,
        hidden: tuple[int, ...] = (1000, 1000),
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor] = half_squared_error,
        input_noise: float = 0.3,
    ):
        super().__init__()
        self.reconstruction_loss, self.input_noise = reconstruction_loss, input_noise
        self.prior = LabelAndStyle(Categorical(classes), Gaussian(style_dimensions))
        encoder = multilayer_perceptron(PIXELS, classes + style_dimensions, hidden)
        self.encoder = nn.Sequential(GaussianNoise(input_noise), *encoder)
        self.decoder = multilayer_perceptron(classes + style_dimensions, PIXELS, hidden)
        self.label_discriminator = multilayer_perceptron(classes, 1, hidden)
        self.style_discriminator = multilayer_perceptron(style_dimensions, 1, hidden)

    def updates(self, unlabeled: Images, labeled: Images) -> Iterator[tuple[str, Tensor]]:
        images = unlabeled.images
        yield "reconstruction", self.reconstruction_loss(self.decoder(self.encode(images)), images)

        label, style = self.prior.split(self.encode(images))  # the encoder has just moved
        real_label, real_style = self.prior.split(self.prior.sample(len(images), images.device))
        yield (
            "discriminator",
            real_fake_loss(self.label_discriminator, real=real_label, fake=label.detach())
            + real_fake_loss(self.style_discriminator, real=real_style, fake=style.detach()),
        )
        yield "generator", fool_loss(self.label_discriminator, label) + fool_loss(self.style_discriminator, style)

        # On logits, of the same layer that makes y: cross_entropy has a softmax of its own.
        yield "classification", F.cross_entropy(self.classify(labeled.images), labeled.labels)

    def classify(self, images: Tensor) -> Tensor:
        """Logits of q(y|x): ``[n, 784] -> [n, classes]``."""
        return self.prior.split(self.encoder(images).float())[0]

    def encode(self, images: Tensor) -> Tensor:
        logits, style = self.prior.split(self.encoder(images).float())
        return torch.cat([logits.softmax(1), style], dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        return self.decoder(codes).float().sigmoid()
