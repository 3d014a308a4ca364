"""The measures: answers that are known beforehand, and slow implementations that agree."""

import math
import warnings
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.linalg import sqrtm
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KernelDensity
from torch import Tensor

from aae_lib import metrics
from aae_lib.data import Digits, Images
from aae_lib.metrics import (
    BANDWIDTHS,
    choose_bandwidth,
    class_shares,
    empty_clusters,
    error_percent,
    farthest_line,
    frechet_distance,
    image_change,
    inside_prior,
    labels_from_codes,
    majority_names,
    match,
    most_confident_names,
    neighbor_accuracy,
    neighborhoods_kept,
    null_band,
    own_class,
    parzen_log_likelihood,
    prior_coverage,
    prior_samples,
    sharpness,
    sliced_wasserstein,
    squared_errors,
    steepest_tenth,
)
from aae_lib.models import Model
from aae_lib.priors import ClassConditionalPrior, Gaussian, GaussianMixture, Prior, SwissRoll

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


def test_the_error_is_the_share_of_wrong_digits_in_percent() -> None:
    generator = torch.Generator().manual_seed(0)
    labels, predictions = (torch.randint(10, (700,), generator=generator) for _ in range(2))
    predictions[:500] = labels[:500]
    wrong = sum(one != other for one, other in zip(predictions.tolist(), labels.tolist(), strict=True))
    assert 150 < wrong < 200
    assert error_percent(predictions, labels) == pytest.approx(100 * wrong / 700)
    assert error_percent(predictions.byte(), labels) == error_percent(predictions, labels)
    assert error_percent(labels, labels) == 0 and error_percent((labels + 1) % 10, labels) == 100


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


# Inside the prior, and in its parts


@pytest.mark.parametrize("prior", [Gaussian(2), Gaussian(3, 5.0), GaussianMixture()], ids=repr)
def test_of_the_priors_own_samples_99_percent_are_inside(prior: Prior) -> None:
    assert inside_prior(prior_samples(prior, seed=7), prior) == pytest.approx(0.99, abs=0.004)


def test_inside_a_gaussian_is_inside_a_circle() -> None:
    # A share exp(-r^2 / 2) of N(0, I) lies farther out than r: a hundredth beyond 3.03.
    edge = math.sqrt(2 * math.log(100))
    turn = 2 * torch.pi * torch.arange(100) / 100
    circle = torch.stack([turn.cos(), turn.sin()], dim=1)
    for deviation in (1.0, 4.0):
        prior = Gaussian(2, deviation)
        assert inside_prior(deviation * (edge - 0.1) * circle, prior) == 1
        assert inside_prior(deviation * (edge + 0.1) * circle, prior) == 0
        assert inside_prior(deviation * torch.cat([2 * circle, 4 * circle, 5 * circle, 6 * circle]), prior) == 0.25


def test_codes_between_the_petals_and_far_out_are_not_inside_the_mixture() -> None:
    component = torch.arange(10)
    means, gaps = (1.4 * centers(component + turn) / 4 for turn in (0, 0.5))
    assert inside_prior(means, GaussianMixture()) == 1
    assert inside_prior(gaps, GaussianMixture()) == 0
    assert inside_prior(3 * means, GaussianMixture()) == 0
    assert inside_prior(torch.cat([means, gaps[:5]]), GaussianMixture()) == pytest.approx(2 / 3)


def test_the_match_tells_what_is_inside_where_there_is_a_density() -> None:
    codes = normal(500)
    for prior in (Gaussian(2), GaussianMixture()):
        assert match(codes, prior)["inside_prior"] == inside_prior(codes, prior)
    assert match(codes, SwissRoll()).keys() == {"prior_coverage", "sliced_wasserstein"}
    assert null_band(SwissRoll(), 300, draws=2).keys() == {"prior_coverage", "sliced_wasserstein"}
    low, high = null_band(GaussianMixture(), 2000, draws=3)["inside_prior"]
    assert 0.98 < low < high < 0.998


@pytest.mark.parametrize(("dimensions", "is_covered"), [(20, True), (21, False), (64, False)])
def test_there_is_no_coverage_in_many_dimensions_for_codes_nor_for_the_band(dimensions: int, is_covered: bool) -> None:
    names = {"sliced_wasserstein", "inside_prior"} | ({"prior_coverage"} if is_covered else set())
    assert match(normal(200, dimensions), Gaussian(dimensions)).keys() == names
    assert null_band(Gaussian(dimensions), count=200, draws=2).keys() == names


def test_shares_count_the_codes_in_each_component() -> None:
    components = torch.tensor([0, 0, 0, 4, 4, 7, 8, 8])  # the last one is empty as well
    shares = class_shares(1.4 * centers(components) / 4, GaussianMixture())
    assert shares.tolist() == [3 / 8, 0, 0, 0, 2 / 8, 0, 0, 1 / 8, 2 / 8, 0]


@pytest.mark.parametrize("prior", [GaussianMixture(), SwissRoll()], ids=repr)
def test_samples_by_class_lie_in_their_own_part_and_others_in_any(prior: ClassConditionalPrior) -> None:
    torch.manual_seed(5)
    labels = torch.randint(10, (10_000,))
    codes = prior.sample_of_class(labels)
    assert own_class(codes, labels, prior) > 0.99
    assert own_class(codes, (labels + 1) % 10, prior) < 0.01
    assert own_class(codes, torch.where(labels < 5, labels, 9 - labels), prior) == pytest.approx(0.5, abs=0.02)
    assert own_class(codes, torch.randint(10, (10_000,)), prior) == pytest.approx(0.1, abs=0.015)
    assert class_shares(codes, prior).tolist() == pytest.approx(10 * [0.1], abs=0.015)


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


# Clusters, and maps


def test_a_cluster_is_named_after_its_most_frequent_digit() -> None:
    clusters = torch.tensor([0, 0, 0, 2, 2, 2, 2, 4, 4, 4])
    labels = torch.tensor([7, 7, 1, 9, 3, 9, 3, 0, 5, 6])
    names = majority_names(clusters, labels, 6)
    assert names.dtype == torch.int8
    assert names.tolist() == [7, -1, 3, -1, 0, -1]  # ties go to the smaller digit; three clusters are empty
    for kind in (torch.uint8, torch.int32):
        assert torch.equal(majority_names(clusters.to(kind), labels, 6), names)
    order = torch.tensor([9, 3, 0, 5, 8, 1, 4, 2, 7, 6])
    assert torch.equal(majority_names(clusters[order], labels[order], 6), names)


def test_majority_names_agree_with_a_count_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    clusters, labels = (torch.randint(high, (500,), generator=generator) for high in (30, 10))
    expected = []
    for cluster in range(32):
        votes = Counter(labels[clusters == cluster].tolist())
        expected.append(min(votes, key=lambda digit, votes=votes: (-votes[digit], digit)) if votes else -1)
    assert majority_names(clusters, labels, 32).tolist() == expected and expected[-2:] == [-1, -1]


def test_a_cluster_is_named_after_the_image_that_is_most_certain_to_be_in_it() -> None:
    probabilities = torch.tensor([[0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.1, 0.4], [0.1, 0.8, 0.1]])
    labels = torch.tensor([4, 9, 2, 6, 3])
    names = most_confident_names(probabilities, labels)
    assert names.dtype == torch.int8
    # The second cluster has two equally certain images, and the first of them names it; nobody is in the third.
    assert names.tolist() == [9, 2, 6]
    assert majority_names(probabilities.argmax(1), labels, 3).tolist() == [4, 2, -1]


def test_the_two_rules_differ_where_one_image_is_surer_than_the_many() -> None:
    labels = torch.tensor([1] * 9 + [7])
    sure = torch.tensor([0.6] * 9 + [0.99])
    probabilities = torch.stack([sure, 1 - sure], dim=1)
    assert most_confident_names(probabilities, labels).tolist() == [7, 1]
    assert majority_names(probabilities.argmax(1), labels, 2).tolist() == [1, -1]


def test_what_falls_into_a_cluster_without_a_name_counts_as_wrong() -> None:
    names = majority_names(torch.tensor([0, 0, 2]), torch.tensor([0, 0, 8]), 3)
    digits = names[torch.tensor([0, 1, 1, 2])]
    assert digits.tolist() == [0, -1, -1, 8]
    assert error_percent(digits, torch.tensor([0, 0, 5, 8])) == 50
    assert error_percent(digits, torch.tensor([3, 3, 3, 3])) == 100


def test_clusters_with_less_than_a_tenth_of_their_share_are_empty() -> None:
    sizes = torch.tensor([400, 390, 190, 10, 9, 1, 0, 0, 0, 0])  # of 1,000 images in ten clusters: a share of 100
    clusters = torch.arange(10).repeat_interleave(sizes)
    assert empty_clusters(clusters, 10) == empty_clusters(clusters.byte(), 10) == 6
    assert empty_clusters(clusters, 20) == 20 - 5  # with a share of 50
    assert empty_clusters(torch.arange(1000) % 10, 10) == 0
    assert empty_clusters(torch.zeros(1000, dtype=torch.uint8), 16) == 15


def test_neighborhoods_kept_is_scikit_learns_trustworthiness_of_ten_neighbors(images: Images) -> None:
    some = images.images[:200]
    for codes in (some[:, 300:310], normal(200), some @ normal(784)):
        expected = trustworthiness(some.numpy(), codes.numpy(), n_neighbors=10)
        assert neighborhoods_kept(some, codes) == pytest.approx(expected, abs=1e-6)
        assert 0.4 < expected < 1
    assert neighborhoods_kept(some, codes.half()) == pytest.approx(expected, abs=0.01)


def test_neighborhoods_kept_agrees_with_its_definition(images: Images) -> None:
    n, k = 60, 10
    some, codes = images.images[:n], normal(n)
    of_images, of_codes = (np.argsort(distances(one, one), axis=1)[:, 1:] for one in (some, codes))
    ranks = [{int(other): rank + 1 for rank, other in enumerate(row)} for row in of_images]
    lost = sum(max(0, ranks[i][int(j)] - k) for i in range(n) for j in of_codes[i, :k])
    assert neighborhoods_kept(some, codes) == pytest.approx(1 - 2 / (n * k * (2 * n - 3 * k - 1)) * lost)


def test_an_isometric_map_keeps_all_neighborhoods() -> None:
    codes = normal(300)
    basis = torch.linalg.qr(normal(784, 2)).Q
    assert neighborhoods_kept(codes @ basis.T, codes) == 1
    turned = torch.stack([-codes[:, 1], codes[:, 0]], dim=1) + 5
    assert neighborhoods_kept(codes @ basis.T, turned) == 1
    assert neighborhoods_kept(codes @ basis.T, normal(300, seed=7)) < 0.7


# Labels told from codes


def around(labels: Tensor, seed: int) -> Tensor:
    """Each digit in a place of its own on a circle."""
    return centers(labels) + 0.3 * normal(len(labels), seed=seed)


def opposite(labels: Tensor, seed: int) -> Tensor:
    """Each digit in two places, opposite each other: no straight line tells it from the others."""
    side = 1 - 2 * (torch.arange(len(labels)) // 10 % 2)
    return side[:, None] * centers(labels / 2) + 0.15 * normal(len(labels), seed=seed)


@pytest.mark.parametrize("places", [around, opposite])
def test_labels_are_told_from_codes_that_carry_them(places: Callable[[Tensor, int], Tensor], images: Images) -> None:
    labels, held_out = torch.arange(2000) % 10, images.labels
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = labels_from_codes(places(labels, 1), labels, places(held_out, 2))
    assert found.shape == (600,) and found.dtype == torch.int64
    assert error_percent(found, held_out) < 5
    renamed = labels_from_codes(places(labels, 1), 9 - labels, places(held_out, 2))
    assert error_percent(renamed, 9 - held_out) < 5


def test_codes_that_carry_nothing_tell_no_labels(digits: Digits) -> None:
    training, held_out = digits.train.labels[:1000], digits.test.labels
    for codes, others in ((normal(1000, 5, 1), normal(1000, 5, 2)), (torch.zeros(1000, 2), torch.zeros(1000, 2))):
        assert error_percent(labels_from_codes(codes, training, others), held_out) == pytest.approx(90, abs=4)
    shuffled = training[torch.randperm(1000, generator=torch.Generator().manual_seed(0))]
    unrelated = labels_from_codes(around(training, 1), shuffled, around(held_out, 2))
    assert error_percent(unrelated, held_out) == pytest.approx(90, abs=5)


def test_what_is_told_from_codes_is_the_same_each_time() -> None:
    labels = torch.arange(500) % 10
    codes, others = around(labels, 1).half(), 3 * normal(300).half()
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = labels_from_codes(codes, labels, others)
    assert torch.equal(torch.get_rng_state(), state) and (np.random.get_state()[1] == numpy_state).all()
    np.random.seed(4)
    assert torch.equal(labels_from_codes(codes.float(), labels, others.float()), first)


# Decoded images


def laplacian(image: list[list[float]]) -> list[float]:
    """Of each pixel that has four neighbors, one by one."""
    return [
        image[row - 1][column] + image[row + 1][column] + image[row][column - 1] + image[row][column + 1]
        - 4 * image[row][column]
        for row in range(1, 27)
        for column in range(1, 27)
    ]  # fmt: skip


def test_sharpness_agrees_with_a_loop_over_pixels(images: Images) -> None:
    some = torch.cat([images.images[:4], torch.rand(2, 784, generator=torch.Generator().manual_seed(0))])
    expected = [np.var(laplacian(image), ddof=1) for image in some.double().reshape(-1, 28, 28).tolist()]
    assert sharpness(some).tolist() == pytest.approx(expected, rel=1e-4)


def test_sharpness_of_a_straight_edge_and_of_nothing() -> None:
    half = torch.zeros(28, 28)
    half[:, 14:] = 1  # a column of 26 ones in the Laplacian and one of minus ones, zeros elsewhere
    for edge in (half, half.T, 1 - half):
        assert sharpness(edge.reshape(1, 784)).item() == pytest.approx(2 * 26 / (26 * 26 - 1))
    assert sharpness(torch.tensor([0.0, 0.3, 1.0])[:, None].expand(3, 784)).tolist() == pytest.approx(3 * [0])


def test_blurred_digits_are_less_sharp_and_pale_ones_too(images: Images) -> None:
    sharp = sharpness(images.images)
    assert sharp.shape == (600,) and (sharp > 0).all()
    pictures = images.images.reshape(-1, 1, 28, 28)
    for width in (3, 5):
        blurred = sharpness(F.avg_pool2d(pictures, width, stride=1, padding=width // 2).reshape(-1, 784))
        assert (blurred < 0.5 * sharp).all()
        sharp = blurred
    assert torch.allclose(sharpness(images.images / 2), sharpness(images.images) / 4)


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_the_images_of_a_linear_decoder_change_everywhere_as_its_matrix_says(dimensions: int) -> None:
    matrix = normal(dimensions, 784)
    changes = image_change(lambda codes: codes @ matrix + 1, normal(50, dimensions))
    expected = math.sqrt(sum(entry**2 for entry in matrix.flatten().tolist()))  # the Frobenius norm
    assert changes.shape == (50,) and changes.tolist() == pytest.approx(50 * [expected], rel=1e-5)


def test_image_change_agrees_with_finite_differences(make_model: Callable[..., Model]) -> None:
    model = make_model(seed=3)
    with torch.no_grad():
        model.decoder[0].weight.mul_(30)  # so that images change fast, and not everywhere alike
    codes = normal(20)
    changes = image_change(model.decode, codes)
    assert not changes.requires_grad and all(parameter.grad is None for parameter in model.parameters())

    decoder, step = model.decoder.double(), 1e-6
    expected = []
    for code in codes.double():
        squared = 0.0
        for dimension in range(2):
            moved = torch.zeros(2, dtype=torch.float64)
            moved[dimension] = step
            with torch.no_grad():
                difference = decoder(code + moved).sigmoid() - decoder(code - moved).sigmoid()
            squared += float((difference / (2 * step)).square().sum())
        expected.append(math.sqrt(squared))
    assert max(expected) > 1.2 * min(expected) > 0
    assert changes.tolist() == pytest.approx(expected, rel=1e-3)


def test_the_steepest_tenth_of_even_changes_is_a_tenth() -> None:
    assert steepest_tenth(torch.full((2000,), 0.7)) == pytest.approx(0.1)
    assert steepest_tenth(torch.full((2000,), 100.0).half()) == pytest.approx(0.1)  # a sum beyond float16


def test_the_steepest_tenth_of_plateaus_is_all_there_is() -> None:
    cliffs = torch.zeros(1000)
    cliffs[::10] = 5
    assert steepest_tenth(cliffs) == 1
    slopes = torch.ones(1000)
    slopes[::10] = 9
    assert steepest_tenth(slopes) == pytest.approx(0.5)  # 100 nines of 900 ones and 100 nines
    assert steepest_tenth(3 * slopes.flip(0)) == pytest.approx(0.5)
    assert steepest_tenth(torch.arange(1.0, 101.0)) == pytest.approx(sum(range(91, 101)) / 5050)


# Generated images


def correlated(count: int, dimensions: int, seed: int) -> Tensor:
    """Features with a mean of their own, whose dimensions are correlated and differently wide."""
    mixing = normal(dimensions, dimensions, seed + 1)
    return normal(count, dimensions, seed) @ mixing + normal(1, dimensions, seed + 2)


@pytest.mark.parametrize(("one", "other", "dimensions"), [(400, 300, 5), (100, 100, 16), (500, 40, 2)])
def test_the_frechet_distance_agrees_with_scipys_square_root_of_a_matrix(one: int, other: int, dimensions: int) -> None:
    first, second = correlated(one, dimensions, 1), correlated(other, dimensions, 7)
    a, b = first.double().numpy(), second.double().numpy()
    c, d = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + np.trace(c + d - 2 * sqrtm(c @ d).real)
    distance = frechet_distance(first, second)
    assert isinstance(distance, float) and distance == pytest.approx(expected, rel=1e-6) and expected > 0.1
    assert frechet_distance(second, first) == pytest.approx(distance, rel=1e-9)


def test_the_frechet_distance_of_shifted_features_is_the_squared_shift() -> None:
    features, shift = correlated(300, 6, 1), normal(1, 6, 50)
    assert frechet_distance(features, features + shift) == pytest.approx(shift.square().sum().item(), rel=1e-5)


def test_the_frechet_distance_of_scaled_features_is_that_of_their_lengths() -> None:
    """(s - 1)^2 times the sum of means' squares and of variances, since then C2 = s^2 C1."""
    features = correlated(300, 6, 1).double()
    sizes = features.mean(0).square().sum().item() + features.var(0).sum().item()
    for scale in (0.5, 3.0):
        assert frechet_distance(features, scale * features) == pytest.approx((scale - 1) ** 2 * sizes, rel=1e-6)


def test_the_frechet_distance_of_independent_dimensions_adds_their_differences() -> None:
    """Of 1-D Gaussians it is (m1 - m2)^2 + (s1 - s2)^2."""
    signs = torch.tensor([[a, b] for a in (-1.0, 1.0) for b in (-1.0, 1.0)])  # uncorrelated
    first, second = signs * torch.tensor([1.0, 2.0]), signs * torch.tensor([4.0, 0.5]) + torch.tensor([1.0, -1.0])
    unbiased = math.sqrt(4 / 3)  # four points: their deviations are larger by this than those of the signs
    expected = 2 + (unbiased * 3) ** 2 + (unbiased * 1.5) ** 2
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_equal_sets_are_at_no_frechet_distance_even_where_they_do_not_fill_space() -> None:
    flat = correlated(50, 3, 2) @ normal(3, 8)
    for features in (correlated(300, 6, 1), correlated(10, 30, 1), torch.ones(20, 4), flat):
        size = 1 + features.double().var(0).sum().item()
        assert 0 <= frechet_distance(features, features) < 1e-5 * size
        assert 0 <= frechet_distance(features, features.flip(0)) < 1e-5 * size  # they are sets
    assert frechet_distance(torch.ones(20, 4), torch.zeros(20, 4)) == pytest.approx(4)


def test_the_frechet_distance_of_float32_features_is_computed_in_float64() -> None:
    features = 1000 + normal(500, 3)
    assert frechet_distance(features, features + 1) == pytest.approx(3, rel=1e-3)
    assert frechet_distance(features, features + 1) == frechet_distance(features.double(), (features + 1).double())


def brute_log_likelihood(samples: Tensor, images: Tensor, bandwidth: float) -> np.ndarray:
    """Of each image, in float64 and one by one: the log of the mean of the densities of Gaussians."""
    pixels, found = images.shape[1], []
    for image in images.double().numpy():
        squared = ((samples.double().numpy() - image) ** 2).sum(axis=1)
        logs = -squared / (2 * bandwidth**2) - pixels / 2 * math.log(2 * math.pi * bandwidth**2)
        highest = logs.max()
        found.append(highest + math.log(np.exp(logs - highest).mean()))
    return np.array(found)


@pytest.mark.parametrize("block", [1, 7, 100, 1000])
def test_the_parzen_likelihood_agrees_with_all_pairs_in_any_number_of_blocks(
    block: int, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "PARZEN_BLOCK", block)
    samples, some = images.images[:100], images.images[100:130]
    bandwidths = torch.tensor([0.08, 0.2, 0.15, 2.0])
    found = parzen_log_likelihood(samples, some, bandwidths)
    assert found.shape == (4, 30) and found.dtype == torch.float32
    for row, bandwidth in zip(found, bandwidths.double().tolist(), strict=True):
        np.testing.assert_allclose(row, brute_log_likelihood(samples, some, bandwidth), rtol=1e-5, atol=0.01)


@pytest.mark.parametrize("bandwidth", [0.1, 0.25])
def test_the_parzen_likelihood_is_scikit_learns_kernel_density(bandwidth: float, images: Images) -> None:
    samples, some = images.images[:300], images.images[300:350]
    # In one leaf, because its bounds on several cancel badly in so many dimensions.
    estimate = KernelDensity(bandwidth=bandwidth, leaf_size=len(samples)).fit(samples.double().numpy())
    found = parzen_log_likelihood(samples, some, torch.tensor([bandwidth]))
    np.testing.assert_allclose(found[0], estimate.score_samples(some.double().numpy()), rtol=1e-5, atol=0.01)


def test_the_parzen_window_of_one_sample_is_a_gaussian_around_it() -> None:
    sample, images = torch.rand(1, 784), torch.rand(5, 784)
    for bandwidth in (0.1, 1.0):
        exact = torch.distributions.Normal(sample.double(), bandwidth).log_prob(images.double()).sum(1)
        found = parzen_log_likelihood(sample, images, torch.tensor([bandwidth]))[0]
        torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=0.02)
    at_sample = parzen_log_likelihood(sample, sample, torch.tensor([0.1]))
    assert at_sample.item() == pytest.approx(-392 * math.log(2 * math.pi * 0.1**2), abs=0.02)


def test_more_of_the_same_samples_change_no_likelihood_and_far_ones_halve_it(images: Images) -> None:
    samples, some, bandwidth = images.images[:50], images.images[50:70], torch.tensor([0.2])
    once = parzen_log_likelihood(samples, some, bandwidth)
    torch.testing.assert_close(parzen_log_likelihood(samples.repeat(41, 1), some, bandwidth), once, rtol=0, atol=0.02)
    with_far = parzen_log_likelihood(torch.cat([samples + 100, samples]), some, bandwidth)
    torch.testing.assert_close(with_far, once - math.log(2), rtol=0, atol=0.02)


def test_bandwidths_rise_from_0_08_to_0_3_by_equal_factors() -> None:
    assert len(BANDWIDTHS) == 59 and BANDWIDTHS[0].item() == pytest.approx(0.08)
    assert BANDWIDTHS[-1].item() == pytest.approx(0.3)
    torch.testing.assert_close(BANDWIDTHS[1:] / BANDWIDTHS[:-1], torch.full((58,), (0.3 / 0.08) ** (1 / 58)))


def test_the_chosen_bandwidth_is_the_one_that_makes_the_images_most_likely(images: Images) -> None:
    samples, some = images.images[:200], images.images[200:240]
    of_each = [brute_log_likelihood(samples, some, bandwidth).mean() for bandwidth in BANDWIDTHS.tolist()]
    best = int(np.argmax(of_each))
    assert 0 < best < len(BANDWIDTHS) - 1  # neither end
    assert choose_bandwidth(samples, some) == BANDWIDTHS[best].item()
    for bandwidths in (torch.tensor([0.08, 0.2, 1.0]), torch.tensor([1.0, 0.08, 0.2]), torch.tensor([0.2, 1.0, 0.08])):
        assert choose_bandwidth(samples, some, bandwidths) == pytest.approx(0.2)


def test_the_chosen_bandwidth_is_narrow_for_images_that_are_samples_and_wide_for_far_ones(images: Images) -> None:
    samples = images.images[:50]
    assert choose_bandwidth(samples, samples) == BANDWIDTHS[0].item()
    assert choose_bandwidth(samples, 1 - samples) == BANDWIDTHS[-1].item()
    noise = normal(50, 784) * 0.15
    assert choose_bandwidth(samples, samples + noise) == pytest.approx(0.15, rel=0.05)


# What all share


def test_measures_are_deterministic_and_draw_no_one_elses_numbers() -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = match(normal(500), GaussianMixture()), null_band(GaussianMixture(), 300, draws=2)
    neighbor_accuracy(normal(500), torch.arange(500) % 10)
    assert torch.equal(torch.get_rng_state(), state) and (np.random.get_state()[1] == numpy_state).all()
    torch.manual_seed(4)
    np.random.seed(4)
    assert (match(normal(500), GaussianMixture()), null_band(GaussianMixture(), 300, draws=2)) == first


def test_prior_samples_are_those_of_their_seed() -> None:
    assert torch.equal(prior_samples(Gaussian(2), 50), prior_samples(Gaussian(2), 50))
    assert not torch.equal(prior_samples(Gaussian(2), 50, seed=1), prior_samples(Gaussian(2), 50))
    assert prior_samples(Gaussian(3)).shape == (10_000, 3)


def test_codes_of_the_evidence_are_measured_as_they_are(samples: Tensor) -> None:
    for prior in (Gaussian(2), GaussianMixture(), SwissRoll()):
        codes = prior_samples(prior, COUNT, seed=9).half()
        assert match(codes, prior) == match(codes.float(), prior)
    assert neighbor_accuracy(codes, torch.arange(COUNT) % 10) > 0


def test_the_farthest_line_is_the_one_across_the_hole() -> None:
    angle = torch.linspace(0, 2 * math.pi, 400)
    ring = torch.stack([angle.cos(), angle.sin()], 1)  # with a hole in its middle
    starts, ends = torch.tensor([[-1.0, 0.0], [0.9, 0.1]]), torch.tensor([[1.0, 0.0], [0.9, -0.1]])
    line, gap = farthest_line(starts, ends, ring, steps=5)
    assert torch.allclose(line, torch.stack([torch.linspace(-1, 1, 5), torch.zeros(5)], 1))
    assert gap == pytest.approx(1, abs=1e-3)
