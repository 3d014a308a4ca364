"""The losses against formulas of other libraries, in float64 where they are written out here."""

import math
from collections.abc import Callable

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
    unbounded_squared_error,
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# Reconstruction


@pytest.mark.parametrize("pixels", [1, 784, 3072])
def test_reconstruction_losses_are_their_formulas(pixels: int) -> None:
    logits, images = 3 * random(7, pixels), torch.rand(7, pixels)
    x, p = images.double().numpy(), 1 / (1 + np.exp(-logits.double().numpy()))
    squared = (0.5 * ((x - p) ** 2).sum(axis=1)).mean()
    assert half_squared_error(logits, images).item() == pytest.approx(squared, rel=1e-5)
    of_each = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)
    np.testing.assert_allclose(binary_cross_entropy(logits, images, reduce=False), of_each, rtol=1e-5)
    assert binary_cross_entropy(logits, images).item() == pytest.approx(of_each.mean(), rel=1e-5)
    unbounded = (0.5 * ((images - logits).double() ** 2).sum(1)).mean().item()
    assert unbounded_squared_error(logits, images).item() == pytest.approx(unbounded, rel=1e-5)
    likelihood = Independent(Bernoulli(logits=logits.double()), 1).log_prob(images.double().round()).mean()
    assert binary_cross_entropy(logits, images.round()).item() == pytest.approx(-likelihood.item(), rel=1e-5)


@pytest.mark.parametrize("loss", [half_squared_error, binary_cross_entropy, unbounded_squared_error])
def test_reconstruction_is_summed_over_pixels_and_averaged_over_images(loss: Callable) -> None:
    logits, images = random(5, 100), torch.rand(5, 100)
    once = loss(logits, images).item()
    assert loss(logits.repeat(1, 7), images.repeat(1, 7)).item() == pytest.approx(7 * once, rel=1e-5)
    assert loss(logits.repeat(3, 1), images.repeat(3, 1)).item() == pytest.approx(once, rel=1e-5)


@pytest.mark.parametrize("loss", [half_squared_error, binary_cross_entropy])
def test_reconstruction_pulls_pixels_to_the_image_and_is_finite_in_float32(loss: Callable) -> None:
    logits = torch.zeros(1, 2, requires_grad=True)  # gray
    loss(logits, torch.tensor([[1.0, 0.0]])).backward()
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]
    value = loss((100 * random(3, 784)).bfloat16(), torch.rand(3, 784))
    assert value.dtype == torch.float32 and value.isfinite()


# The two players


def perceptron(batch_norm: bool = False) -> nn.Sequential:
    torch.manual_seed(1)
    norm = [nn.BatchNorm1d(8)] if batch_norm else []
    return nn.Sequential(nn.Linear(2, 8), *norm, nn.ReLU(), nn.Linear(8, 1))


def test_losses_of_the_game_are_cross_entropies_of_probabilities() -> None:
    network, real, fake = perceptron().double(), random(50, 2, seed=2).double(), random(30, 2, seed=3).double() + 1
    says_real, says_fake = (network(codes).sigmoid().detach().numpy() for codes in (real, fake))
    expected = -np.log(says_real).mean() - np.log(1 - says_fake).mean()
    assert real_fake_loss(network, real=real, fake=fake).item() == pytest.approx(expected, rel=1e-5)
    assert fool_loss(network, fake).item() == pytest.approx(-np.log(says_fake).mean(), rel=1e-5)
    weights = np.arange(30) / 10
    weighted = fool_loss(network, fake, torch.from_numpy(weights)).item()
    assert weighted == pytest.approx((weights * -np.log(says_fake).ravel()).mean(), rel=1e-5)


def test_losses_at_equilibrium_are_two_log_two_and_log_two() -> None:
    undecided = torch.zeros(10, 1)
    assert real_fake_loss(nn.Identity(), real=undecided, fake=undecided).item() == pytest.approx(2 * math.log(2))
    assert fool_loss(nn.Identity(), undecided).item() == pytest.approx(math.log(2))


def test_descent_teaches_the_discriminator_and_fools_it() -> None:
    real, fake = torch.zeros(3, 1, requires_grad=True), torch.zeros(3, 1, requires_grad=True)
    of_real, of_fake = torch.autograd.grad(real_fake_loss(nn.Identity(), real=real, fake=fake), [real, fake])
    assert (of_real < 0).all() and (of_fake > 0).all()
    sure = torch.full((1, 1), -20.0, requires_grad=True)  # the saturating form, log(1 - D), would give e^-20 here
    (gradient,) = torch.autograd.grad(fool_loss(nn.Identity(), sure), [sure])
    assert gradient.item() == pytest.approx(-1.0)


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_extreme_logits_stay_finite(logit: float) -> None:
    logits = torch.full((4, 1), logit)
    assert real_fake_loss(nn.Identity(), real=logits, fake=logits).item() == pytest.approx(1e4)
    assert fool_loss(nn.Identity(), logits).item() == pytest.approx(max(-logit, 0))


def test_real_and_fake_keep_apart_in_a_network_with_batch_norm() -> None:
    network, real, fake = perceptron(batch_norm=True), random(50, 2), 0.1 * random(50, 2, seed=1) + 7
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    loss = real_fake_loss(network, real=real, fake=fake)
    assert len(seen) == 2 and torch.equal(seen[0], real) and torch.equal(seen[1], fake)
    entropy = nn.BCEWithLogitsLoss()
    apart = entropy(network(real), torch.ones(50, 1)) + entropy(network(fake), torch.zeros(50, 1))
    assert loss.item() == pytest.approx(apart.item(), rel=1e-6)


# Divergences


@pytest.mark.parametrize("deviation", [1.0, 5.0, 0.5])
def test_gaussian_kl_is_that_of_torch_distributions(deviation: float) -> None:
    mean, log_variance = random(20, 3), random(20, 3, seed=1)
    posterior = Normal(mean.double(), (0.5 * log_variance.double()).exp())
    prior = Normal(torch.zeros(3).double(), deviation * torch.ones(3).double())
    of_each = gaussian_kl(mean, log_variance, deviation, reduce=False)
    torch.testing.assert_close(of_each.double(), kl_divergence(posterior, prior).sum(1), rtol=1e-5, atol=1e-6)
    assert gaussian_kl(mean, log_variance, deviation).item() == pytest.approx(of_each.mean().item(), rel=1e-6)
    at_prior = gaussian_kl(torch.zeros(4, 2), torch.full((4, 2), 2 * math.log(deviation)), deviation)
    assert at_prior.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("count", "dimensions"), [(2, 3), (64, 1), (100, 10)])
def test_fitted_gaussian_kl_is_equation_7(count: int, dimensions: int) -> None:
    """With the standard deviation s; the official code has the variance in its place."""
    codes = (0.3 * random(count, dimensions) + random(dimensions, seed=1)).requires_grad_()
    z = codes.detach().double().numpy()
    m, s = z.mean(axis=0), z.std(axis=0)
    loss = fitted_gaussian_kl(codes)
    assert loss.item() == pytest.approx(-0.5 + ((s**2 + m**2) / 2 - np.log(s)).sum() / dimensions, rel=1e-5)
    fitted = Normal(torch.from_numpy(m), torch.from_numpy(s))
    divergence = kl_divergence(fitted, Normal(torch.zeros(dimensions).double(), 1.0)).mean().item()
    assert loss.item() == pytest.approx(divergence, rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, [codes])
    expected = ((z - m) * (1 - 1 / s**2) + m) / (count * dimensions)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("dimensions", [64, 128])
def test_fitted_gaussian_kl_on_the_sphere_is_smallest_for_codes_that_spread_evenly(dimensions: int) -> None:
    axes = torch.eye(dimensions)
    lowest = fitted_gaussian_kl(torch.cat([axes, -axes])).item()
    assert lowest == pytest.approx((1 / dimensions + math.log(dimensions) - 1) / 2, rel=1e-5)
    spread = nn.functional.normalize(random(20_000, dimensions), dim=1)
    assert lowest < fitted_gaussian_kl(spread).item() < lowest + 1e-3
    for others in (spread + 0.2, spread * torch.linspace(1, 2, dimensions), spread[:64]):
        assert fitted_gaussian_kl(nn.functional.normalize(others, dim=1)).item() > lowest + 0.005


def test_fitted_gaussian_kl_is_float32_and_infinite_for_codes_that_are_all_the_same() -> None:
    codes = random(100, 10).bfloat16()
    assert fitted_gaussian_kl(codes).dtype == torch.float32
    assert fitted_gaussian_kl(codes).item() == fitted_gaussian_kl(codes.float()).item()
    assert fitted_gaussian_kl(torch.full((10, 3), 0.5)).item() == math.inf
