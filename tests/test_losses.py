"""The losses against formulas of other libraries, in float64 where they are written out here."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from aae_lib.losses import (
    binary_cross_entropy,
    fitted_gaussian_kl,
    fool_loss,
    gaussian_kl,
    half_squared_error,
    real_fake_loss,
)
from aae_lib.networks import multilayer_perceptron


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def constant(logit: float) -> nn.Module:
    """A discriminator that always says `logit`."""
    network = nn.Linear(2, 1)
    nn.init.zeros_(network.weight)
    nn.init.constant_(network.bias, logit)
    return network


def perceptron(norm: bool = False) -> nn.Sequential:
    torch.manual_seed(1)
    layers = [nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1)]
    return nn.Sequential(*(layer for layer in layers if norm or not isinstance(layer, nn.BatchNorm1d)))


def numpy_logits(network: nn.Sequential, codes: Tensor) -> np.ndarray:
    """The output of `perceptron()` in float64."""
    first, second = network[0], network[-1]
    hidden = codes.double().numpy() @ first.weight.detach().double().numpy().T + first.bias.detach().double().numpy()
    return np.maximum(hidden, 0) @ second.weight.detach().double().numpy().T + second.bias.detach().double().numpy()


# Reconstruction


def test_half_squared_error_is_the_formula() -> None:
    logits, images = random(7, 784), torch.rand(7, 784)
    reconstructions = 1 / (1 + np.exp(-logits.double().numpy()))
    expected = (0.5 * ((images.double().numpy() - reconstructions) ** 2).sum(axis=1)).mean()
    assert half_squared_error(logits, images).item() == pytest.approx(expected, rel=1e-5)


def test_binary_cross_entropy_is_the_formula() -> None:
    logits, images = random(7, 784), torch.rand(7, 784).round()
    expected = -Independent(Bernoulli(logits=logits.double()), 1).log_prob(images.double()).mean()
    assert binary_cross_entropy(logits, images).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("loss", [half_squared_error, binary_cross_entropy])
def test_reconstruction_is_summed_over_pixels_and_averaged_over_images(loss) -> None:
    logits, images = random(5, 100), torch.rand(5, 100)
    once = loss(logits, images)
    assert loss(logits.repeat(1, 7), images.repeat(1, 7)).item() == pytest.approx(7 * once.item(), rel=1e-5)
    assert loss(logits.repeat(3, 1), images.repeat(3, 1)).item() == pytest.approx(once.item(), rel=1e-5)
    assert once.item() > 5  # a mean over pixels is below 1


@pytest.mark.parametrize("loss", [half_squared_error, binary_cross_entropy])
def test_reconstruction_pulls_pixels_to_the_image(loss) -> None:
    logits = torch.zeros(1, 2, requires_grad=True)  # gray
    loss(logits, torch.tensor([[1.0, 0.0]])).backward()
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]  # what descent raises, and lowers


@pytest.mark.parametrize("loss", [half_squared_error, binary_cross_entropy])
def test_reconstruction_is_float32_and_finite_for_bfloat16_logits(loss) -> None:
    logits = (100 * random(3, 784)).bfloat16()
    value = loss(logits, torch.rand(3, 784))
    assert value.dtype == torch.float32 and value.isfinite()


def test_cross_entropy_that_is_not_reduced_is_that_of_each_image() -> None:
    logits, images = 3 * random(7, 784), torch.rand(7, 784)
    of_each = binary_cross_entropy(logits, images, reduce=False)
    probabilities = 1 / (1 + np.exp(-logits.double().numpy()))
    pixels = images.double().numpy()
    expected = -(pixels * np.log(probabilities) + (1 - pixels) * np.log(1 - probabilities)).sum(axis=1)
    np.testing.assert_allclose(of_each, expected, rtol=1e-5)
    assert of_each.mean().item() == pytest.approx(binary_cross_entropy(logits, images).item(), rel=1e-6)
    in_bfloat16 = binary_cross_entropy(logits.bfloat16(), images, reduce=False)
    assert of_each.shape == in_bfloat16.shape == (7,) and of_each.dtype == in_bfloat16.dtype == torch.float32


# The two players


def test_discriminator_loss_is_the_cross_entropy_of_its_probabilities() -> None:
    network, real, fake = perceptron(), random(50, 2, seed=2), random(30, 2, seed=3) + 1
    says_real = 1 / (1 + np.exp(-numpy_logits(network, real)))
    says_fake = 1 / (1 + np.exp(-numpy_logits(network, fake)))
    expected = -np.log(says_real).mean() - np.log(1 - says_fake).mean()
    assert real_fake_loss(network, real=real, fake=fake).item() == pytest.approx(expected, rel=1e-5)
    assert fool_loss(network, fake).item() == pytest.approx(-np.log(says_fake).mean(), rel=1e-5)
    weights = np.arange(30) / 10
    weighted = fool_loss(network, fake, torch.from_numpy(weights).float()).item()
    assert weighted == pytest.approx((weights * -np.log(says_fake).ravel()).mean(), rel=1e-5)


def test_losses_at_equilibrium_are_two_log_two_and_log_two() -> None:
    undecided, codes = constant(0.0), random(10, 2)
    assert real_fake_loss(undecided, real=codes, fake=codes).item() == pytest.approx(2 * math.log(2))
    assert fool_loss(undecided, codes).item() == pytest.approx(math.log(2))


def test_real_is_one_and_fake_is_zero() -> None:
    network = nn.Linear(1, 1)
    nn.init.ones_(network.weight)
    nn.init.zeros_(network.bias)  # its logit is its input
    high, low = torch.full((4, 1), 5.0), torch.full((6, 1), -5.0)
    assert real_fake_loss(network, real=high, fake=low) < 0.1
    assert real_fake_loss(network, real=low, fake=high) > 9.9
    assert fool_loss(network, high) < 0.1 and fool_loss(network, low) > 4.9


def test_descent_teaches_the_discriminator_and_fools_it() -> None:
    real, fake = torch.zeros(3, 1, requires_grad=True), torch.zeros(3, 1, requires_grad=True)
    real_fake_loss(nn.Identity(), real=real, fake=fake).backward()
    assert (real.grad < 0).all() and (fake.grad > 0).all()
    fake.grad = None
    fool_loss(nn.Identity(), fake).backward()
    assert (fake.grad < 0).all()


def test_the_generator_learns_from_a_discriminator_that_is_sure() -> None:
    """The saturating form, log(1 - D), would give a gradient of e^-20 here."""
    fake = torch.full((1, 1), -20.0, requires_grad=True)
    fool_loss(nn.Identity(), fake).backward()
    assert fake.grad.item() == pytest.approx(-1.0)


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_extreme_logits_stay_finite(logit: float) -> None:
    codes = random(4, 2)
    assert real_fake_loss(constant(logit), real=codes, fake=codes).item() == pytest.approx(1e4)
    assert fool_loss(constant(logit), codes).item() == pytest.approx(max(-logit, 0))


def test_real_and_fake_keep_apart_in_a_network_with_batch_norm() -> None:
    network, real, fake = perceptron(norm=True), random(50, 2), 0.1 * random(50, 2, seed=1) + 7
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    loss = real_fake_loss(network, real=real, fake=fake)
    assert len(seen) == 2 and torch.equal(seen[0], real) and torch.equal(seen[1], fake)
    cross_entropy = nn.BCEWithLogitsLoss()
    separate = cross_entropy(network(real), torch.ones(50, 1)) + cross_entropy(network(fake), torch.zeros(50, 1))
    assert loss.item() == pytest.approx(separate.item(), rel=1e-6)
    mixed = network(torch.cat([real, fake]))
    joint = cross_entropy(mixed[:50], torch.ones(50, 1)) + cross_entropy(mixed[50:], torch.zeros(50, 1))
    assert abs(joint.item() - loss.item()) > 0.01


def test_the_discriminator_can_say_less_and_more_than_a_half() -> None:
    torch.manual_seed(0)
    network = multilayer_perceptron(2, 1, (32,))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5, momentum=0.9)
    real, fake = random(200, 2) + 2, random(200, 2, seed=1) - 2
    for _ in range(100):
        optimizer.zero_grad()
        real_fake_loss(network, real=real, fake=fake).backward()
        optimizer.step()
    assert network(fake).sigmoid().mean() < 0.1 and network(real).sigmoid().mean() > 0.9


# The variational term


@pytest.mark.parametrize("deviation", [1.0, 5.0, 0.5, 2])
def test_gaussian_kl_is_that_of_torch_distributions(deviation: float) -> None:
    mean, log_variance = random(20, 3), random(20, 3, seed=1)
    posterior = Normal(mean.double(), (0.5 * log_variance.double()).exp())
    prior = Normal(torch.zeros(3).double(), deviation * torch.ones(3).double())
    expected = kl_divergence(posterior, prior).sum(1).mean().item()
    assert gaussian_kl(mean, log_variance, deviation).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("deviation", [1.0, 5.0])
def test_gaussian_kl_that_is_not_reduced_is_that_of_each_image(deviation: float) -> None:
    mean, log_variance = random(20, 3), random(20, 3, seed=1)
    posterior = Normal(mean.double(), (0.5 * log_variance.double()).exp())
    prior = Normal(torch.zeros(3).double(), deviation * torch.ones(3).double())
    of_each = gaussian_kl(mean, log_variance, deviation, reduce=False)
    assert of_each.shape == (20,)
    torch.testing.assert_close(of_each.double(), kl_divergence(posterior, prior).sum(1), rtol=1e-5, atol=1e-6)
    assert gaussian_kl(mean, log_variance, deviation).item() == pytest.approx(of_each.mean().item(), rel=1e-6)


def test_gaussian_kl_vanishes_at_the_prior_and_pulls_to_it() -> None:
    at_prior = gaussian_kl(torch.zeros(4, 2), torch.full((4, 2), math.log(9.0)), 3.0)
    assert at_prior.item() == pytest.approx(0, abs=1e-6)
    mean = torch.tensor([[1.0, -1.0]], requires_grad=True)
    log_variance = torch.tensor([[1.0, -1.0]], requires_grad=True)
    gaussian_kl(mean, log_variance).backward()
    assert mean.grad[0, 0] > 0 > mean.grad[0, 1] and log_variance.grad[0, 0] > 0 > log_variance.grad[0, 1]


# The Gaussian fitted to codes


@pytest.mark.parametrize(("count", "dimensions"), [(2, 3), (64, 1), (100, 10)])
def test_fitted_gaussian_kl_is_that_of_torch_distributions_per_dimension(count: int, dimensions: int) -> None:
    codes = 0.3 * random(count, dimensions) + random(dimensions, seed=1)
    exact = codes.double().numpy()
    deviation = np.sqrt(((exact - exact.mean(axis=0)) ** 2).sum(axis=0) / count)  # not divided by one less
    fitted = Normal(torch.from_numpy(exact.mean(axis=0)), torch.from_numpy(deviation))
    of_dimensions = kl_divergence(fitted, Normal(torch.zeros(dimensions).double(), 1.0))
    assert of_dimensions.shape == (dimensions,)
    assert fitted_gaussian_kl(codes).item() == pytest.approx(of_dimensions.mean().item(), rel=1e-5)


def test_fitted_gaussian_kl_is_equation_7_with_the_standard_deviation() -> None:
    """The official code puts the variance in its place, which gives other values: 3.659 for 64 dimensions."""
    codes = 0.3 * random(100, 8) + 0.5 * random(8, seed=1)
    m, s = codes.double().numpy().mean(axis=0), codes.double().numpy().std(axis=0)
    equation = -0.5 + ((s**2 + m**2) / 2 - np.log(s)).sum() / 8
    flawed = -0.5 + ((s**4 + m**2) / 2 - np.log(s**2)).sum() / 8
    assert fitted_gaussian_kl(codes).item() == pytest.approx(equation, rel=1e-5)
    assert abs(flawed - equation) > 0.3


@pytest.mark.parametrize(("dimensions", "value"), [(64, 1.587), (128, 1.930)])
def test_the_fitted_gaussian_of_codes_spread_over_the_sphere_has_the_lowest_divergence_there(
    dimensions: int, value: float
) -> None:
    axes = torch.eye(dimensions)
    lowest = fitted_gaussian_kl(torch.cat([axes, -axes])).item()  # mean 0 and variance 1/d in each dimension
    assert lowest == pytest.approx(value, abs=1e-3)
    assert lowest == pytest.approx((1 / dimensions + math.log(dimensions) - 1) / 2, rel=1e-5)
    spread = nn.functional.normalize(random(20_000, dimensions), dim=1)
    assert lowest < fitted_gaussian_kl(spread).item() < lowest + 1e-3
    for others in (spread + 0.2, spread * torch.linspace(1, 2, dimensions), spread[:64]):
        assert fitted_gaussian_kl(nn.functional.normalize(others, dim=1)).item() > lowest + 0.005


def test_fitted_gaussian_kl_vanishes_for_a_standard_gaussian_alone() -> None:
    codes = random(500, 4)
    standard = (codes - codes.mean(0)) / codes.std(0, correction=0)
    assert fitted_gaussian_kl(standard).item() == pytest.approx(0, abs=1e-6)
    for others in (2 * standard, 0.5 * standard, standard + 1):
        assert fitted_gaussian_kl(others).item() > 0.2


def test_the_gradient_of_fitted_gaussian_kl_is_the_formula() -> None:
    codes = (0.4 * random(30, 5) + 0.7).requires_grad_()
    (gradient,) = torch.autograd.grad(fitted_gaussian_kl(codes), [codes])
    z = codes.detach().double().numpy()
    m, variance = z.mean(axis=0), z.var(axis=0)
    np.testing.assert_allclose(gradient, ((z - m) * (1 - 1 / variance) + m) / (30 * 5), rtol=1e-4, atol=1e-7)


def test_descent_spreads_narrow_codes_and_centers_them() -> None:
    codes = (0.1 * random(50, 2) + 1).requires_grad_()
    first = fitted_gaussian_kl(codes).item()
    for _ in range(200):
        (gradient,) = torch.autograd.grad(fitted_gaussian_kl(codes), [codes])
        codes = (codes - 5 * gradient).detach().requires_grad_()
    assert fitted_gaussian_kl(codes).item() < 0.01 < 1 < first
    assert codes.mean(0).abs().max() < 0.1 and (codes.std(0) - 1).abs().max() < 0.1


def test_fitted_gaussian_kl_is_float32_and_infinite_for_codes_that_are_all_the_same() -> None:
    codes = random(100, 10).bfloat16()
    assert fitted_gaussian_kl(codes).dtype == torch.float32
    assert fitted_gaussian_kl(codes).item() == fitted_gaussian_kl(codes.float()).item()
    assert fitted_gaussian_kl(torch.full((10, 3), 0.5)).item() == math.inf
