"""The variational autoencoder (Kingma & Welling 2014), which the paper compares with."""

import math
from collections.abc import Iterator

from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.errors import PriorError
from aae_lib.losses import gaussian_kl, half_squared_error
from aae_lib.models.autoencoder import Autoencoder, ReconstructionLoss
from aae_lib.networks import gaussian_sample
from aae_lib.priors import Gaussian, Prior


class VariationalAutoencoder(Autoencoder):
    """An autoencoder with a Gaussian encoder q(z|x) = N(mean, variance) and a KL term that pulls q(z|x) to the prior.

    Args:
        prior: has a ``log_prob``, finite everywhere, or a ``PriorError`` is raised. The KL term of a ``Gaussian``
            is computed, that of any other prior is estimated by :func:`sampled_kl`.
        encoder: ``[n, pixels] -> [n, 2 d]``, mean and log-variance.
        kl_weight: the factor of the KL term. 1 is the evidence lower bound of a decoder with unit-variance Gaussian
            pixels (with the half squared error); smaller weights trade the match with the prior for reconstruction.
    """

    moves = {"evidence_lower_bound": ("encoder", "decoder")}

    def __init__(
        self, prior: Prior, encoder: nn.Module, decoder: nn.Module,
        kl_weight: float = 1.0, reconstruction_loss: ReconstructionLoss = half_squared_error,
    ):  # fmt: skip
        if not hasattr(prior, "log_prob"):
            raise PriorError(f"the bound needs the prior's density, but {type(prior).__name__} has no log_prob")
        super().__init__(encoder, decoder, reconstruction_loss)
        self.prior, self.kl_weight = prior, kl_weight

    def posterior(self, images: Tensor) -> tuple[Tensor, ...]:
        """Mean and log-variance of q(z|x), each ``[n, d]``, in float32."""
        return self.encoder(images).float().chunk(2, dim=1)

    def encode(self, images: Tensor) -> Tensor:
        return gaussian_sample(*self.posterior(images))

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        mean, log_variance = self.posterior(batch.images)
        code = gaussian_sample(mean, log_variance)
        reconstruction = self.reconstruction_loss(self.decoder(code), batch.images)
        if isinstance(self.prior, Gaussian):
            kl = gaussian_kl(mean, log_variance, self.prior.standard_deviation)
        else:
            kl = sampled_kl(code, mean, log_variance, self.prior)
        yield "evidence_lower_bound", reconstruction + self.kl_weight * kl


def sampled_kl(code: Tensor, mean: Tensor, log_variance: Tensor, prior: Prior) -> Tensor:
    """KL(q(z|x) || p(z)) in nats, estimated by log q(z|x) - log p(z) at one code of each image, averaged over images.

    Its mean over codes is exact. The code, drawn from q(z|x) by reparameterization, its mean and its log-variance are
    ``[n, d]``.
    """
    squared = (code - mean).square() / log_variance.exp()
    log_posterior = -0.5 * (squared + log_variance + math.log(2 * math.pi)).sum(1)
    return (log_posterior - prior.log_prob(code)).mean()
