"""The adversarial autoencoder (Makhzani et al., sections 1 and 2; Figure 1)."""

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.losses import fool_loss, half_squared_error, real_fake_loss
from aae_lib.models.autoencoder import Autoencoder
from aae_lib.networks import Attenuated, multilayer_perceptron
from aae_lib.priors import Prior


class AdversarialAutoencoder(Autoencoder):
    """An autoencoder whose codes an adversary pushes toward a prior, with the deterministic encoder z = f(x).

    The encoder is at once the autoencoder's and the generator of a generative adversarial network that lives in the
    space of codes: there, samples of the prior are *real* and codes of images are *fake*. Per minibatch the paper's
    reconstruction phase is the first update, its regularization phase the other two.

    Args:
        prior: what the codes should be distributed like; only its samples are used.
        hidden, reconstruction_loss: as for :class:`~aae_lib.models.autoencoder.Autoencoder`; the discriminator has
            the same hidden layers.
        discriminator_deviation: of the discriminator's initial weights, as ``deviation`` of
            :func:`~aae_lib.networks.multilayer_perceptron`.
        encoder_share: how much of the reconstruction's gradient reaches the encoder; the decoder always learns from
            all of it. Below 1 (the paper's), the encoder listens more to the adversary. A prior of narrow parts needs
            that: with the full gradient the two pull the codes to and fro, and many stay in the gaps.
        networks: as for :class:`~aae_lib.models.autoencoder.Autoencoder`; the discriminator of codes stays a perceptron
            with the layers ``hidden``.
    """

    moves = {"reconstruction": ("encoder", "decoder"), "discriminator": ("discriminator",), "generator": ("encoder",)}

    def __init__(
        self,
        prior: Prior,
        hidden: tuple[int, ...] = (1000, 1000),
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor] = half_squared_error,
        discriminator_deviation: float | None = 0.01,
        encoder_share: float = 1.0,
        networks: tuple[nn.Sequential, nn.Sequential] | None = None,
    ):
        super().__init__(prior.dimensions, hidden, reconstruction_loss, networks=networks)
        self.prior, self.discriminator_deviation, self.encoder_share = prior, discriminator_deviation, encoder_share
        if encoder_share != 1:
            self.decoder = Attenuated(self.decoder, encoder_share)
        self.discriminator = multilayer_perceptron(prior.dimensions, 1, hidden, discriminator_deviation)

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        code = self.encoder(batch.images)
        yield "reconstruction", self.reconstruction_loss(self.decoder(code), batch.images)

        code = self.encoder(batch.images)  # the encoder has just moved
        real = self.prior.sample(len(code), code.device)
        yield "discriminator", real_fake_loss(self.discriminator, real=real, fake=code.detach())
        yield "generator", fool_loss(self.discriminator, code)
