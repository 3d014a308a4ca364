"""Priors: their samples, densities, classes and walks, and what is refused as one."""

import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor
from torch.distributions import Categorical as Classes
from torch.distributions import Independent, MixtureSameFamily, MultivariateNormal, Normal

from aae_lib.errors import AaeError, PriorError
from aae_lib.priors import (
    AroundHeads,
    Categorical,
    ClassConditionalPrior,
    Gaussian,
    GaussianMixture,
    LabelAndStyle,
    Prior,
    Ring,
    SwissRoll,
    UniformSphere,
    UniformSquare,
    check_prior,
    great_circle,
    straight_line,
)

HEADS = torch.tensor([[-2.0, -2.0], [2.0, -2.0], [0.0, 2.0]])
AROUND_HEADS = AroundHeads(Categorical(3), Gaussian(2, 0.5), HEADS)
# The second ring is so wide that a good part of its distances are negative.
DENSE = [Gaussian(2), GaussianMixture(), UniformSquare(2.0), Ring(2.0, 0.1), Ring(1.0, 0.6), AROUND_HEADS]
OF_CLASSES = [
    GaussianMixture(),
    SwissRoll(),
    Categorical(10),
    Categorical(3),
    LabelAndStyle(Categorical(10), Gaussian(3, 2.0)),
    AROUND_HEADS,
]
ALL = [*DENSE, *OF_CLASSES[1:-1], LabelAndStyle(Categorical(3), UniformSphere(2)), UniformSphere(10)]


def name_of(value: object) -> str | None:
    return type(value).__name__ if isinstance(value, Prior) else None


# What is refused


class Wrong(Prior):
    """A prior of two dimensions that returns what it is given."""

    dimensions = 2

    def __init__(self, samples: object):
        self.samples = samples

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return self.samples[:count] if isinstance(self.samples, Tensor) else self.samples


class OfNumpy(Prior):
    """Draws with numpy's random numbers, which no seed of a run reaches."""

    dimensions = 2

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return torch.from_numpy(np.random.randn(count, 2).astype("float32"))


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (torch.randn(1000, 3), r"\(1000, 2\).*\(1000, 3\)"),
        (torch.randn(10, 2), r"\(10, 2\)"),
        (torch.randint(5, (1000, 2)), "float32.*int64"),
        (torch.randn(1000, 2).double(), "float32.*float64"),
        (torch.randn(1000, 2).numpy(), "ndarray"),
        (None, "NoneType"),
        (torch.randn(1000, 2).index_fill(0, torch.tensor(7), math.nan), "NaN"),
        (torch.randn(1000, 2).index_fill(0, torch.tensor(7), math.inf), "infinite"),
        (torch.randn(1000, 2) * torch.tensor([1.0, 0.0]), "constant in dimension 1"),
    ],
)
def test_broken_samples_are_refused(samples: object, words: str) -> None:
    with pytest.raises(PriorError, match=r"Wrong\.sample.*" + words):
        check_prior(Wrong(samples))


def test_labels_of_very_many_classes_are_no_reason_to_refuse() -> None:
    check_prior(LabelAndStyle(Categorical(10_000), Gaussian(2)))


def test_a_prior_that_no_seed_reaches_is_refused() -> None:
    with pytest.raises(PriorError, match=r"OfNumpy.*not reproducible.*torch\.randn"):
        check_prior(OfNumpy())


class Own(Gaussian):
    """Draws as `draw` does."""

    def __init__(self, draw: Callable[[int], Tensor]):
        super().__init__(2)
        self.draw = draw

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return self.draw(count)


def seeding_before(count: int) -> Tensor:
    torch.manual_seed(5)
    return torch.randn(count, 2)


def seeding_after(count: int) -> Tensor:
    samples = torch.randn(count, 2)
    torch.manual_seed(5)
    return samples


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda count: torch.randn(1000, 2), r"sample\(7\).*\(7, 2\).*\(1000, 2\)"),
        (lambda count: torch.randn(count, 2, generator=torch.Generator().manual_seed(5)), "seed"),
        (seeding_before, "sets torch's seed"),
        (seeding_after, "sets torch's seed"),
    ],
)
def test_a_prior_that_ignores_the_count_or_the_seed_is_refused(draw: Callable, words: str) -> None:
    with pytest.raises(PriorError, match=words):
        check_prior(Own(draw))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Gaussian(0), "dimensions >= 1.*not 0"),
        (lambda: Gaussian(2, 0.0), "standard_deviation > 0"),
        (lambda: Gaussian(2, math.nan), "nan"),
        (lambda: UniformSquare(math.nan), "half_side > 0.*nan"),
        (lambda: Ring(0.0, 0.1), "radius > 0"),
        (lambda: Ring(2.0, -0.1), "width > 0"),
        (lambda: SwissRoll(-1), "width >= 0"),
        (lambda: Categorical(1), "classes >= 2"),
        (lambda: Categorical(2, [0.5, 0.6]), "2 probabilities above 0, together 1.*0.6"),
        (lambda: Categorical(2, [1.0, 0.0]), "above 0"),
        (lambda: Categorical(3, [0.5, 0.5]), "3 probabilities"),
        (lambda: UniformSphere(1), "dimensions >= 2"),
    ],
)
def test_bad_arguments_are_refused(make: Callable[[], Prior], words: str) -> None:
    with pytest.raises(PriorError, match=words) as caught:
        make()
    assert isinstance(caught.value, AaeError) and isinstance(caught.value, ValueError)


@pytest.mark.parametrize("prior", OF_CLASSES, ids=name_of)
@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.tensor([0, -1]), "-1 to 0"),
        (torch.tensor([1, 10]), "1 to 10"),
        (torch.tensor([0.0, 1.0]), "float32"),
        (torch.tensor([True, False]), "bool"),
        (torch.tensor([[0, 1]]), r"\(1, 2\)"),
    ],
)
def test_labels_of_no_class_are_refused(prior: ClassConditionalPrior, labels: Tensor, words: str) -> None:
    with pytest.raises(PriorError, match=rf"from 0 to {prior.classes - 1}, not .*{words}"):
        prior.sample_of_class(labels)


# What all priors have in common


@pytest.mark.parametrize("prior", ALL, ids=name_of)
def test_every_prior_passes_the_check(prior: Prior) -> None:
    torch.manual_seed(1)
    first, second = prior.sample(20), prior.sample(20)
    assert first.shape == (20, prior.dimensions) and first.dtype == torch.float32
    torch.manual_seed(1)
    assert torch.equal(prior.sample(20), first) and not torch.equal(first, second)
    state = torch.get_rng_state()
    check_prior(prior)
    torch.set_rng_state(state)
    samples = prior.sample(5)
    torch.set_rng_state(state)
    assert torch.equal(pickle.loads(pickle.dumps(prior)).sample(5), samples)


@pytest.mark.parametrize("prior", ALL, ids=name_of)
def test_everything_is_made_on_the_device_that_is_named_and_not_in_bfloat16(prior: Prior) -> None:
    def everything() -> list[Tensor]:
        torch.manual_seed(0)
        codes = prior.sample(7, "cpu")
        made = [codes, prior.log_prob(codes)] if hasattr(prior, "log_prob") else [codes]
        if isinstance(prior, ClassConditionalPrior):
            made += [prior.sample_of_class(torch.tensor([0, 2], device="cpu")), prior.nearest_class(codes)]
        return made

    expected = everything()
    with torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
        made = everything()
    assert all(tensor.device.type == "cpu" for tensor in made)
    assert all(torch.equal(*pair) for pair in zip(made, expected, strict=True))


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


@pytest.mark.parametrize("prior", OF_CLASSES, ids=name_of)
def test_samples_of_a_class_are_nearest_to_it_and_all_samples_have_all_classes(prior: ClassConditionalPrior) -> None:
    torch.manual_seed(0)
    labels = torch.arange(10_000) % prior.classes
    for kind in (torch.int64, torch.uint8):
        samples = prior.sample_of_class(labels.to(kind))
        assert samples.shape == (10_000, prior.dimensions) and samples.dtype == torch.float32
        assert (prior.nearest_class(samples) == labels).double().mean() > 0.985
    counts = torch.bincount(prior.nearest_class(prior.sample(10_000)), minlength=prior.classes)
    assert len(counts) == prior.classes and (counts - 10_000 / prior.classes).abs().max() < 4.5 * 50
    assert prior.sample_of_class(labels[:0]).shape == (0, prior.dimensions)


# Each prior by itself


@pytest.mark.parametrize(("dimensions", "deviation"), [(2, 1.0), (8, 5.0), (3, 0.1)])
def test_the_gaussian_is_that_of_torch_distributions(dimensions: int, deviation: float) -> None:
    torch.manual_seed(0)
    prior = Gaussian(dimensions, deviation)
    expected = Independent(Normal(torch.zeros(dimensions), deviation), 1)
    codes = torch.randn(50, dimensions)
    torch.testing.assert_close(prior.log_prob(codes), expected.log_prob(codes))
    samples = prior.sample(20_000) / deviation
    assert samples.mean(0).abs().max() < 0.04 and (torch.cov(samples.T) - torch.eye(dimensions)).abs().max() < 0.05
    assert repr(Gaussian(3, 2.0)) == "Gaussian(dimensions=3, standard_deviation=2.0)"


def test_the_mixture_is_that_of_torch_distributions() -> None:
    torch.manual_seed(0)
    angle = 2 * math.pi * torch.arange(10) / 10
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).reshape(10, 2, 2)
    covariance = rotation @ torch.diag(torch.tensor([0.5, 0.05]).square()) @ rotation.mT
    components = MultivariateNormal(1.4 * rotation[:, :, 0], covariance)
    codes, prior = 2 * torch.randn(500, 2), GaussianMixture()
    mixture = MixtureSameFamily(Classes(torch.ones(10)), components)
    torch.testing.assert_close(prior.log_prob(codes), mixture.log_prob(codes), rtol=1e-4, atol=1e-3)
    of_each = components.log_prob(codes[:, None])
    torch.testing.assert_close(prior.component_log_probs(codes), of_each, rtol=1e-4, atol=1e-3)
    assert torch.equal(prior.nearest_class(codes), of_each.argmax(1))
    places = prior.place(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 5, 0]))
    torch.testing.assert_close(places, torch.tensor([[1.4, 0.0], [-2.4, 0.0], [1.4, 0.1]]))


@pytest.mark.parametrize("label", [0, 4, 9])
def test_a_tenth_of_the_roll_is_evenly_filled(label: int) -> None:
    torch.manual_seed(0)
    samples = SwissRoll().sample_of_class(torch.full((10_000,), label)).double()
    radius = samples.norm(dim=1)
    angle = 4 * math.pi * radius / 3
    on_curve = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    torch.testing.assert_close(samples, on_curve, rtol=0, atol=1e-4)
    share = 10 * (radius / 3).square() - label  # uniform in [0, 1] if the tenth is evenly filled
    assert -1e-4 < share.min() < 0.01 and 0.99 < share.max() < 1 + 1e-4
    assert share.mean().item() == pytest.approx(1 / 2, abs=0.015)
    assert share.var().item() == pytest.approx(1 / 12, rel=0.05)


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


def test_a_label_and_a_style_are_those_of_their_priors_and_independent() -> None:
    prior, labels = LabelAndStyle(Categorical(4), Gaussian(3, 2.0)), torch.tensor([3, 0, 3])
    assert (prior.classes, prior.dimensions) == (4, 7)
    torch.manual_seed(0)
    label, style = prior.split(prior.sample(40_000))
    assert torch.equal(label.sort(1).values, torch.tensor([[0.0, 0.0, 0.0, 1.0]]).expand(40_000, 4))
    assert (label.mean(0) - 0.25).abs().max() < 0.01
    for own in label.bool().T:
        assert style[own].mean(0).abs().max() < 0.1
        assert (torch.cov(style[own].T) / 4 - torch.eye(3)).abs().max() < 0.06
    label, style = prior.split(prior.sample_of_class(labels))
    assert torch.equal(label, torch.eye(4)[labels]) and not torch.equal(style[0], style[2])
    codes = torch.tensor([[0.2, 0.5, 0.3, 0.0, 9.0, -9.0, 0.0], [0.4, 0.3, 0.3, 0.0, 0.0, 70.0, 0.0]])
    assert prior.nearest_class(codes).tolist() == [1, 0]


SHARES = (0.9, 0.07, 0.03)


@pytest.mark.parametrize(
    "make",
    [
        lambda label: label,
        lambda label: LabelAndStyle(label, Gaussian(2)),
        lambda label: AroundHeads(label, Gaussian(2, 0.1), HEADS),
    ],
)
def test_classes_can_have_probabilities_and_without_them_draws_are_as_ever(make: Callable) -> None:
    prior, even, plain = (make(Categorical(3, shares)) for shares in (SHARES, [1 / 3] * 3, None))
    torch.manual_seed(0)
    counts = torch.bincount(prior.nearest_class(prior.sample(10_000)), minlength=3) / 10_000
    torch.testing.assert_close(counts, torch.tensor(SHARES), rtol=0, atol=0.015)
    torch.testing.assert_close(even.log_probabilities("cpu"), plain.log_probabilities("cpu"))
    torch.manual_seed(3)
    labels = torch.randint(3, (50,))
    expected = plain.sample_of_class(labels)
    torch.manual_seed(3)
    assert torch.equal(plain.sample(50), expected)
    if isinstance(prior, AroundHeads):
        differences = prior.log_prob(HEADS).exp() / plain.log_prob(HEADS).exp()
        torch.testing.assert_close(differences, 3 * torch.tensor(SHARES), rtol=1e-4, atol=0)


@pytest.mark.parametrize("dimensions", [2, 3, 64])
def test_the_sphere_is_evenly_covered(dimensions: int) -> None:
    torch.manual_seed(0)
    samples = UniformSphere(dimensions).sample(50_000)
    torch.testing.assert_close(samples.norm(dim=1), torch.ones(50_000))
    assert samples.mean(0).abs().max() * dimensions**0.5 < 0.025
    assert (dimensions * torch.cov(samples.T) - torch.eye(dimensions)).abs().max() < 0.035
    fourth = 3 / (dimensions * (dimensions + 2))
    assert (samples.pow(4).mean(0) / fourth - 1).abs().max() < 0.08


@pytest.mark.parametrize(("dimensions", "deviation"), [(2, 1.0), (5, 0.7)])
def test_the_density_around_heads_is_that_of_scipys_mixture(dimensions: int, deviation: float) -> None:
    torch.manual_seed(0)
    heads, codes = 3 * torch.randn(6, dimensions), 4 * torch.randn(300, dimensions)
    prior = AroundHeads(Categorical(6), Gaussian(dimensions, deviation), heads)
    x = codes.double().numpy()
    densities = [multivariate_normal(head, deviation**2 * np.eye(dimensions)).pdf(x) for head in heads.numpy()]
    np.testing.assert_allclose(prior.component_log_probs(codes).exp(), np.transpose(densities), rtol=1e-3, atol=1e-30)
    np.testing.assert_allclose(prior.log_prob(codes), np.log(np.mean(densities, axis=0)), rtol=1e-5, atol=1e-4)
    assert torch.equal(prior.nearest_class(codes), torch.from_numpy(np.argmax(densities, axis=0)))


def test_the_prior_around_heads_follows_them_when_they_move() -> None:
    heads = torch.nn.Parameter(HEADS.clone())
    prior = AroundHeads(Categorical(3), Gaussian(2, 0.5), heads)
    before = prior.log_prob(HEADS)
    with torch.no_grad():
        heads += 100
    torch.testing.assert_close(prior.log_prob(HEADS + 100), before)
    assert torch.equal(prior.positions, HEADS + 100) and torch.equal(prior.walk(torch.zeros(1)), HEADS[:1] + 100)
    samples = prior.sample(100)
    assert samples.min() > 90 and not samples.requires_grad


# Walks and paths


@pytest.mark.parametrize("prior", [GaussianMixture(), SwissRoll(), Ring(2.0, 0.1), AROUND_HEADS], ids=name_of)
def test_a_walk_is_continuous_and_can_be_had_in_parts(prior: Prior) -> None:
    shares = torch.linspace(0, 1, 10_001)
    codes = prior.walk(shares)
    assert codes.shape == (10_001, 2) and codes.dtype == torch.float32
    steps = codes.diff(dim=0).norm(dim=1)
    assert steps.min() > 0 and steps.max() < 0.035
    assert torch.equal(prior.walk(shares[5:7]), codes[5:7]) and prior.walk(shares[:0]).shape == (0, 2)


def test_walks_pass_the_classes_in_order() -> None:
    shares = (torch.arange(10_000) + 0.5) / 10_000
    for prior, start in ((GaussianMixture(), 0.5), (SwissRoll(), 0.0)):
        classes = prior.nearest_class(prior.walk(shares))
        assert (classes == (10 * shares + start).floor().long() % 10).double().mean() > 0.999
    mixture = GaussianMixture()
    means = mixture.place(torch.zeros(11, 2), torch.arange(11) % 10)
    torch.testing.assert_close(mixture.walk(torch.arange(11) / 10), means, rtol=0, atol=1e-5)
    corners = AROUND_HEADS.walk(torch.tensor([0.0, 1 / 6, 1 / 3, 2 / 3, 1.0]))
    expected = torch.stack([HEADS[0], HEADS[:2].mean(0), HEADS[1], HEADS[2], HEADS[0]])
    torch.testing.assert_close(corners, expected, rtol=0, atol=1e-5)
    quarters = torch.tensor([[1.5, 0.0], [0.0, 1.5], [-1.5, 0.0], [0.0, -1.5], [1.5, 0.0]])
    torch.testing.assert_close(Ring(1.5, 0.1).walk(torch.arange(5) / 4), quarters, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angle", [1e-3, 0.5, 3.1])
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
    assert torch.allclose(torch.atan2(points @ away, points @ start).double(), shares.double() * angle, atol=1e-4)


def test_paths_at_their_limits() -> None:
    start = UniformSphere(3).sample(1)[0]
    with pytest.raises(PriorError, match="opposite"):
        great_circle(start, -start)
    assert torch.allclose(great_circle(start, start)(torch.linspace(0, 1, 3)), start.expand(3, -1), atol=1e-6)
    points = straight_line(torch.tensor([0.0, 4.0]), torch.tensor([2.0, 0.0]))(torch.linspace(0, 1, 3))
    assert points.tolist() == [[0, 4], [1, 2], [2, 0]]
