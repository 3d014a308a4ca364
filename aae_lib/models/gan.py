"""The generative adversarial network (Goodfellow et al. 2014), with DCGAN's networks (Radford et al. 2016)."""

from collections.abc import Iterator

from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.losses import fool_loss, real_fake_loss
from aae_lib.models.model import Model
from aae_lib.priors import Prior


class GenerativeAdversarialNetwork(Model):
    """A generator of images and a discriminator of images. There is no encoder: a given image has no code.

    Args:
        decoder: the generator.
        discriminator: of images. With batch-norm its output has no meaning in evaluation.
    """

    moves = {"discriminator": ("discriminator",), "generator": ("decoder",)}
    adversaries = ("discriminator",)

    def __init__(self, prior: Prior, decoder: nn.Module, discriminator: nn.Module):
        super().__init__()
        self.prior, self.decoder, self.discriminator = prior, decoder, discriminator

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        generated = self.decode(self.prior.sample(len(batch), batch.images.device))
        yield "discriminator", real_fake_loss(self.discriminator, real=batch.images, fake=generated.detach())
        yield "generator", fool_loss(self.discriminator, generated)
