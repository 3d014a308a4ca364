"""How well codes match the prior."""

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from aae_lib.errors import ShapeError
from aae_lib.priors import ClassConditionalPrior, Prior
from aae_lib.seeding import seeded

NEIGHBORS_OF_BALL = 5
COVERED_DIMENSIONS = 20  # in more dimensions all samples are about equally far from each other
PROJECTIONS = 200
TAIL = 0.01  # share of the prior's samples that counts as outside


def prior_samples(prior: Prior, count: int = 10_000, seed: int = 0) -> Tensor:
    """The prior samples ``[count, d]`` that codes are compared with, the same for the same seed."""
    with seeded(seed):
        return prior.sample(count, "cpu")


def prior_coverage(codes: Tensor, prior_samples: Tensor) -> float:
    """Share of prior samples that have a code close by, in [0, 1] (Naeem et al. 2020, equation 4).

    Close means: inside the ball around the prior sample that reaches to its 5th nearest other prior sample. The balls
    are small where the prior is dense, so gaps are seen there as well as in the tails. A set of codes of the same size
    that is drawn from the prior itself has a coverage of about 0.97. Codes that leave a tenth of the prior's mass
    empty lose about a tenth. Gaps narrower than the balls stay unseen: with 10,000 samples of a 2-D Gaussian, gaps at
    its center that are narrower than about 0.06 standard deviations.

    Args:
        codes, prior_samples: ``[n, d]`` and ``[m, d]``; 10,000 of each in all tables.
    """
    return float(covered(codes, prior_samples).double().mean())


def covered(codes: Tensor, prior_samples: Tensor) -> Tensor:
    """Whether each prior sample has a code inside its ball (see :func:`prior_coverage`): booleans ``[m]``."""
    real, fake = prior_samples.float().numpy(force=True), codes.float().numpy(force=True)
    # In 15 dimensions a tree is slower than a comparison of all pairs.
    search = {"algorithm": "kd_tree" if real.shape[1] <= 5 else "brute"}
    radii = NearestNeighbors(n_neighbors=NEIGHBORS_OF_BALL, **search).fit(real).kneighbors()[0][:, -1]
    nearest = NearestNeighbors(n_neighbors=1, **search).fit(fake).kneighbors(real)[0][:, 0]
    return torch.from_numpy(nearest <= radii)


def sliced_wasserstein(codes: Tensor, prior_samples: Tensor) -> float:
    """Sliced 2-Wasserstein distance, in units of the code: 0 for equal distributions (Bonneel et al. 2015).

    The root mean square, over 200 random directions, of the optimal-transport distance between the two sets'
    projections, which in one dimension pairs them in ascending order. Unlike coverage it sees codes that lie where the
    prior has no mass, and says how far off they are.

    Args:
        codes, prior_samples: ``[n, d]`` each.

    Raises:
        ShapeError: there are not as many of both.
    """
    if codes.shape != prior_samples.shape:
        found = f"{list(codes.shape)} and {list(prior_samples.shape)}"
        raise ShapeError(f"expected as many codes as prior samples, found {found}: leave some out")
    directions = np.random.RandomState(0).randn(codes.shape[1], PROJECTIONS)
    directions /= np.linalg.norm(directions, axis=0)
    ours, theirs = (np.sort(directions.T @ points.double().numpy(force=True).T) for points in (codes, prior_samples))
    return float(np.sqrt(((ours - theirs) ** 2).mean()))


def inside_prior(codes: Tensor, prior: Prior) -> float:
    """Share of codes at which the prior's density is above the 1 % quantile of its own samples, in [0, 1].

    Samples of the prior score 0.99. Codes in a gap between components, or far out, do not count as inside.

    Args:
        codes: ``[n, d]``.
        prior: has a ``log_prob``.
    """
    threshold = prior.log_prob(prior_samples(prior)).quantile(TAIL)
    return float((prior.log_prob(codes.float()) >= threshold).double().mean())


def class_shares(codes: Tensor, prior: ClassConditionalPrior) -> Tensor:
    """The share of codes ``[n, d]`` in each part of the prior, ``[classes]``; 1 / classes each for the prior itself.

    Raises:
        ShapeError: there are no codes.
    """
    if not len(codes):
        raise ShapeError(f"the shares of a prior's parts need codes [n, {prior.dimensions}], found none")
    counts = prior.nearest_class(codes.float()).bincount(minlength=prior.classes)
    return counts / counts.sum()


def own_class(codes: Tensor, labels: Tensor, prior: ClassConditionalPrior) -> float:
    """Share of codes ``[n, d]`` in the prior's part of their own label ``[n]``, in [0, 1]; by chance 1 / classes."""
    return float((prior.nearest_class(codes.float()) == labels).double().mean())


def match(codes: Tensor, prior: Prior) -> dict[str, float]:
    """``prior_coverage``, ``sliced_wasserstein`` and, where the prior has a density, ``inside_prior`` of ``[n, d]``.

    There is no coverage in more than twenty dimensions.
    """
    samples = prior_samples(prior, len(codes))
    metrics = {"prior_coverage": prior_coverage(codes, samples)} if prior.dimensions <= COVERED_DIMENSIONS else {}
    metrics["sliced_wasserstein"] = sliced_wasserstein(codes, samples)
    if hasattr(prior, "log_prob"):
        metrics["inside_prior"] = inside_prior(codes, prior)
    return metrics


def null_band(prior: Prior, count: int = 10_000, draws: int = 5) -> dict[str, tuple[float, float]]:
    """What :func:`match` gives for samples of the prior itself: (lowest, highest) of ``draws`` independent sets."""
    values = [match(prior_samples(prior, count, seed), prior) for seed in range(1, draws + 1)]
    return {name: (min(v[name] for v in values), max(v[name] for v in values)) for name in values[0]}
