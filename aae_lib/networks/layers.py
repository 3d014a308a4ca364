"""Encoders that sample, and layers that several models share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from aae_lib.errors import ShapeError


def gaussian_sample(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A sample of N(mean, exp(log_variance)), ``[n, d]``, by reparameterization (Kingma & Welling 2014, 2.4)."""
    return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)


class GaussianEncoder(nn.Module):
    """Draws z ~ N(mean(x), variance(x)), ``[n, pixels] -> [n, d]``, in evaluation too (AAE, section 2).

    Args:
        network: ``[n, pixels] -> [n, 2 d]``, mean and log-variance.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def posterior(self, images: Tensor) -> tuple[Tensor, ...]:
        """Mean and log-variance of q(z|x), each ``[n, d]`` in float32."""
        return self.network(images).float().chunk(2, dim=1)

    def forward(self, images: Tensor) -> Tensor:
        return gaussian_sample(*self.posterior(images))


class UniversalEncoder(nn.Module):
    """Computes z = f(x, eta), with new noise eta ~ N(0, I) at each call, in evaluation too (AAE, equation 2).

    Args:
        network: f, ``[n, pixels + noise_dimensions] -> [n, d]``.
        noise_dimensions: length of eta, at least 1, or a ``ShapeError`` is raised. The paper does not give it.
    """

    def __init__(self, network: nn.Module, noise_dimensions: int):
        super().__init__()
        if noise_dimensions < 1:
            raise ShapeError(f"UniversalEncoder needs noise_dimensions >= 1, not {noise_dimensions}")
        self.network, self.noise_dimensions = network, noise_dimensions

    def forward(self, images: Tensor) -> Tensor:
        noise = torch.randn(len(images), self.noise_dimensions, device=images.device)
        return self.network(torch.cat([images, noise], dim=1))


class OntoSphere(nn.Module):
    """Divides each code ``[n, d]`` by its length: a point on the unit sphere, in float32 (AGE, section 3)."""

    def forward(self, codes: Tensor) -> Tensor:
        return F.normalize(codes.float(), dim=1)


def attenuated(values: Tensor, share: float) -> Tensor:
    """The same values, through which only a share of the gradient flows back."""
    return values.detach() + share * (values - values.detach())


class Attenuated(nn.Sequential):
    """A network that learns from the whole gradient, but lets only a share of it flow back to its input."""

    def __init__(self, network: nn.Module, share: float):
        super().__init__(*(network if type(network) is nn.Sequential else [network]))  # layers keep their names
        self.share = share

    def forward(self, codes: Tensor) -> Tensor:
        # In evaluation the derivatives are those of the network.
        return super().forward(attenuated(codes, self.share) if self.training else codes)


class ClusterHeads(nn.Module):
    """The heads of clusters: a point for each label, mixed by the labels' probabilities (AAE, section 7).

    Probabilities ``[n, clusters]`` -> codes ``[n, dimensions]``. Positions start as samples of N(0, I).
    """

    def __init__(self, clusters: int, dimensions: int):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(clusters, dimensions))

    def forward(self, label: Tensor) -> Tensor:
        # No matrix product, which autocast would compute in bfloat16: ten units out, its steps are 1/16.
        return (label[:, :, None] * self.positions).sum(1)

    def crowding(self, distance: float) -> Tensor:
        """How much closer than ``distance`` the heads are, summed over all pairs that are closer (AAE, section 7)."""
        return (distance - torch.pdist(self.positions.float())).relu().sum()


def has_batch_norm(network: nn.Module) -> bool:
    """Whether any layer of ``network`` normalizes over the batch."""
    return any(isinstance(layer, BatchNorm) for layer in network.modules())
