"""The adversarial autoencoder (Makhzani et al., sections 1 and 2; Figure 1)."""

from collections.abc import Iterator

from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.losses import fool_loss, half_squared_error, real_fake_loss
from aae_lib.models.autoencoder import Autoencoder, ReconstructionLoss
from aae_lib.networks import Attenuated
from aae_lib.priors import Prior


class AdversarialAutoencoder(Autoencoder):
    """An autoencoder whose codes are pushed toward a prior by an adversary.

    The encoder is also the generator of a generative adversarial network in the space of codes: samples of the prior
    are *real* and codes of images are *fake*. Per minibatch the paper's reconstruction phase is the first update, its
    regularization phase the other two.

    The paper's three choices of q(z|x) (section 2) are three encoders: a perceptron is the deterministic z = f(x),
    :class:`~aae_lib.networks.GaussianEncoder` a Gaussian q(z|x), :class:`~aae_lib.networks.UniversalEncoder` the
    universal approximator z = f(x, eta) of equation 2.

    Args:
        prior: only its samples are used.
        encoder_share: the share of the reconstruction's gradient that reaches the encoder, in [0, 1] (the paper: 1);
            the decoder always learns from all of it. A prior with narrow parts needs a smaller share: with the full
            gradient, the two losses pull the codes to and fro, and many stay in the gaps.
    """

    moves = {"reconstruction": ("encoder", "decoder"), "discriminator": ("discriminator",), "generator": ("encoder",)}
    adversaries = ("discriminator",)

    def __init__(
        self, prior: Prior, encoder: nn.Module, decoder: nn.Module, discriminator: nn.Module,
        reconstruction_loss: ReconstructionLoss = half_squared_error, encoder_share: float = 1.0,
    ):  # fmt: skip
        decoder = decoder if encoder_share == 1 else Attenuated(decoder, encoder_share)
        super().__init__(encoder, decoder, reconstruction_loss)
        self.prior, self.discriminator = prior, discriminator

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        code = self.encoder(batch.images)
        yield "reconstruction", self.reconstruction_loss(self.decoder(code), batch.images)

        code = self.encoder(batch.images)  # the encoder has just moved
        real = self.prior.sample(len(code), code.device)
        yield "discriminator", real_fake_loss(self.discriminator, real=real, fake=code.detach())
        yield "generator", fool_loss(self.discriminator, code)
