"""Priors p(z): the distributions that the codes of an adversarial autoencoder are pushed towards.

An adversarial autoencoder only ever *samples* its prior (AAE, sections 2 and 2.1), so a prior is any object with

* ``dimensions``: the length d of a code, and
* ``sample(count, device)``: a float tensor ``[count, d]`` drawn with torch's global random-number generator.

``log_prob(codes)`` is optional: a variational autoencoder needs it, and the pictures draw contours with it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class PriorError(ValueError):
    """A prior whose samples cannot train anything."""


class Prior(ABC):
    """A distribution over codes of ``dimensions`` numbers. Subclasses implement :meth:`sample`."""

    dimensions: int

    @abstractmethod
    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        """Draw ``count`` codes ``[count, dimensions]`` from torch's global random-number generator."""


class Gaussian(Prior):
    """The isotropic Gaussian N(0, s^2 I).

    Args:
        dimensions: length of a code, at least 1.
        standard_deviation: s > 0. The papers' values: 1 for style codes (AAE, appendix A.2.1), 5 for the 8-D
            code of the likelihood experiment (A.1).
    """

    def __init__(self, dimensions: int = 2, standard_deviation: float = 1.0):
        if dimensions < 1 or not standard_deviation > 0:
            raise PriorError(f"Gaussian needs dimensions >= 1 and standard_deviation > 0, not {dimensions} and "
                             f"{standard_deviation}")
        self.dimensions, self.standard_deviation = dimensions, standard_deviation

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return self.standard_deviation * torch.randn(count, self.dimensions, device=device)

    def log_prob(self, codes: Tensor) -> Tensor:
        """Log-density of each code: ``[n, dimensions]`` -> ``[n]``, in nats."""
        scaled = codes.square().sum(1) / self.standard_deviation**2
        return -0.5 * (scaled + self.dimensions * math.log(2 * math.pi * self.standard_deviation**2))


def check_prior(prior: Prior) -> float:
    """Draw 1,000 samples from ``prior``, refuse what cannot be a prior, and return its variance (mean over dimensions).

    Raises:
        PriorError: naming what ``sample`` returned and what it should return.
    """
    with seeded(0):
        samples = prior.sample(1000)
    expected = (1000, prior.dimensions)
    if not isinstance(samples, Tensor) or tuple(samples.shape) != expected or not samples.is_floating_point():
        found = f"{tuple(samples.shape)} of {samples.dtype}" if isinstance(samples, Tensor) else type(samples).__name__
        raise PriorError(f"{type(prior).__name__}.sample(1000) must return a float tensor of shape {expected}, "
                         f"but returned {found}")
    if not samples.isfinite().all():
        raise PriorError(f"{type(prior).__name__}.sample(1000) holds NaN or infinite values")
    variance = samples.var(0)
    if not (variance > 0).all():
        raise PriorError(f"{type(prior).__name__}.sample(1000) is constant in dimension {int(variance.argmin())}: "
                         "codes matched to it would carry nothing about the image")
    return float(variance.mean())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch's CPU random numbers are those of ``seed``; afterwards the caller's go on where they were."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach every GPU as well
        yield
