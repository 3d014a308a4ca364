"""The measures: answers that are known beforehand, and slow implementations that agree."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor

from aae_lib.metrics import (
    match,
    neighbor_accuracy,
    null_band,
    prior_coverage,
    prior_samples,
    sliced_wasserstein,
    squared_errors,
)
from aae_lib.priors import Gaussian

COUNT = 3000


def normal(count: int, dimensions: int = 2, seed: int = 100) -> Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def samples() -> Tensor:
    return prior_samples(Gaussian(2), COUNT)


@pytest.fixture(scope="module")
def band() -> dict[str, tuple[float, float]]:
    return null_band(Gaussian(2), COUNT, draws=5)


def distances(one: Tensor, other: Tensor) -> np.ndarray:
    """All Euclidean distances, in float64 and one by one."""
    return np.array([[np.linalg.norm(a - b) for b in other.double().numpy()] for a in one.double().numpy()])


# Errors


def test_squared_errors_are_half_the_sum_over_pixels() -> None:
    images, reconstructions = torch.rand(5, 784), torch.rand(5, 784)
    expected = [
        0.5 * sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
        for one, other in zip(images.double().tolist(), reconstructions.double().tolist(), strict=True)
    ]
    errors = squared_errors(images, reconstructions)
    assert errors.dtype == torch.float32 and errors.tolist() == pytest.approx(expected, rel=1e-5)
    assert squared_errors(torch.ones(1, 784), torch.zeros(1, 784)).item() == 392
    assert squared_errors(images.half(), images.half()).tolist() == 5 * [0]


# The match with the prior


def test_coverage_of_the_prior_by_itself_is_0_967(band: dict[str, tuple[float, float]]) -> None:
    # A sample's 5 nearest of n others, and its nearest of n more: none is nearer with probability 2^-5.
    low, high = band["prior_coverage"]
    assert 0.955 < low <= high < 0.98 and low < high
    assert (low + high) / 2 == pytest.approx(1 - 2**-5, abs=0.006)


def test_another_draw_of_the_prior_lies_in_the_null_band(samples: Tensor, band: dict[str, tuple[float, float]]) -> None:
    found = match(normal(COUNT), Gaussian(2))
    for name, (low, high) in band.items():
        assert low - (high - low) <= found[name] <= high + (high - low)
    assert found["prior_coverage"] == prior_coverage(normal(COUNT), samples)
    assert found["sliced_wasserstein"] == sliced_wasserstein(normal(COUNT), samples)
    assert band["sliced_wasserstein"][0] > 0 and band["sliced_wasserstein"][1] < 0.1


def test_coverage_agrees_with_all_pairs() -> None:
    real = normal(300)
    for codes in (normal(300, seed=1), 0.5 * normal(200, seed=2), normal(400, seed=3) + 1):
        among = np.sort(distances(real, real), axis=1)
        radii = among[:, 5]  # the first is the sample itself
        expected = (distances(real, codes).min(axis=1) <= radii).mean()
        assert prior_coverage(codes, real) == pytest.approx(expected, abs=1e-6)
    assert prior_coverage(real, real) == 1
    assert prior_coverage(real + 100, real) == 0


class TenGaussians(Gaussian):
    """A mixture of ten on a circle, so far apart that no ball reaches from one to the next."""

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return centers(torch.randint(10, (count,))) + 0.2 * torch.randn(count, 2)


def centers(component: Tensor) -> Tensor:
    angle = 2 * torch.pi * component / 10
    return 4 * torch.stack([angle.cos(), angle.sin()], dim=1)


def test_a_tenth_that_is_missing_costs_a_tenth() -> None:
    samples = prior_samples(TenGaussians(2), COUNT)
    component = torch.arange(2 * COUNT) % 10
    codes = centers(component) + 0.2 * normal(2 * COUNT)
    whole = prior_coverage(codes[:COUNT], samples)
    assert whole == pytest.approx(1 - 2**-5, abs=0.012)
    nine = codes[component != 3][:COUNT]
    assert whole - prior_coverage(nine, samples) == pytest.approx(0.1, abs=0.02)
    # A gap in each of the ten: the core that holds a tenth of its mass. Codes at its rim still cover some of it.
    around = (codes - centers(component)).norm(dim=1) / 0.2
    gapped = codes[around > (-2 * np.log(0.9)) ** 0.5][:COUNT]
    assert len(nine) == len(gapped) == COUNT
    assert 0.025 < whole - prior_coverage(gapped, samples) < 0.1
    # A distance between whole distributions hardly sees these gaps.
    assert sliced_wasserstein(gapped, samples) < 2 * sliced_wasserstein(codes[:COUNT], samples) + 0.05


def test_a_wedge_that_is_missing_costs_its_mass(samples: Tensor) -> None:
    codes = normal(2 * COUNT)
    turn = torch.atan2(codes[:, 1], codes[:, 0]) / (2 * torch.pi) % 1
    loss = prior_coverage(codes[:COUNT], samples) - prior_coverage(codes[turn > 0.2][:COUNT], samples)
    assert 0.14 < loss < 0.2  # a fifth, less what the wedge's neighbors still reach


def test_shrunken_codes_are_a_fifth_away(samples: Tensor, band: dict[str, tuple[float, float]]) -> None:
    codes = 0.8 * normal(COUNT)
    assert sliced_wasserstein(codes, samples) == pytest.approx(0.2, abs=0.03)
    assert prior_coverage(codes, samples) < band["prior_coverage"][0] - 0.005
    assert sliced_wasserstein(5 * codes, 5 * samples) == pytest.approx(5 * sliced_wasserstein(codes, samples))


@pytest.mark.parametrize("dimensions", [2, 8])
def test_moved_codes_are_as_far_as_their_projections(dimensions: int) -> None:
    codes = normal(1000, dimensions)
    shift = torch.full((dimensions,), 3.0)
    expected = 3.0  # the mean square of the projections of a vector is its squared length divided by d
    assert sliced_wasserstein(codes + shift, codes) == pytest.approx(expected, rel=0.15)
    assert sliced_wasserstein(codes, codes) == pytest.approx(0, abs=1e-9)


def test_sliced_wasserstein_of_one_dimension_is_that_of_sorted_values() -> None:
    one, other = normal(500, 1, seed=1), 2 * normal(500, 1, seed=2) + 1
    expected = np.sqrt(((np.sort(one[:, 0].double()) - np.sort(other[:, 0].double())) ** 2).mean())
    assert sliced_wasserstein(one, other) == pytest.approx(expected)


# Neighbors


@pytest.mark.parametrize("dimensions", [2, 5])
def test_neighbor_accuracy_agrees_with_all_pairs(dimensions: int) -> None:
    labels = torch.arange(300) % 4
    codes = normal(300, dimensions) + 0.7 * labels[:, None]
    apart = distances(codes, codes)
    np.fill_diagonal(apart, np.inf)
    right = 0
    for row, label in zip(apart, labels.tolist(), strict=True):
        votes = Counter(labels[torch.from_numpy(np.argsort(row)[:10].copy())].tolist())
        winner = min(votes, key=lambda digit: (-votes[digit], digit))
        right += winner == label
    assert 0.4 < right / 300 < 0.9
    assert neighbor_accuracy(codes, labels) == pytest.approx(right / 300)


def test_an_encoder_that_ignores_the_image_matches_the_prior_and_says_nothing(
    samples: Tensor, band: dict[str, tuple[float, float]]
) -> None:
    codes, labels = normal(COUNT), torch.arange(COUNT) % 10
    assert prior_coverage(codes, samples) >= band["prior_coverage"][0] - 0.005
    assert neighbor_accuracy(codes, labels) == pytest.approx(0.1, abs=0.03)
    by_label = codes + 100 * labels[:, None]
    assert neighbor_accuracy(by_label, labels) == 1 and prior_coverage(by_label, samples) < 0.9


# What all share


def test_measures_are_deterministic_and_draw_no_one_elses_numbers() -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = match(normal(500), Gaussian(2)), null_band(Gaussian(2), 300, draws=2)
    neighbor_accuracy(normal(500), torch.arange(500) % 10)
    assert torch.equal(torch.get_rng_state(), state) and (np.random.get_state()[1] == numpy_state).all()
    torch.manual_seed(4)
    np.random.seed(4)
    assert (match(normal(500), Gaussian(2)), null_band(Gaussian(2), 300, draws=2)) == first


def test_prior_samples_are_those_of_their_seed() -> None:
    assert torch.equal(prior_samples(Gaussian(2), 50), prior_samples(Gaussian(2), 50))
    assert not torch.equal(prior_samples(Gaussian(2), 50, seed=1), prior_samples(Gaussian(2), 50))
    assert prior_samples(Gaussian(3)).shape == (10_000, 3)


def test_codes_of_the_evidence_are_measured_as_they_are(samples: Tensor) -> None:
    codes = normal(COUNT).half()
    assert match(codes, Gaussian(2)) == match(codes.float(), Gaussian(2))
    assert neighbor_accuracy(codes, torch.arange(COUNT) % 10) > 0
