"""The losses against formulas of other libraries, in float64 where they are written out here."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from aae_lib.losses import binary_cross_entropy, fool_loss, gaussian_kl, half_squared_error, real_fake_loss
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
    logits = torch.zeros(1, 2, requires_grad=True)  # grey
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
