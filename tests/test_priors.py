"""Priors: their samples, and what is refused as one."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from support import heads_at
from torch import Tensor
from torch.distributions import Categorical as Classes
from torch.distributions import Independent, MixtureSameFamily, MultivariateNormal, Normal

from aae_lib.metrics import prior_samples
from aae_lib.models import AdversarialAutoencoder, ReducingAutoencoder
from aae_lib.priors import (
    AroundHeads,
    Categorical,
    ClassConditionalPrior,
    Gaussian,
    GaussianMixture,
    LabelAndStyle,
    Prior,
    PriorError,
    Ring,
    SwissRoll,
    UniformSphere,
    UniformSquare,
    check_prior,
    great_circle,
    seeded,
    straight_line,
)
from aae_lib.training import SGD, Recipe, train

HEADS = [[-2.0, -2.0], [2.0, -2.0], [0.0, 2.0]]
AROUND_HEADS = AroundHeads(Categorical(3), Gaussian(2, 0.5), heads_at(HEADS).positions)
# The second ring is so wide that a good part of its distances are negative.
DENSE = [Gaussian(2), GaussianMixture(), UniformSquare(2.0), Ring(2.0, 0.1), Ring(1.0, 0.6), AROUND_HEADS]
OF_CLASSES = [GaussianMixture(), SwissRoll(), Categorical(10), Categorical(3)]
LABELS_AND_STYLES = [LabelAndStyle(Categorical(10), Gaussian(3, 2.0)), LabelAndStyle(Categorical(3), UniformSphere(2))]
ALL = [*DENSE, *OF_CLASSES[1:], *LABELS_AND_STYLES, UniformSphere(10)]


def name_of(value: object) -> str | None:
    return type(value).__name__ if isinstance(value, Prior) else None


class Circle(Prior):
    """A user's own prior: the circle of radius 2, with a little width."""

    dimensions = 2

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        angle = 2 * math.pi * torch.rand(count, device=device)
        radius = 2 + 0.1 * torch.randn(count, device=device)
        return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


class Wrong(Prior):
    """A prior of two dimensions that returns what it is given."""

    dimensions = 2

    def __init__(self, samples: object):
        self.samples = samples

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return self.samples


@pytest.mark.parametrize(("dimensions", "deviation"), [(2, 1.0), (8, 5.0)])
def test_gaussian_samples_have_its_moments(dimensions: int, deviation: float) -> None:
    torch.manual_seed(0)
    samples = Gaussian(dimensions, deviation).sample(20_000)
    assert samples.shape == (20_000, dimensions) and samples.dtype == torch.float32
    covariance = torch.cov(samples.T) / deviation**2
    assert (samples.mean(0) / deviation).abs().max() < 0.04
    assert (covariance - torch.eye(dimensions)).abs().max() < 0.05
    kurtosis = (samples / deviation).pow(4).mean(0)
    assert (kurtosis - 3).abs().max() < 0.3


@pytest.mark.parametrize("prior", ALL, ids=name_of)
def test_samples_come_from_the_global_generator(prior: Prior) -> None:
    torch.manual_seed(1)
    first, second = prior.sample(20), prior.sample(20)
    torch.manual_seed(1)
    assert torch.equal(prior.sample(20), first) and not torch.equal(first, second)


@pytest.mark.parametrize(("dimensions", "deviation"), [(2, 1.0), (8, 5.0), (3, 0.1)])
def test_log_prob_is_that_of_torch_distributions(dimensions: int, deviation: float) -> None:
    codes = torch.randn(50, dimensions)
    expected = Independent(Normal(torch.zeros(dimensions), deviation), 1).log_prob(codes)
    torch.testing.assert_close(Gaussian(dimensions, deviation).log_prob(codes), expected)


@pytest.mark.parametrize(("dimensions", "deviation"), [(0, 1.0), (-1, 1.0), (2, 0.0), (2, -1.0), (2, math.nan)])
def test_gaussians_that_are_none_are_refused(dimensions: int, deviation: float) -> None:
    with pytest.raises(PriorError, match=r"dimensions >= 1 and standard_deviation > 0"):
        Gaussian(dimensions, deviation)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (torch.randn(1000, 3), r"shape \(1000, 2\), but returned \(1000, 3\)"),
        (torch.randn(1000), r"returned \(1000,\)"),
        (torch.randn(10, 2), r"returned \(10, 2\)"),
        (torch.randint(5, (1000, 2)), "float32 tensor.*torch.int64"),
        (torch.randn(1000, 2).double(), "float32 tensor.*torch.float64"),
        (torch.randn(1000, 2).numpy(), "returned ndarray"),
        (None, "returned NoneType"),
        (torch.randn(1000, 2).index_fill(0, torch.tensor(7), math.nan), "NaN or infinite"),
        (torch.randn(1000, 2).index_fill(0, torch.tensor(7), math.inf), "NaN or infinite"),
        (torch.randn(1000, 2) * torch.tensor([1.0, 0.0]), "constant in dimension 1"),
        (torch.ones(1000, 2), "constant in dimension 0"),
    ],
)
def test_what_is_no_prior_is_refused(samples: object, message: str) -> None:
    with pytest.raises(PriorError, match=r"Wrong\.sample\(1000\).*" + message):
        check_prior(Wrong(samples))


class OfNumpy(Prior):
    """Draws with numpy's random numbers, which no seed of a run reaches."""

    dimensions = 2

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return torch.from_numpy(np.random.randn(count, 2).astype("float32"))


def test_a_prior_that_no_seed_reaches_is_refused() -> None:
    with pytest.raises(PriorError, match=r"OfNumpy.sample draws other samples for the same seed.*torch\.randn"):
        check_prior(OfNumpy())


def test_the_check_returns_the_variance_and_leaves_random_numbers_alone() -> None:
    state = torch.get_rng_state()
    assert check_prior(Gaussian(4, 5.0)) == pytest.approx(25, rel=0.1)
    assert check_prior(Circle()) == pytest.approx(2, rel=0.1)
    assert torch.equal(torch.get_rng_state(), state)


def test_training_refuses_what_is_no_prior(images, make_recipe) -> None:
    model = AdversarialAutoencoder(Wrong(torch.ones(1000, 2)), hidden=(8,))
    with pytest.raises(PriorError, match="constant"):
        next(train(model, images, make_recipe(model), device="cpu"))


def test_an_own_prior_of_ten_lines_attracts_the_codes(images) -> None:
    torch.manual_seed(0)
    model = AdversarialAutoencoder(Circle(), hidden=(32,))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    recipe = Recipe({"reconstruction": SGD(1e-5), "discriminator": SGD(0.1), "generator": SGD(0.02)}, steps=300)
    before = model.encode(images.images).norm(dim=1).sub(2).abs().mean()
    reports = list(train(model, images, recipe, device="cpu", bfloat16=False))
    after = model.encode(images.images).norm(dim=1).sub(2).abs().mean()
    assert reports[-1].losses.keys() == {"reconstruction", "discriminator", "generator"}
    assert after < 0.8 * before


# What all priors have in common


@pytest.mark.parametrize("prior", ALL, ids=name_of)
def test_every_prior_passes_the_check(prior: Prior) -> None:
    samples = prior.sample(7)
    assert samples.shape == (7, prior.dimensions) and samples.dtype == torch.float32
    assert check_prior(prior) == pytest.approx(prior.sample(20_000).var(0).mean().item(), rel=0.15)


@pytest.mark.parametrize("prior", ALL, ids=name_of)
def test_samples_are_made_on_the_device_that_is_named(prior: Prior) -> None:
    """And on no other: what is made without naming a device is made on the default one, here one without data."""
    labels = torch.tensor([0, 2])

    def everything() -> list[Tensor]:
        torch.manual_seed(0)
        codes = prior.sample(7, "cpu")
        made = [codes, prior.log_prob(codes)] if hasattr(prior, "log_prob") else [codes]
        if isinstance(prior, ClassConditionalPrior):
            made += [prior.sample_of_class(labels), prior.nearest_class(codes)]
        return made

    expected = everything()
    with torch.device("meta"):
        made = everything()
    assert all(tensor.device.type == "cpu" for tensor in made)
    assert all(torch.equal(*pair) for pair in zip(made, expected, strict=True))


# Densities


@pytest.mark.parametrize("prior", DENSE, ids=name_of)
def test_densities_integrate_to_one_and_samples_follow_them(prior: Prior) -> None:
    """A million points on [-5, 5]^2 give the mass of each of 400 squares; 100,000 samples are counted in the same."""
    side = (torch.arange(1000) + 0.5) / 100 - 5
    density = prior.log_prob(torch.cartesian_prod(side, side)).double().exp()
    assert density.sum().item() / 1e4 == pytest.approx(1, abs=1e-3)

    masses = density.reshape(20, 50, 20, 50).sum((1, 3)).flatten() / 1e4
    torch.manual_seed(0)
    places = (2 * (prior.sample(100_000) + 5)).floor().long().clamp(0, 19)
    counts = torch.bincount(20 * places[:, 0] + places[:, 1], minlength=400)
    expected = 100_000 * masses
    assert counts[expected < 1e-3].sum() == 0
    frequent = expected > 10
    scores = (counts - expected)[frequent] / expected[frequent].sqrt()
    assert scores.abs().max() < 4.5 and 0.6 < scores.square().mean() < 1.5


def test_the_mixture_is_that_of_torch_distributions() -> None:
    angle = 2 * math.pi * torch.arange(10) / 10
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).reshape(10, 2, 2)
    covariance = rotation @ torch.diag(torch.tensor([0.5, 0.05]).square()) @ rotation.mT
    components = MultivariateNormal(1.4 * rotation[:, :, 0], covariance)
    codes = 2 * torch.randn(500, 2)
    prior = GaussianMixture()
    mixture = MixtureSameFamily(Classes(torch.ones(10)), components)
    torch.testing.assert_close(prior.log_prob(codes), mixture.log_prob(codes), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(
        prior.component_log_probs(codes), components.log_prob(codes[:, None]), rtol=1e-4, atol=1e-3
    )


def test_the_mixture_is_not_computed_in_bfloat16_inside_autocast() -> None:
    prior, labels, codes = GaussianMixture(), torch.arange(10), torch.randn(10, 2)
    expected = prior.log_prob(codes), prior.place(codes, labels)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(prior.log_prob(codes), expected[0])
        assert torch.equal(prior.place(codes, labels), expected[1])


def test_the_density_of_the_square_ends_at_its_sides() -> None:
    prior = UniformSquare(3.0)
    codes = torch.tensor([[0.0, 0.0], [2.9, -2.9], [3.1, 0.0], [0.0, -3.1]])
    expected = [-math.log(36), -math.log(36), -math.inf, -math.inf]
    torch.testing.assert_close(prior.log_prob(codes), torch.tensor(expected))


# Classes


@pytest.mark.parametrize("prior", [*OF_CLASSES, *LABELS_AND_STYLES, AROUND_HEADS], ids=name_of)
def test_samples_of_a_class_are_nearest_to_it_and_all_samples_have_all_classes(prior: ClassConditionalPrior) -> None:
    torch.manual_seed(0)
    labels = torch.arange(10_000) % prior.classes
    for kind in (torch.int64, torch.int32, torch.uint8):
        samples = prior.sample_of_class(labels.to(kind))
        assert samples.shape == (10_000, prior.dimensions) and samples.dtype == torch.float32
        assert (prior.nearest_class(samples) == labels).double().mean() > 0.985
    counts = torch.bincount(prior.nearest_class(prior.sample(10_000)), minlength=prior.classes)
    assert len(counts) == prior.classes and (counts - 10_000 / prior.classes).abs().max() < 4.5 * 50
    assert prior.sample_of_class(labels[:0]).shape == (0, prior.dimensions)


@pytest.mark.parametrize("prior", OF_CLASSES, ids=name_of)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, -1]), "labels from -1 to 0"),
        (torch.tensor([1, 10]), "labels from 1 to 10"),
        (torch.tensor([0.0, 1.0]), r"torch.float32 of shape \(2,\)"),
        (torch.tensor([True, False]), "torch.bool"),
        (torch.tensor([[0, 1]]), r"shape \(1, 2\)"),
        (torch.tensor(1), r"shape \(\)"),
    ],
)
def test_what_is_no_label_is_refused(prior: ClassConditionalPrior, labels: Tensor, message: str) -> None:
    expected = rf"{type(prior).__name__} needs integer labels \[n\] from 0 to {prior.classes - 1}, not .*{message}"
    with pytest.raises(PriorError, match=expected):
        prior.sample_of_class(labels)


@pytest.mark.parametrize("label", [0, 3, 9])
def test_a_component_of_the_mixture_is_a_gaussian_that_points_outward(label: int) -> None:
    torch.manual_seed(0)
    samples = GaussianMixture().sample_of_class(torch.full((20_000,), label))
    angle = torch.tensor(2 * math.pi * label / 10)
    along = samples @ torch.stack([angle.cos(), angle.sin()])
    across = samples @ torch.stack([-angle.sin(), angle.cos()])
    assert along.mean().item() == pytest.approx(1.4, abs=0.02) and along.std().item() == pytest.approx(0.5, rel=0.03)
    assert across.mean().item() == pytest.approx(0, abs=0.002) and across.std().item() == pytest.approx(0.05, rel=0.03)
    assert abs(torch.corrcoef(torch.stack([along, across]))[0, 1]) < 0.03


def test_places_of_the_mixture_are_counted_in_deviations_from_the_means() -> None:
    places = GaussianMixture().place(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 5, 0]))
    torch.testing.assert_close(places, torch.tensor([[1.4, 0.0], [-2.4, 0.0], [1.4, 0.1]]))


def test_codes_between_components_go_to_the_one_with_the_higher_density() -> None:
    angle = torch.tensor([0.25, 0.35]) * math.pi  # component 1 lies at 0.2 pi, component 2 at 0.4 pi
    codes = 1.4 * torch.stack([angle.cos(), angle.sin()], 1)
    assert GaussianMixture().nearest_class(codes).tolist() == [1, 2]
    assert GaussianMixture().nearest_class(codes.half()).tolist() == [1, 2]


@pytest.mark.parametrize("label", [0, 4, 9])
def test_a_tenth_of_the_roll_is_evenly_filled(label: int) -> None:
    torch.manual_seed(0)
    samples = SwissRoll().sample_of_class(torch.full((10_000,), label))
    radius = samples.double().norm(dim=1)
    torch.testing.assert_close(
        samples.double(),
        radius[:, None] * torch.stack([(4 * math.pi * radius / 3).cos(), (4 * math.pi * radius / 3).sin()], 1),
        rtol=0,
        atol=1e-4,
    )
    share = 10 * (radius / 3).square() - label  # uniform in [0, 1] if the tenth is evenly filled
    assert -1e-4 < share.min() < 0.01 and 0.99 < share.max() < 1 + 1e-4
    assert share.mean().item() == pytest.approx(1 / 2, abs=0.015)
    assert share.var().item() == pytest.approx(1 / 12, rel=0.05)


def test_the_roll_starts_at_the_center_and_codes_beside_it_belong_to_its_nearest_point() -> None:
    roll = SwissRoll()
    expected = torch.tensor([[0.0, 0.0], [1.5, 0.0], [3.0, 0.0]])
    torch.testing.assert_close(roll.walk(torch.tensor([0.0, 0.25, 1.0])), expected, rtol=0, atol=1e-5)
    # On the first axis the roll passes at 0, at 1.5 (class 2) and at 3 (class 9); the ring of 2.25 (class 5) lies left.
    codes = torch.tensor([[0.0, 0.0], [1.3, 0.0], [2.0, 0.0], [2.7, -0.1], [9.0, -1.0], [-2.25, 0.0], [-2.0, 0.0]])
    assert roll.nearest_class(codes).tolist() == [0, 2, 2, 9, 9, 5, 5]
    assert roll.nearest_class(codes.half()).tolist() == [0, 2, 2, 9, 9, 5, 5]


@pytest.mark.parametrize("prior", [GaussianMixture(), SwissRoll(), Ring(2.0, 0.1)], ids=name_of)
def test_a_walk_is_continuous_and_can_be_had_in_parts(prior: Prior) -> None:
    shares = torch.linspace(0, 1, 10_001)
    codes = prior.walk(shares)
    assert codes.shape == (10_001, 2) and codes.dtype == torch.float32
    steps = codes.diff(dim=0).norm(dim=1)
    assert steps.min() > 0 and steps.max() < (0.035 if isinstance(prior, SwissRoll) else 0.0015)
    assert torch.equal(prior.walk(shares[5:7]), codes[5:7])
    assert prior.walk(shares[:0]).shape == (0, 2)


@pytest.mark.parametrize("prior", [GaussianMixture(), SwissRoll()], ids=name_of)
def test_a_walk_gives_each_class_the_same_share_of_the_way_in_order(prior: ClassConditionalPrior) -> None:
    shares = (torch.arange(10_000) + 0.5) / 10_000
    classes = prior.nearest_class(prior.walk(shares))
    shift = 0.5 if isinstance(prior, GaussianMixture) else 0  # the mixture's walk starts in the middle of component 0
    expected = (10 * shares + shift).floor().long() % 10
    assert (classes == expected).double().mean() > 0.999
    assert (torch.bincount(classes) - 1000).abs().max() <= 2


def test_the_mixtures_walk_goes_from_mean_to_mean_and_crosses_the_gaps() -> None:
    mixture = GaussianMixture()
    means = mixture.place(torch.zeros(11, 2), torch.arange(11) % 10)
    torch.testing.assert_close(mixture.walk(torch.arange(11) / 10), means, rtol=0, atol=1e-5)
    torch.manual_seed(0)
    sampled = mixture.log_prob(mixture.sample(10_000)).quantile(torch.tensor([0.001, 0.99]))
    assert (mixture.log_prob(means) > sampled[1]).all()
    assert (mixture.log_prob(mixture.walk(torch.arange(10) / 10 + 0.05)) < sampled[0]).all()


def test_the_rings_walk_is_once_around_its_middle() -> None:
    ring = Ring(1.5, 0.1)
    quarters = torch.tensor([[1.5, 0.0], [0.0, 1.5], [-1.5, 0.0], [0.0, -1.5], [1.5, 0.0]])
    torch.testing.assert_close(ring.walk(torch.arange(5) / 4), quarters, rtol=0, atol=1e-5)
    torch.manual_seed(0)
    likely = ring.log_prob(ring.sample(10_000)).quantile(0.9)
    assert (ring.log_prob(ring.walk(torch.rand(100))) > likely).all()


def test_categorical_samples_are_one_hot() -> None:
    samples = Categorical(3).sample(1000)
    assert torch.equal(samples.sort(1).values, torch.tensor([[0.0, 0.0, 1.0]]).expand(1000, 3))
    assert torch.equal(Categorical(3).sample_of_class(torch.tensor([2, 0])), torch.tensor([[0.0, 0, 1], [1, 0, 0]]))
    assert Categorical(3).nearest_class(torch.tensor([[0.2, 0.3, 0.1], [-1.0, -3.0, -2.0]])).tolist() == [1, 0]


# A label and a style


def test_a_label_and_a_style_are_those_of_their_priors_and_independent() -> None:
    prior = LabelAndStyle(Categorical(4), Gaussian(3, 2.0))
    assert (prior.classes, prior.dimensions) == (4, 7)
    torch.manual_seed(0)
    label, style = prior.split(prior.sample(40_000))
    assert torch.equal(label.sort(1).values, torch.tensor([[0.0, 0.0, 0.0, 1.0]]).expand(40_000, 4))
    assert (label.mean(0) - 0.25).abs().max() < 0.01
    for own in label.bool().T:
        assert style[own].mean(0).abs().max() < 0.1
        assert (torch.cov(style[own].T) / 4 - torch.eye(3)).abs().max() < 0.06


def test_samples_of_a_label_have_it_and_any_style() -> None:
    prior, labels = LabelAndStyle(Categorical(4), Gaussian(2)), torch.tensor([3, 0, 3])
    torch.manual_seed(0)
    codes = prior.sample_of_class(labels)
    torch.manual_seed(0)
    assert torch.equal(codes, torch.cat([torch.eye(4)[labels], Gaussian(2).sample(3)], 1))
    assert not torch.equal(codes[0], codes[2])


def test_codes_are_split_into_the_label_and_the_style() -> None:
    prior, codes = LabelAndStyle(Categorical(3), Gaussian(2)), torch.arange(10.0).reshape(2, 5)
    label, style = prior.split(codes)
    assert label.tolist() == [[0, 1, 2], [5, 6, 7]] and style.tolist() == [[3, 4], [8, 9]]


def test_the_nearest_label_heeds_no_style() -> None:
    codes = torch.tensor([[0.2, 0.5, 0.3, 9.0, -9.0], [0.4, 0.3, 0.3, 0.0, 70.0]])
    assert LabelAndStyle(Categorical(3), Gaussian(2)).nearest_class(codes).tolist() == [1, 0]


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_that_there_is_not_has_no_samples(label: int) -> None:
    message = rf"Categorical needs integer labels \[n\] from 0 to 2, not labels from {label} to {label}"
    with pytest.raises(PriorError, match=message):
        LabelAndStyle(Categorical(3), Gaussian(2)).sample_of_class(torch.tensor([label]))


# The sphere, and what is refused


@pytest.mark.parametrize("dimensions", [2, 3, 64])
def test_the_sphere_is_evenly_covered(dimensions: int) -> None:
    torch.manual_seed(0)
    samples = UniformSphere(dimensions).sample(50_000)
    torch.testing.assert_close(samples.norm(dim=1), torch.ones(50_000))
    assert samples.mean(0).abs().max() * dimensions**0.5 < 0.025
    assert (dimensions * torch.cov(samples.T) - torch.eye(dimensions)).abs().max() < 0.035
    fourth = 3 / (dimensions * (dimensions + 2))
    assert (samples.pow(4).mean(0) / fourth - 1).abs().max() < 0.08


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UniformSquare(0.0), "half_side > 0, not 0.0"),
        (lambda: UniformSquare(math.nan), "half_side > 0, not nan"),
        (lambda: Ring(0.0, 0.1), "radius > 0 and width > 0, not 0.0 and 0.1"),
        (lambda: Ring(2.0, -0.1), "radius > 0 and width > 0, not 2.0 and -0.1"),
        (lambda: Categorical(1), "classes >= 2, not 1"),
        (lambda: UniformSphere(1), "dimensions >= 2, not 1"),
    ],
)
def test_bad_arguments_are_refused(make: Callable[[], Prior], message: str) -> None:
    with pytest.raises(PriorError, match=message):
        make()


def test_a_roll_with_a_width_spreads_across_its_curve_and_not_along_it() -> None:
    torch.manual_seed(0)
    labels = torch.randint(10, (20_000,))
    points = SwissRoll(width=0.1).sample_of_class(labels)
    curve = SwissRoll().walk(torch.linspace(0, 1, 4000))
    beside, nearest = torch.cdist(points, curve).min(1)
    assert beside[labels > 0].square().mean().sqrt().item() == pytest.approx(0.1, rel=0.03)
    # At the center turns are as narrow as the noise is wide; elsewhere no sample leaves its tenth.
    own = SwissRoll().nearest_class(points) == labels
    assert own.double().mean() > 0.99 and own[labels > 1].double().mean() > 0.998
    outside = points.norm(dim=1) > curve[nearest].norm(dim=1)
    assert outside[labels > 0].double().mean().item() == pytest.approx(0.5, abs=0.02)
    with pytest.raises(PriorError, match="width >= 0, not -1"):
        SwissRoll(width=-1)


# Around heads


def test_samples_of_a_label_are_a_gaussian_around_its_head() -> None:
    heads = heads_at([[5.0, 0, -5], [0, 0, 0], [9, 9, 9], [-30, 1, 0]])
    prior = AroundHeads(Categorical(4), Gaussian(3, 2.0), heads.positions)
    assert (prior.classes, prior.dimensions) == (4, 3)
    assert prior.positions.tolist() == [[5, 0, -5], [0, 0, 0], [9, 9, 9], [-30, 1, 0]]
    torch.manual_seed(0)
    labels = torch.arange(40_000) % 4
    samples = prior.sample_of_class(labels)
    assert samples.shape == (40_000, 3) and samples.dtype == torch.float32 and not samples.requires_grad
    for label in range(4):
        own = samples[labels == label]
        assert (own.mean(0) - prior.positions[label]).abs().max() < 0.08
        assert (torch.cov(own.T) / 4 - torch.eye(3)).abs().max() < 0.06


def test_the_samples_around_heads_are_those_of_all_labels_alike() -> None:
    torch.manual_seed(0)
    samples = AROUND_HEADS.sample(30_000)
    distances = np.linalg.norm(samples.numpy()[:, None] - np.array(HEADS), axis=2)
    assert np.abs(np.bincount(distances.argmin(1), minlength=3) - 10_000).max() < 4.5 * 82
    assert distances.min(1).mean() == pytest.approx(0.5 * math.sqrt(math.pi / 2), rel=0.02)  # of a Rayleigh distance


@pytest.mark.parametrize(("dimensions", "deviation"), [(2, 1.0), (5, 0.7)])
def test_the_density_around_heads_is_that_of_scipys_mixture(dimensions: int, deviation: float) -> None:
    torch.manual_seed(0)
    positions = 3 * torch.randn(6, dimensions)
    prior = AroundHeads(Categorical(6), Gaussian(dimensions, deviation), heads_at(positions.tolist()).positions)
    codes = 4 * torch.randn(300, dimensions)
    x = codes.double().numpy()
    densities = [multivariate_normal(head, deviation**2 * np.eye(dimensions)).pdf(x) for head in positions.numpy()]
    np.testing.assert_allclose(prior.component_log_probs(codes).exp(), np.transpose(densities), rtol=1e-3, atol=1e-30)
    np.testing.assert_allclose(prior.log_prob(codes), np.log(np.mean(densities, axis=0)), rtol=1e-5, atol=1e-4)
    assert torch.equal(prior.nearest_class(codes), torch.from_numpy(np.argmax(densities, axis=0)))
    nearest = np.linalg.norm(x[:, None] - positions.double().numpy(), axis=2).argmin(1)
    assert torch.equal(prior.nearest_class(codes), torch.from_numpy(nearest))
    assert torch.equal(prior.nearest_class(codes.half()).bincount(minlength=6), torch.from_numpy(np.bincount(nearest)))


def test_what_is_around_heads_is_not_computed_in_bfloat16_inside_autocast() -> None:
    labels, codes = torch.arange(3), torch.randn(10, 2)

    def everything() -> list[Tensor]:
        torch.manual_seed(0)
        return [AROUND_HEADS.sample_of_class(labels), AROUND_HEADS.log_prob(codes), AROUND_HEADS.walk(torch.rand(10))]

    expected = everything()
    with torch.autocast("cpu", torch.bfloat16):
        assert all(torch.equal(*pair) for pair in zip(everything(), expected, strict=True))


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_walk_around_heads_passes_each_in_turn_on_straight_lines_and_closes(classes: int) -> None:
    torch.manual_seed(0)
    heads = heads_at((3 * torch.randn(classes, 2)).tolist())
    positions = heads.positions.detach()
    prior = AroundHeads(Categorical(classes), Gaussian(2), heads.positions)
    order = torch.arange(classes + 1)
    codes = prior.walk(order / classes)
    torch.testing.assert_close(codes, positions[order % classes], rtol=0, atol=1e-4)
    assert torch.equal(codes[0], codes[-1])
    after = positions.roll(-1, 0)
    for part in (0.25, 0.5, 0.9):
        expected = (1 - part) * positions + part * after
        torch.testing.assert_close(prior.walk((order[:-1] + part) / classes), expected, rtol=0, atol=1e-4)
    steps = prior.walk(torch.linspace(0, 1, 10_001)).diff(dim=0).norm(dim=1)
    longest = (positions - after).norm(dim=1).max().item()
    assert steps.max() == pytest.approx(longest * classes / 10_000, rel=0.05)
    assert prior.walk(torch.empty(0)).shape == (0, 2)
    assert torch.equal(prior.walk(torch.linspace(0, 1, 10)[3:5]), prior.walk(torch.linspace(0, 1, 10))[3:5])


def test_the_prior_around_heads_follows_them_when_they_move() -> None:
    heads = heads_at(HEADS)
    prior = AroundHeads(Categorical(3), Gaussian(2, 0.5), heads.positions)
    at_home = torch.tensor(HEADS)
    before = prior.log_prob(at_home)
    assert prior.nearest_class(at_home).tolist() == [0, 1, 2]
    with torch.no_grad():
        heads.positions += 100
    torch.testing.assert_close(prior.log_prob(at_home + 100), before)
    torch.testing.assert_close(prior.positions, at_home + 100)
    torch.testing.assert_close(prior.walk(torch.zeros(1)), at_home[:1] + 100)
    assert prior.sample(100).min() > 90 and (prior.log_prob(at_home) < -1000).all()
    model = ReducingAutoencoder(4, 2, hidden=(8,))
    model.heads.positions.data[2] = torch.tensor([50.0, -50.0])
    assert prior is not model.prior and model.prior.positions[2].tolist() == [50, -50]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, -1]), "labels from -1 to 0"),
        (torch.tensor([1, 3]), "labels from 1 to 3"),
        (torch.tensor([0.0, 1.0]), r"torch.float32 of shape \(2,\)"),
        (torch.tensor([True, False]), "torch.bool"),
        (torch.tensor([[0, 1]]), r"shape \(1, 2\)"),
    ],
)
def test_a_label_that_has_no_head_has_no_samples(labels: Tensor, message: str) -> None:
    with pytest.raises(PriorError, match=rf"needs integer labels \[n\] from 0 to 2, not .*{message}"):
        AROUND_HEADS.sample_of_class(labels)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_heads_on_a_gpu_have_samples_there_and_pass_the_check() -> None:
    prior = AroundHeads(Categorical(3), Gaussian(2, 0.5), heads_at(HEADS).cuda().positions)
    samples = prior.sample(100, "cuda")
    assert samples.device.type == "cuda" and prior.positions.device.type == "cpu"
    assert prior.nearest_class(samples).device.type == prior.log_prob(samples).device.type == "cuda"
    assert check_prior(prior) > 0


# Paths between two codes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angle", [1e-3, 0.5, 2.0, 3.1])
def test_the_great_circle_is_on_the_sphere_and_turns_by_equal_angles(angle: float, dtype: torch.dtype) -> None:
    start = UniformSphere(6).sample(1)[0].to(dtype)
    away = torch.randn(6, dtype=dtype)
    away = torch.nn.functional.normalize(away - (away @ start) * start, dim=0)
    end = math.cos(angle) * start + math.sin(angle) * away
    shares = torch.linspace(0, 1, 9)
    points = great_circle(start, end)(shares)
    assert points.shape == (9, 6) and points.dtype == dtype
    assert torch.allclose(points[[0, -1]], torch.stack([start, end]), atol=1e-5)
    assert torch.allclose(points.norm(dim=1), torch.ones(9, dtype=dtype), atol=1e-5)
    along, across = (points @ start).double(), (points @ away).double()
    assert torch.allclose(torch.atan2(across, along), shares.double() * angle, atol=1e-4), "the shorter way"


def test_opposite_codes_have_no_shortest_way_and_equal_ones_stay() -> None:
    start = UniformSphere(3).sample(1)[0]
    with pytest.raises(ValueError, match="equally short"):
        great_circle(start, -start)
    assert torch.allclose(great_circle(start, start)(torch.linspace(0, 1, 3)), start.expand(3, -1), atol=1e-6)


def test_the_straight_line_has_equal_steps() -> None:
    points = straight_line(torch.tensor([0.0, 4.0]), torch.tensor([2.0, 0.0]))(torch.linspace(0, 1, 3))
    assert points.tolist() == [[0, 4], [1, 2], [2, 0]]


# A prior of one's own, and random numbers


class AsDocumented(Prior):
    dimensions = 2

    def sample(self, count: int, device: torch.device | str) -> Tensor:
        return torch.randn(count, 2, device=device)


def test_a_prior_with_the_documented_method_serves() -> None:
    assert 0.8 < check_prior(AsDocumented()) < 1.2
    assert prior_samples(AsDocumented(), 5).shape == (5, 2)


def test_inside_the_numbers_are_those_of_the_seed_and_afterwards_the_callers() -> None:
    torch.manual_seed(7)
    expected = torch.rand(4)
    torch.manual_seed(7)
    first = torch.rand(2)
    for device in ("cpu", torch.device("cpu")):
        with seeded(3, device):
            assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(3)))
    assert torch.equal(torch.cat([first, torch.rand(2)]), expected)
