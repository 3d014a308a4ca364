"""Adversarially learned inference (Dumoulin et al. 2017; the same as BiGAN, Donahue et al. 2017)."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.losses import fool_loss, real_fake_loss
from aae_lib.models.model import Model
from aae_lib.networks import gaussian_sample
from aae_lib.priors import Prior


class AdversariallyLearnedInference(Model):
    """An encoder and a generator against a discriminator that sees images together with their codes.

    To the discriminator a pair (image, its code by the encoder) is real, and a pair (image generated from a code, that
    code) is fake. Where it cannot tell them apart, encoder and generator invert each other; no loss compares an image
    with its reconstruction.

    Args:
        encoder: ``[n, pixels] -> [n, 2 d]``, mean and log-variance of a Gaussian q(z|x).
        discriminator: ``[n, pixels + d] -> [n, 1]``, logits, such as :class:`~aae_lib.networks.JointDiscriminator`.
    """

    moves = {"discriminator": ("discriminator",), "generator": ("encoder", "decoder")}
    adversaries = ("discriminator",)

    def __init__(self, prior: Prior, encoder: nn.Module, decoder: nn.Module, discriminator: nn.Module):
        super().__init__()
        self.prior, self.encoder, self.decoder, self.discriminator = prior, encoder, decoder, discriminator

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        real = torch.cat([batch.images, self.encode(batch.images)], dim=1)
        z = self.prior.sample(len(batch), batch.images.device)
        fake = torch.cat([self.decode(z), z], dim=1)
        yield "discriminator", real_fake_loss(self.discriminator, real=real.detach(), fake=fake.detach())
        # Both kinds of pairs are made by networks that want to be taken for the other kind.
        fool_with_real = F.softplus(self.discriminator(real).float()).mean()
        yield "generator", fool_loss(self.discriminator, fake) + fool_with_real

    def encode(self, images: Tensor) -> Tensor:
        return gaussian_sample(*self.encoder(images).float().chunk(2, dim=1))
