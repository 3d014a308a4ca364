"""The adversarial autoencoder with a stochastic encoder (Makhzani et al., section 2).

The paper names three choices of q(z|x): the deterministic z = f(x) of
:class:`~aae_lib.models.aae.AdversarialAutoencoder`, and the two here. They are encoders that draw a new sample at each
call, and gradients flow through the samples, so the updates stay those of the adversarial autoencoder.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from aae_lib.losses import half_squared_error
from aae_lib.models.aae import AdversarialAutoencoder
from aae_lib.networks import PIXELS, gaussian_sample, multilayer_perceptron
from aae_lib.priors import Prior


class GaussianEncoder(nn.Module):
    """Draws z ~ N(mean(x), variance(x)), independent in each dimension: images ``[n, 784]`` -> codes ``[n, d]``."""

    def __init__(self, dimensions: int, hidden: tuple[int, ...] = (1000, 1000)):
        super().__init__()
        self.network = multilayer_perceptron(PIXELS, 2 * dimensions, hidden)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each ``[n, d]`` in float32."""
        mean, log_variance = self.network(images).float().chunk(2, dim=1)
        return mean, log_variance

    def forward(self, images: Tensor) -> Tensor:
        mean, log_variance = self.posterior(images)
        return gaussian_sample(mean, log_variance)


class UniversalEncoder(nn.Module):
    """Computes z = f(x, eta) from an image and noise eta ~ N(0, I): images ``[n, 784]`` -> codes ``[n, d]``.

    Being free to turn its noise into anything, f can approximate any q(z|x).
    """

    def __init__(self, dimensions: int, noise_dimensions: int, hidden: tuple[int, ...] = (1000, 1000)):
        super().__init__()
        self.noise_dimensions = noise_dimensions
        self.network = multilayer_perceptron(PIXELS + noise_dimensions, dimensions, hidden)

    def forward(self, images: Tensor) -> Tensor:
        noise = torch.randn(len(images), self.noise_dimensions, device=images.device)
        return self.network(torch.cat([images, noise], dim=1))


class GaussianPosteriorAutoencoder(AdversarialAutoencoder):
    """The adversarial autoencoder whose q(z|x) is a Gaussian, as in a variational autoencoder.

    Nothing but the adversary keeps the variance up: there is no KL term.

    Args:
        prior, hidden, reconstruction_loss: as for :class:`~aae_lib.models.aae.AdversarialAutoencoder`.
    """

    def __init__(
        self,
        prior: Prior,
        hidden: tuple[int, ...] = (1000, 1000),
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor] = half_squared_error,
    ):
        super().__init__(prior, hidden, reconstruction_loss)
        self.encoder = GaussianEncoder(prior.dimensions, hidden)


class UniversalPosteriorAutoencoder(AdversarialAutoencoder):
    """The adversarial autoencoder whose q(z|x) is the universal approximator z = f(x, eta) (equation 2).

    Args:
        noise_dimensions: length of eta, at least 1. The paper does not give it.
        prior, hidden, reconstruction_loss: as for :class:`~aae_lib.models.aae.AdversarialAutoencoder`.

    Raises:
        ValueError: for an encoder without noise.
    """

    def __init__(
        self,
        prior: Prior,
        noise_dimensions: int = 10,
        hidden: tuple[int, ...] = (1000, 1000),
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor] = half_squared_error,
    ):
        if noise_dimensions < 1:
            raise ValueError(f"the universal approximator needs noise_dimensions >= 1, not {noise_dimensions}")
        super().__init__(prior, hidden, reconstruction_loss)
        self.encoder = UniversalEncoder(prior.dimensions, noise_dimensions, hidden)
