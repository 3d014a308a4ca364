"""What a prior is, and the check of one that somebody wrote."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from aae_lib.errors import PriorError
from aae_lib.seeding import seeded


class Prior(ABC):
    """A distribution over codes of ``dimensions`` numbers. Subclasses implement :meth:`sample`."""

    dimensions: int

    @abstractmethod
    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        """Draw ``count`` codes ``[count, dimensions]``, float32, from torch's global random-number generator."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def check_prior(prior: Prior) -> None:
    """Draw 1,000 samples from ``prior`` and refuse what cannot be a prior.

    Raises:
        PriorError: naming what ``sample`` returned and what it should return.
    """
    kind = type(prior).__name__
    with seeded(0):
        samples = prior.sample(1000, "cpu")
    expected = (1000, prior.dimensions)
    if not isinstance(samples, Tensor) or tuple(samples.shape) != expected or samples.dtype != torch.float32:
        found = f"{tuple(samples.shape)} of {samples.dtype}" if isinstance(samples, Tensor) else type(samples).__name__
        raise PriorError(f"{kind}.sample(1000) must return a float32 tensor of shape {expected}, but returned {found}")
    if not samples.isfinite().all():
        raise PriorError(f"{kind}.sample(1000) must be finite, but holds NaN or infinite values")
    (again, state), (others, of_others) = (_drawn(prior, seed) for seed in (0, 1))
    if not torch.equal(again, samples):
        raise PriorError(
            f"{kind}.sample is not reproducible: the same seed gave different samples. Draw with torch's global "
            "generator, for instance with torch.randn"
        )
    dimensions = getattr(prior, "style", prior).dimensions  # one of many classes may be missing among the labels
    variance = samples[:, prior.dimensions - dimensions :].var(0)
    if not (variance > 0).all():
        raise PriorError(f"{kind}.sample(1000) is constant in dimension {int(variance.argmin())}: leave it out")
    with seeded(0):
        few = prior.sample(7, "cpu")
    if tuple(few.shape) != (7, prior.dimensions):
        found = tuple(few.shape)
        raise PriorError(f"{kind}.sample(7) must have shape {(7, prior.dimensions)}, but has {found}: use `count`")
    if torch.equal(others, samples) or torch.equal(of_others, state):
        raise PriorError(
            f"{kind}.sample sets torch's seed or ignores it: another seed gave the same samples, or the same random "
            "numbers after them. Draw with torch's global generator, and leave its seed alone"
        )


def _drawn(prior: Prior, seed: int) -> tuple[Tensor, Tensor]:
    """Samples from a seed, and the random state after them."""
    with seeded(seed):
        return prior.sample(1000, "cpu"), torch.get_rng_state()
