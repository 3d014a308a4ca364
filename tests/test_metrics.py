"""The measures: answers that are known beforehand, and slow implementations that agree."""

import math
import warnings
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.neighbors import KernelDensity
from torch import Tensor

from aae_lib import metrics
from aae_lib.data import Images
from aae_lib.errors import DataError, ShapeError
from aae_lib.models import Model
from aae_lib.priors import ClassConditionalPrior, Gaussian, GaussianMixture, Prior, SwissRoll

COUNT = 3000


def normal(count: int, dimensions: int = 2, seed: int = 100) -> Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def distances(one: Tensor, other: Tensor) -> np.ndarray:
    """All Euclidean distances, in float64 and one by one."""
    return np.array([[np.linalg.norm(a - b) for b in other.double().numpy()] for a in one.double().numpy()])


# Errors, and names of clusters


def test_squared_errors_are_half_the_sum_over_pixels() -> None:
    images, reconstructions = torch.rand(5, 784), torch.rand(5, 784)
    errors = metrics.squared_errors(images, reconstructions)
    expected = 0.5 * ((images.double() - reconstructions.double()).numpy() ** 2).sum(axis=1)
    assert errors.dtype == torch.float32 and errors.tolist() == pytest.approx(expected, rel=1e-5)
    assert metrics.squared_errors(images.half(), images.half()).tolist() == 5 * [0]


def test_the_error_is_the_share_of_wrong_labels_in_percent() -> None:
    labels = torch.arange(700) % 10
    predictions = torch.where(torch.arange(700) < 500, labels, (labels + 1) % 10)
    assert metrics.error_percent(predictions, labels) == pytest.approx(100 * 200 / 700)
    assert metrics.error_percent(predictions.byte(), labels) == metrics.error_percent(predictions, labels)


def test_majority_names_agree_with_a_count_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    clusters, labels = (torch.randint(high, (500,), generator=generator) for high in (30, 10))
    expected = []
    for cluster in range(32):
        votes = Counter(labels[clusters == cluster].tolist())
        expected.append(min(votes, key=lambda digit, votes=votes: (-votes[digit], digit)) if votes else -1)
    names = metrics.majority_names(clusters.byte(), labels, 32)
    assert names.dtype == torch.int8 and names.tolist() == expected and expected[-2:] == [-1, -1]
    assert metrics.error_percent(names[torch.tensor([31, 31])], torch.tensor([0, 9])) == 100, "no name is always wrong"


def test_a_cluster_is_named_after_its_most_certain_image() -> None:
    probabilities = torch.tensor([[0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.1, 0.4], [0.1, 0.8, 0.1]])
    labels = torch.tensor([4, 9, 2, 6, 3])
    names = metrics.most_confident_names(probabilities, labels)
    # The second cluster has two equally certain images, and the first of them names it; nobody is in the third.
    assert names.dtype == torch.int8 and names.tolist() == [9, 2, 6]
    assert metrics.majority_names(probabilities.argmax(1), labels, 3).tolist() == [4, 2, -1]


LABELED = {
    "error": lambda labels, n: metrics.error_percent(torch.zeros(n), labels),
    "majority": lambda labels, n: metrics.majority_names(torch.zeros(n), labels, 3),
    "most certain": lambda labels, n: metrics.most_confident_names(torch.ones(n, 3), labels),
    "neighbors": lambda labels, n: metrics.neighbor_accuracy(torch.ones(n, 2), labels),
    "own class": lambda labels, n: metrics.own_class(torch.ones(n, 2), labels, GaussianMixture()),
}


@pytest.mark.parametrize("measure", LABELED.values(), ids=LABELED.keys())
def test_labels_that_nothing_can_be_compared_with_are_refused(measure: Callable) -> None:
    labels = torch.arange(20) % 3
    measure(labels, 20)
    wrong_ones = (labels - 1, 20), (labels[:0], 0), (labels.float(), 20), (labels[:1], 20), (labels[:, None], 20)
    for wrong, count in wrong_ones:
        with pytest.raises((DataError, ShapeError), match="expected.*label|labels"):
            measure(wrong, count)


def test_numbers_that_do_not_belong_together_are_refused() -> None:
    labels, images = torch.zeros(20, dtype=torch.int64), torch.zeros(20, 4)
    assert metrics.squared_errors(images, images[0]).shape == (20,)
    for call, words in (
        (lambda: metrics.squared_errors(images, images[:1]), r"\[20, 4\] and \[1, 4\]"),
        (lambda: metrics.squared_errors(images, images[:, 1:]), r"\[20, 3\]"),
        (lambda: metrics.majority_names(labels + 3, labels, 3), "from 0 to 2, found 3 to 3"),
        (lambda: metrics.majority_names(labels - 1, labels, 3), "found -1 to -1"),
        (lambda: metrics.neighbor_accuracy(images[:10], labels[:10]), "more than 10 codes"),
        (lambda: metrics.class_shares(images[:0, :2], GaussianMixture()), "at least one code"),
    ):
        with pytest.raises(ShapeError, match=words):
            call()


def test_clusters_with_less_than_a_tenth_of_their_share_are_empty() -> None:
    sizes = torch.tensor([400, 390, 190, 10, 9, 1, 0, 0, 0, 0])  # of 1,000 images in ten clusters: a share of 100
    clusters = torch.arange(10).repeat_interleave(sizes)
    assert metrics.empty_clusters(clusters, 10) == metrics.empty_clusters(clusters.byte(), 10) == 6
    assert metrics.empty_clusters(clusters, 20) == 20 - 5  # with a share of 50


# The match with the prior


def test_another_draw_of_the_prior_lies_in_its_null_band_and_covers_0_967_of_it() -> None:
    # A sample's 5 nearest of n others, and its nearest of n more: none is nearer with probability 2^-5.
    found, band = metrics.match(normal(COUNT), Gaussian(2)), metrics.null_band(Gaussian(2), COUNT)
    assert all(2 * low - high <= found[name] <= 2 * high - low for name, (low, high) in band.items())
    low, high = band["prior_coverage"]
    assert 0.955 < low < high < 0.98
    assert (low + high) / 2 == pytest.approx(1 - 2**-5, abs=0.006)


def test_coverage_agrees_with_all_pairs() -> None:
    real = normal(300)
    for codes in (normal(300, seed=1), 0.5 * normal(200, seed=2), normal(400, seed=3) + 1):
        radii = np.sort(distances(real, real), axis=1)[:, 5]  # the first is the sample itself
        expected = (distances(real, codes).min(axis=1) <= radii).mean()
        assert metrics.prior_coverage(codes, real) == pytest.approx(expected, abs=1e-6)
    assert metrics.prior_coverage(real, real) == 1 and metrics.prior_coverage(real + 100, real) == 0


def centers(component: Tensor) -> Tensor:
    """Ten places on a circle, so far apart that no ball reaches from one to the next."""
    angle = 2 * torch.pi * component / 10
    return 4 * torch.stack([angle.cos(), angle.sin()], dim=1)


def test_a_tenth_that_is_missing_costs_a_tenth() -> None:
    component = torch.arange(2 * COUNT) % 10
    samples = centers(component) + 0.2 * normal(2 * COUNT, seed=7)
    codes = centers(component) + 0.2 * normal(2 * COUNT)
    whole = metrics.prior_coverage(codes[:COUNT], samples[:COUNT])
    nine = metrics.prior_coverage(codes[component != 3][:COUNT], samples[:COUNT])
    assert whole - nine == pytest.approx(0.1, abs=0.02)


def test_sliced_wasserstein_of_one_dimension_is_that_of_sorted_values() -> None:
    one, other = normal(500, 1, seed=1), 2 * normal(500, 1, seed=2) + 1
    expected = np.sqrt(((np.sort(one[:, 0].double()) - np.sort(other[:, 0].double())) ** 2).mean())
    assert metrics.sliced_wasserstein(one, other) == pytest.approx(expected)
    with pytest.raises(ShapeError, match="500.*400"):
        metrics.sliced_wasserstein(one, other[:400])
    shifted = normal(1000, 8) + 3  # the mean square of the projections of a vector is its squared length divided by d
    assert metrics.sliced_wasserstein(shifted, normal(1000, 8)) == pytest.approx(3, rel=0.15)


def test_inside_a_gaussian_is_inside_a_circle() -> None:
    # A share exp(-r^2 / 2) of N(0, I) lies farther out than r: a hundredth beyond 3.03.
    edge = math.sqrt(2 * math.log(100))
    turn = 2 * torch.pi * torch.arange(100) / 100
    circle = torch.stack([turn.cos(), turn.sin()], dim=1)
    for deviation in (1.0, 4.0):
        prior = Gaussian(2, deviation)
        assert metrics.inside_prior(deviation * (edge - 0.1) * circle, prior) == 1
        assert metrics.inside_prior(deviation * (edge + 0.1) * circle, prior) == 0
        assert metrics.inside_prior(metrics.prior_samples(prior, seed=7), prior) == pytest.approx(0.99, abs=0.004)


@pytest.mark.parametrize(
    ("prior", "missing"),
    [(GaussianMixture(), set()), (SwissRoll(), {"inside_prior"}), (Gaussian(20), set()),
     (Gaussian(21), {"prior_coverage"})], ids=repr,
)  # fmt: skip
def test_the_match_says_what_the_prior_lets_it_say(prior: Prior, missing: set[str]) -> None:
    names = {"prior_coverage", "sliced_wasserstein", "inside_prior"} - missing
    assert metrics.match(normal(200, prior.dimensions), prior).keys() == names
    assert metrics.null_band(prior, count=200, draws=2).keys() == names


@pytest.mark.parametrize("prior", [GaussianMixture(), SwissRoll()], ids=repr)
def test_samples_by_class_lie_in_their_own_part_and_others_in_any(prior: ClassConditionalPrior) -> None:
    torch.manual_seed(5)
    labels = torch.randint(10, (10_000,))
    codes = prior.sample_of_class(labels)
    assert metrics.own_class(codes, labels, prior) > 0.99 and metrics.own_class(codes, (labels + 1) % 10, prior) < 0.01
    assert metrics.class_shares(codes, prior).tolist() == pytest.approx(10 * [0.1], abs=0.015)
    assert metrics.class_shares(codes[labels == 4], prior)[4] > 0.98


# Codes


@pytest.mark.parametrize("dimensions", [2, 5])
def test_neighbor_accuracy_agrees_with_all_pairs(dimensions: int) -> None:
    labels = torch.arange(300) % 4
    codes = normal(300, dimensions) + 0.7 * labels[:, None]
    apart = distances(codes, codes)
    np.fill_diagonal(apart, np.inf)
    right = 0
    for row, label in zip(apart, labels.tolist(), strict=True):
        votes = Counter(labels[torch.from_numpy(np.argsort(row)[:10].copy())].tolist())
        right += min(votes, key=lambda digit, votes=votes: (-votes[digit], digit)) == label
    assert 0.4 < right / 300 < 0.9
    assert metrics.neighbor_accuracy(codes, labels) == pytest.approx(right / 300)


def opposite(labels: Tensor, seed: int) -> Tensor:
    """Each digit in two places, opposite each other: no straight line tells it from the others."""
    side = 1 - 2 * (torch.arange(len(labels)) // 10 % 2)
    return side[:, None] * centers(labels / 2) + 0.15 * normal(len(labels), seed=seed)


def test_labels_are_told_from_codes_that_carry_them(images: Images) -> None:
    labels, held_out = torch.arange(2000) % 10, images.labels
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.labels_from_codes(opposite(labels, 1), labels, opposite(held_out, 2))
    assert found.dtype == torch.int64 and metrics.error_percent(found, held_out) < 5
    nothing = metrics.labels_from_codes(normal(2000), labels, normal(600, seed=2))
    assert metrics.error_percent(nothing, held_out) == pytest.approx(90, abs=4)


def test_image_change_agrees_with_finite_differences(make_model: Callable[..., Model]) -> None:
    model = make_model(seed=3)
    with torch.no_grad():
        model.decoder[0].weight.mul_(30)  # so that images change fast, and not everywhere alike
    codes, step = normal(20), 1e-6
    changes = metrics.image_change(model.decode, codes)
    assert not changes.requires_grad
    decoder = model.decoder.double()
    with torch.no_grad():
        slopes = [
            (decoder(codes.double() + moved).sigmoid() - decoder(codes.double() - moved).sigmoid()) / (2 * step)
            for moved in step * torch.eye(2, dtype=torch.float64)
        ]
    expected = sum(slope.square().sum(1) for slope in slopes).sqrt()
    assert expected.max() > 1.2 * expected.min() and changes.tolist() == pytest.approx(expected.tolist(), rel=1e-3)


def test_the_steepest_tenth_is_a_tenth_of_even_changes_and_all_of_plateaus() -> None:
    assert metrics.steepest_tenth(torch.full((2000,), 100.0).half()) == pytest.approx(0.1)  # a sum beyond float16
    slopes = torch.ones(1000)
    slopes[::10] = 9
    assert metrics.steepest_tenth(slopes) == pytest.approx(0.5)  # 100 nines of 900 ones and 100 nines
    assert metrics.steepest_tenth(slopes - 1) == 1


# Images


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    half = torch.zeros(28, 28)
    half[:, 14:] = 1  # a column of 26 ones in the Laplacian and one of minus ones, zeros elsewhere
    for edge in (half, half.T, 1 - half):
        assert metrics.sharpness(edge.reshape(1, 784)).item() == pytest.approx(2 * 26 / (26 * 26 - 1))
    gray, colors = torch.rand(2, 1, 8, 8), torch.rand(2, 3, 8, 8)
    same = metrics.sharpness(gray.expand(-1, 3, -1, -1).flatten(1))
    torch.testing.assert_close(same, metrics.sharpness(gray.flatten(1)))
    torch.testing.assert_close(metrics.sharpness(colors.flatten(1)), metrics.sharpness(colors.mean(1).flatten(1)))


def correlated(count: int, dimensions: int, seed: int) -> Tensor:
    """Features with a mean of their own, in correlated dimensions of different widths."""
    return normal(count, dimensions, seed) @ normal(dimensions, dimensions, seed + 1) + normal(1, dimensions, seed + 2)


@pytest.mark.parametrize(("one", "other", "dimensions"), [(400, 300, 5), (100, 100, 16), (500, 40, 2)])
def test_the_frechet_distance_agrees_with_scipys_square_root_of_a_matrix(one: int, other: int, dimensions: int) -> None:
    first, second = correlated(one, dimensions, 1), correlated(other, dimensions, 7)
    a, b = first.double().numpy(), second.double().numpy()
    c, d = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + np.trace(c + d - 2 * sqrtm(c @ d).real)
    assert metrics.frechet_distance(first, second) == pytest.approx(expected, rel=1e-6) and expected > 0.1


def test_equal_sets_are_at_no_frechet_distance_even_where_they_do_not_fill_space() -> None:
    flat = correlated(50, 3, 2) @ normal(3, 8)
    for features in (correlated(300, 6, 1), correlated(10, 30, 1), torch.ones(20, 4), flat):
        size = 1 + features.double().var(0).sum().item()
        assert 0 <= metrics.frechet_distance(features, features.flip(0)) < 1e-5 * size
    far = 1000 + normal(500, 3)
    assert metrics.frechet_distance(far, far + 1) == pytest.approx(3, rel=1e-3), "in float64"


# The Parzen likelihood


def by_kernel_density(samples: Tensor, images: Tensor, bandwidth: float) -> np.ndarray:
    """By scikit-learn; in one leaf, because its bounds on several cancel badly in so many dimensions."""
    estimate = KernelDensity(bandwidth=bandwidth, leaf_size=len(samples)).fit(samples.double().numpy())
    return estimate.score_samples(images.double().numpy())


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_the_parzen_likelihood_is_scikit_learns_kernel_density_in_any_number_of_blocks(
    block: int, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "PARZEN_BLOCK", block)
    samples, some = images.images[:100], images.images[100:130]
    bandwidths = torch.tensor([0.08, 0.2, 2.0])
    found = metrics.parzen_log_likelihood(samples, some, bandwidths)
    assert found.shape == (3, 30) and found.dtype == torch.float32
    for row, bandwidth in zip(found, bandwidths.double().tolist(), strict=True):
        np.testing.assert_allclose(row, by_kernel_density(samples, some, bandwidth), rtol=1e-5, atol=0.01)
    assert torch.equal(metrics.parzen_log_likelihood(iter(samples.split(block)), some, bandwidths), found)


def test_the_chosen_bandwidth_is_the_one_that_makes_the_images_most_likely(images: Images) -> None:
    samples, some = images.images[:200], images.images[200:240]
    widths = metrics.BANDWIDTHS
    best = int(np.argmax([by_kernel_density(samples, some, width).mean() for width in widths.tolist()]))
    assert 0 < best < len(widths) - 1 and metrics.choose_bandwidth(samples, some) == widths[best].item()
    assert metrics.choose_bandwidth(samples, samples) == widths[0].item()


# What all share


def test_measures_are_deterministic_and_draw_no_one_elses_numbers() -> None:
    def measured() -> tuple:
        told = metrics.labels_from_codes(normal(500), torch.arange(500) % 10, normal(300))
        return metrics.match(normal(500), GaussianMixture()), metrics.null_band(SwissRoll(), 300, 2), told.tolist()

    torch.manual_seed(3)
    np.random.seed(3)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = measured()
    assert torch.equal(torch.get_rng_state(), state) and (np.random.get_state()[1] == numpy_state).all()
    torch.manual_seed(4)
    np.random.seed(4)
    assert measured() == first
