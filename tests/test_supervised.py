"""The supervised autoencoder: the decoder is told the label, the encoder and the adversary are not."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from support import equal, labeled_as, perceptron, run, sigmoid, weights, with_large_weights
from torch import Tensor, nn

from aae_lib.data import Digits, Images
from aae_lib.losses import binary_cross_entropy, half_squared_error
from aae_lib.models import SupervisedAutoencoder
from aae_lib.priors import Gaussian, PriorError
from aae_lib.training import SGD, Adam, Recipe, TrainingError

STYLE = 4


def tiny(seed: int = 0, **settings: Any) -> SupervisedAutoencoder:
    torch.manual_seed(seed)
    model = SupervisedAutoencoder(STYLE, **{"hidden": (16,), **settings})
    return with_large_weights(model)


def alone(update: str, optimizer: SGD | Adam, steps: int) -> Recipe:
    """A recipe in which nothing moves but what this update moves."""
    return Recipe({**dict.fromkeys(SupervisedAutoencoder.moves, SGD(0.0)), update: optimizer}, steps)


# Codes


def test_a_code_is_the_label_and_the_style(images: Images) -> None:
    model = tiny()
    style, codes = model.encode(images.images), model.code_of(images)
    assert style.shape == (600, STYLE) and codes.shape == (600, 10 + STYLE) and codes.dtype == torch.float32
    assert torch.equal(codes[:, :10], torch.eye(10)[images.labels]) and torch.equal(codes[:, 10:], style)
    expected = perceptron(model.encoder, images.images.double().numpy())
    np.testing.assert_allclose(style.detach(), expected, atol=1e-5)
    assert model.prior.sample(5).shape == (5, 10 + STYLE)
    assert torch.equal(model.code_of(Images(images.images, images.labels.int())), codes)


def test_sizes_are_those_asked_for() -> None:
    model = SupervisedAutoencoder(2, classes=3, hidden=(8, 5))
    expected = [[(784, 8), (8, 5), (5, 2)], [(5, 8), (8, 5), (5, 784)], [(2, 8), (8, 5), (5, 1)]]
    for network, sizes in zip(model.children(), expected, strict=True):
        assert [(one.in_features, one.out_features) for one in network if isinstance(one, nn.Linear)] == sizes
    assert SupervisedAutoencoder().prior.style.dimensions == 15


def test_images_are_made_of_label_and_style(images: Images) -> None:
    model = tiny()
    codes = torch.cat([torch.eye(10), torch.zeros(10, STYLE)], 1)
    decoded = model.decode(codes)
    assert decoded.shape == (10, 784) and 0 < decoded.min() < decoded.max() < 1
    np.testing.assert_allclose(decoded.detach(), sigmoid(perceptron(model.decoder, codes.double().numpy())), atol=1e-5)
    restyled = model.decode(codes + torch.tensor([0.0] * 10 + [1.0] * STYLE))
    for one, other in [(decoded[0], decoded[1]), (decoded[8], decoded[9]), (decoded[4], restyled[4])]:
        assert (one - other).abs().max() > 0.01


@pytest.mark.parametrize("label", [10, -1])
def test_labels_that_there_are_not_are_refused(label: int, images: Images, make_recipe) -> None:
    model = tiny()
    wrong = labeled_as(images, images.labels.index_fill(0, torch.arange(600), label))
    message = rf"needs integer labels \[n\] from 0 to 9, not labels from {label} to {label}"
    with pytest.raises(PriorError, match=message):
        model.code_of(wrong)
    with pytest.raises(PriorError, match=message):
        run(model, wrong, make_recipe(model, 1))


def test_two_sets_of_images_are_refused(images: Images, make_recipe) -> None:
    model = tiny()
    with pytest.raises(TrainingError, match=r"takes 1 minibatches \(batch\), but there are 2 sets"):
        run(model, (images, images), make_recipe(model, 1))


# Losses, and who is told the label


@pytest.mark.parametrize("of_images", [half_squared_error, binary_cross_entropy])
def test_the_losses_are_the_formulas(of_images: Any, images: Images) -> None:
    model = tiny(reconstruction_loss=of_images)
    torch.manual_seed(7)
    losses = dict(model.updates(images))
    torch.manual_seed(7)
    gaussian = torch.randn(600, STYLE).double().numpy()
    x = images.images.double().numpy()
    style = perceptron(model.encoder, x)
    decoded = sigmoid(perceptron(model.decoder, np.concatenate([np.eye(10)[images.labels], style], 1)))
    squared = 0.5 * (decoded - x) ** 2
    entropy = -x * np.log(decoded) - (1 - x) * np.log(1 - decoded)
    says_real, says_fake = (sigmoid(perceptron(model.discriminator, codes)) for codes in (gaussian, style))
    expected = {
        "reconstruction": (squared if of_images is half_squared_error else entropy).sum(1).mean(),
        "discriminator": -np.log(says_real).mean() - np.log(1 - says_fake).mean(),
        "generator": -np.log(says_fake).mean(),
    }
    assert list(losses) == list(expected) == list(SupervisedAutoencoder.moves)
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name], rel=1e-5), name


def test_each_network_is_shown_what_it_should_be_and_the_encoder_has_just_moved(images: Images, make_recipe) -> None:
    model = tiny()
    shown: dict[str, list[Tensor]] = {}
    for name, network in model.named_children():
        shown[name] = inputs = []
        network.register_forward_pre_hook(lambda _, arguments, inputs=inputs: inputs.append(arguments[0].detach()))
    moved: list[nn.Module] = []

    class Watched(SupervisedAutoencoder):
        def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
            shown["batch"] = [batch.images, batch.labels]
            moved.append(copy.deepcopy(self.encoder))
            for name, loss in super().updates(batch):
                yield name, loss
                moved.append(copy.deepcopy(self.encoder))

    model.__class__ = Watched
    run(model, images, make_recipe(model, 1, SGD(0.02)))
    batch, labels = shown["batch"]
    before, after = (perceptron(encoder, batch.double().numpy()) for encoder in moved[:2])
    assert np.abs(after - before).max() > 0.01
    assert len(shown["encoder"]) == 2 and all(torch.equal(seen, batch) for seen in shown["encoder"])
    (decoded,) = shown["decoder"]
    np.testing.assert_allclose(decoded, np.concatenate([np.eye(10)[labels], before], 1), atol=1e-5)
    both, of_generator = shown["discriminator"]
    torch.manual_seed(0)  # the run's seed: its first random numbers are the samples
    assert torch.equal(both[:100], torch.randn(100, STYLE))
    np.testing.assert_allclose(both[100:], after, atol=1e-5)
    assert torch.equal(of_generator, both[100:])


def test_labels_are_told_to_the_decoder_alone(images: Images) -> None:
    def losses(images: Images) -> tuple[float, ...]:
        torch.manual_seed(1)
        return tuple(loss.item() for _, loss in tiny().updates(images))

    reconstruction, *adversary = losses(images)
    other_reconstruction, *other_adversary = losses(labeled_as(images, images.labels.flip(0)))
    assert reconstruction != other_reconstruction and adversary == other_adversary


def test_gradients_reach_what_they_should(images: Images) -> None:
    model = tiny()
    losses = dict(model.updates(images))

    def gradients(loss: str, network: nn.Module) -> tuple[Tensor | None, ...]:
        return torch.autograd.grad(losses[loss], list(network.parameters()), retain_graph=True, allow_unused=True)

    of_decoder, *_ = gradients("reconstruction", model.decoder)
    assert of_decoder.shape == (16, 10 + STYLE) and (of_decoder.abs().amax(0) > 0).all()
    assert all(gradient is None for gradient in gradients("discriminator", model.encoder))
    for loss in ("reconstruction", "generator"):
        *_, of_encoder, _ = gradients(loss, model.encoder)
        assert (of_encoder.abs().amax(1) > 0).all()


# What an update moves, and where to


@pytest.mark.parametrize("bfloat16", [False, True])
def test_each_update_moves_its_networks_and_no_other(bfloat16: bool, images: Images, make_recipe) -> None:
    states: list[tuple[str, dict[str, list[Tensor]]]] = []

    class Watched(SupervisedAutoencoder):
        def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
            states.append(("", {name: weights(network) for name, network in self.named_children()}))
            for name, loss in super().updates(batch):
                yield name, loss
                states.append((name, {name: weights(network) for name, network in self.named_children()}))

    model = tiny()
    model.__class__ = Watched
    run(model, images, make_recipe(model, 1, SGD(0.1)), bfloat16=bfloat16)
    assert [name for name, _ in states] == ["", "reconstruction", "discriminator", "generator"]
    for (_, before), (name, after) in zip(states[:-1], states[1:], strict=True):
        moved = {network for network in before if not equal(before[network], after[network])}
        assert moved == set(SupervisedAutoencoder.moves[name])


def test_the_discriminator_learns_to_tell_and_the_encoder_to_fool_it(images: Images) -> None:
    @torch.no_grad()
    def opinions() -> tuple[float, float]:
        torch.manual_seed(0)
        real, fake = Gaussian(STYLE).sample(600), model.encode(images.images)
        return model.discriminator(real).mean().item(), model.discriminator(fake).mean().item()

    model = tiny()
    real, fake = opinions()
    run(model, images, alone("discriminator", Adam(0.01), 100))
    told_real, told_fake = opinions()
    assert told_real > max(0.2, real) and told_fake < min(-0.2, fake)
    run(model, images, alone("generator", SGD(0.01), 20))
    assert opinions()[1] > told_fake + 0.02 and opinions()[0] == told_real


def test_the_decoder_comes_to_draw_the_digit_it_is_told(digits: Digits) -> None:
    torch.manual_seed(0)
    model = SupervisedAutoencoder(3, hidden=(100,))
    optimizers = {"reconstruction": Adam(0.003), "discriminator": SGD(0.1, 0.1), "generator": SGD(0.1, 0.1)}
    run(model, digits.train, Recipe(optimizers, steps=300))
    test = digits.test

    @torch.no_grad()
    def error(images: Images) -> float:
        return 0.5 * (model.decode(model.code_of(images)) - images.images).square().sum(1).mean().item()

    others = [error(labeled_as(test, (test.labels + shift) % 10)) for shift in range(1, 10)]
    assert error(test) < 27 and min(others) > 1.1 * error(test)
    # Of ten images with the same style, the one of a label is on average nearest to the mean of that digit.
    means = torch.stack([digits.train.images[digits.train.labels == digit].mean(0) for digit in range(10)])
    with torch.no_grad():
        styles = model.prior.style.sample(100).repeat_interleave(10, 0)
        drawn = model.decode(torch.cat([torch.eye(10).repeat(100, 1), styles], 1))
    nearest = torch.cdist(drawn, means).argmin(1)
    assert (nearest == torch.arange(1000) % 10).double().mean() > 0.6
