"""The semi-supervised autoencoder: a label and a style, an adversary for each, and labels of few images only."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import (
    check_that_labels_reach_the_classification_alone,
    check_that_no_label_of_an_unlabeled_image_is_read,
    check_that_weights_go_through_a_file_with_or_without_discriminators,
    equal,
    labeled_as,
    perceptron,
    run,
    sigmoid,
    weights,
    with_large_weights,
)
from torch import Tensor, nn

from aae_lib.data import Digits, Images, balanced_subset
from aae_lib.losses import binary_cross_entropy, half_squared_error
from aae_lib.models import SemiSupervisedAutoencoder
from aae_lib.networks import RandomAffine
from aae_lib.training import SGD, Adam, Cosine, Recipe, Rise, TrainingError, train

Sets = tuple[Images, Images]
STYLE = 3


def tiny(input_noise: float = 0.3, seed: int = 0, **settings: Any) -> SemiSupervisedAutoencoder:
    torch.manual_seed(seed)
    settings = {"style_dimensions": STYLE, "hidden": (16,), **settings}
    model = SemiSupervisedAutoencoder(input_noise=input_noise, **settings)
    return with_large_weights(model)


def alone(update: str, optimizer: SGD | Adam, steps: int) -> Recipe:
    """A recipe in which nothing moves but what this update moves."""
    still = dict.fromkeys(SemiSupervisedAutoencoder.moves, SGD(0.0))
    return Recipe({**still, update: optimizer}, steps)


def probabilities(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


# Codes


def test_a_code_is_the_labels_probabilities_and_the_style(images: Images) -> None:
    model = tiny().eval()
    output = perceptron(model.encoder, images.images.double().numpy())
    codes = model.encode(images.images)
    assert codes.shape == (600, 10 + STYLE) and codes.dtype == torch.float32
    np.testing.assert_allclose(codes.detach()[:, :10], probabilities(output[:, :10]), atol=1e-5)
    np.testing.assert_allclose(codes.detach()[:, 10:], output[:, 10:], atol=1e-5)
    np.testing.assert_allclose(model.classify(images.images).detach(), output[:, :10], atol=1e-5)
    assert torch.equal(model.code_of(images), codes)


def test_sizes_are_those_asked_for() -> None:
    model = SemiSupervisedAutoencoder(classes=4, style_dimensions=2, hidden=(8, 5))
    codes = model.encode(torch.rand(7, 784))
    assert codes.shape == (7, 6) and model.classify(torch.rand(7, 784)).shape == (7, 4)
    assert model.decode(codes).shape == (7, 784) and model.prior.sample(7).shape == codes.shape
    assert model.label_discriminator(codes[:, :4]).shape == model.style_discriminator(codes[:, 4:]).shape == (7, 1)
    expected = [
        [(784, 8), (8, 5), (5, 6)], [(6, 8), (8, 5), (5, 784)], [(4, 8), (8, 5), (5, 1)], [(2, 8), (8, 5), (5, 1)]
    ]  # fmt: skip
    for network, sizes in zip(model.children(), expected, strict=True):
        assert [(one.in_features, one.out_features) for one in network if isinstance(one, nn.Linear)] == sizes
    default = SemiSupervisedAutoencoder()
    assert default.prior.dimensions == 20 and default.input_noise == 0.3
    assert default.label_weight == 1 and default.input_motion == ()
    assert default.style_discriminator[0].weight.shape == (1000, 10)


def test_images_are_made_of_label_and_style() -> None:
    model = tiny()
    codes = torch.cat([F.one_hot(torch.arange(10), 10), torch.zeros(10, STYLE)], dim=1)
    images = model.decode(codes)
    assert images.shape == (10, 784) and images.dtype == torch.float32 and 0 < images.min() < images.max() < 1
    np.testing.assert_allclose(images.detach(), sigmoid(perceptron(model.decoder, codes.double().numpy())), atol=1e-5)
    other_style = model.decode(codes + torch.tensor([0.0] * 10 + [1.0] * STYLE))
    for one, other in [(images[0], images[1]), (images[8], images[9]), (images[4], other_style[4])]:
        assert (one - other).abs().max() > 0.01


# Losses


@pytest.mark.parametrize("label_weight", [1.0, 0.3, 0.0])
def test_the_losses_are_the_formulas(label_weight: float, sets: Sets) -> None:
    """The weight of the label's adversary is a factor in both its updates, and in nothing else."""
    unlabeled, labeled = sets
    model = tiny(label_weight=label_weight).eval()  # no noise on the images
    torch.manual_seed(7)
    losses = dict(model.updates(unlabeled, labeled))
    torch.manual_seed(7)
    one_hot, gaussian = np.eye(10)[torch.randint(10, (300,))], torch.randn(300, STYLE).double().numpy()

    x = unlabeled.images.double().numpy()
    output = perceptron(model.encoder, x)
    y, z = probabilities(output[:, :10]), output[:, 10:]
    decoded = sigmoid(perceptron(model.decoder, np.concatenate([y, z], 1)))
    of_label, of_style = model.label_discriminator, model.style_discriminator
    says_real = [sigmoid(perceptron(of_label, one_hot)), sigmoid(perceptron(of_style, gaussian))]
    says_fake = [sigmoid(perceptron(of_label, y)), sigmoid(perceptron(of_style, z))]
    known = probabilities(perceptron(model.encoder, labeled.images.double().numpy())[:, :10])
    told = [-np.log(real).mean() - np.log(1 - fake).mean() for real, fake in zip(says_real, says_fake, strict=True)]
    expected = {
        "reconstruction": (0.5 * (decoded - x) ** 2).sum(1).mean(),
        "discriminator": label_weight * told[0] + told[1],
        "generator": -label_weight * np.log(says_fake[0]).mean() - np.log(says_fake[1]).mean(),
        "classification": -np.log(known[np.arange(200), labeled.labels]).mean(),
    }
    assert list(losses) == list(expected) == list(SemiSupervisedAutoencoder.moves)
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name], rel=1e-5), name


def test_another_reconstruction_loss_may_be_taken(sets: Sets) -> None:
    first, other = (tiny(reconstruction_loss=loss).eval() for loss in (half_squared_error, binary_cross_entropy))
    with torch.no_grad():
        logits = other.decoder(other.encode(sets[0].images))
    bernoulli = torch.distributions.Bernoulli(logits=logits.double(), validate_args=False)
    expected = -bernoulli.log_prob(sets[0].images.double()).sum(1).mean().item()
    assert next(other.updates(*sets))[1].item() == pytest.approx(expected, rel=1e-5)
    assert next(first.updates(*sets))[1].item() < 0.5 * expected


def gradients(loss: Tensor, network: nn.Module) -> list[Tensor | None]:
    return list(torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, allow_unused=True))


def test_the_classification_moves_the_layer_that_makes_the_label_and_no_style(sets: Sets) -> None:
    model = tiny()
    classification = dict(model.updates(*sets))["classification"]
    *hidden, weight, bias = gradients(classification, model.encoder)
    assert all(gradient.abs().max() > 0 for gradient in hidden)
    assert (weight[:10].abs().amax(1) > 0).all() and (bias[:10] != 0).all()
    assert not weight[10:].any() and not bias[10:].any()


def test_the_reconstruction_reaches_label_and_style(sets: Sets) -> None:
    model = tiny()
    *_, of_encoder, _ = gradients(dict(model.updates(*sets))["reconstruction"], model.encoder)
    assert (of_encoder.abs().amax(1) > 0).all()
    of_decoder, *_ = gradients(dict(model.updates(*sets))["reconstruction"], model.decoder)
    assert (of_decoder.abs().amax(0) > 0).all()


def test_each_adversary_reaches_its_own_half_of_the_code(sets: Sets) -> None:
    model = tiny()
    losses = dict(model.updates(*sets))
    assert all(gradient is None for gradient in gradients(losses["discriminator"], model.encoder))
    *_, whole, _ = gradients(losses["generator"], model.encoder)
    assert (whole.abs().amax(1) > 0).all()
    for network, half in ((model.label_discriminator, slice(10)), (model.style_discriminator, slice(10, None))):
        weakened = copy.deepcopy(network)
        nn.init.zeros_(network[-1].weight)  # it says the same of all codes, so that none of its gradient arrives
        *_, gradient, _ = gradients(dict(model.updates(*sets))["generator"], model.encoder)
        still = gradient.abs().amax(1) == 0
        assert still[half].all() and still.sum() == len(still[half])
        network.load_state_dict(weakened.state_dict())


# What an update moves, and where to


def watched(model: SemiSupervisedAutoencoder, look: Callable[[], Any]) -> list[tuple[str, Any]]:
    """Let `model` record (update, look after it) in a run, beginning with a look before the first."""
    record: list[tuple[str, Any]] = []

    class Watched(SemiSupervisedAutoencoder):
        def updates(self, unlabeled: Images, labeled: Images) -> Iterator[tuple[str, Tensor]]:
            record.append(("", look()))
            for name, loss in super().updates(unlabeled, labeled):
                yield name, loss
                record.append((name, look()))

    model.__class__ = Watched
    return record


@pytest.mark.parametrize("bfloat16", [False, True])
def test_each_update_moves_its_networks_and_no_other(bfloat16: bool, sets: Sets, make_recipe) -> None:
    model = tiny()
    record = watched(model, lambda: {name: weights(network) for name, network in model.named_children()})
    run(model, sets, make_recipe(model, 1, SGD(0.1)), bfloat16=bfloat16)
    assert [name for name, _ in record] == ["", "reconstruction", "discriminator", "generator", "classification"]
    for (_, before), (name, after) in zip(record[:-1], record[1:], strict=True):
        moved = {network for network in before if not equal(before[network], after[network])}
        assert moved == set(SemiSupervisedAutoencoder.moves[name])


@torch.no_grad()
def opinions(model: SemiSupervisedAutoencoder, images: Images) -> dict[str, float]:
    """What the two discriminators say on average, of samples and of codes."""
    torch.manual_seed(0)
    (real_label, real_style), (label, style) = (
        model.prior.split(codes) for codes in (model.prior.sample(len(images)), model.encode(images.images))
    )
    return {
        "real label": model.label_discriminator(real_label).mean().item(),
        "fake label": model.label_discriminator(label).mean().item(),
        "real style": model.style_discriminator(real_style).mean().item(),
        "fake style": model.style_discriminator(style).mean().item(),
    }


def test_the_discriminators_learn_to_tell_and_the_encoder_to_fool_them(sets: Sets) -> None:
    model = tiny(input_noise=0.0)
    before = opinions(model, sets[0])
    run(model, sets, alone("discriminator", Adam(0.01), 100))
    told = opinions(model, sets[0])
    for half in ("label", "style"):
        assert told[f"real {half}"] > max(0.2, before[f"real {half}"])
        assert told[f"fake {half}"] < min(-0.2, before[f"fake {half}"])
    run(model, sets, alone("generator", SGD(0.01), 20))
    fooled = opinions(model, sets[0])
    for half in ("label", "style"):
        assert fooled[f"fake {half}"] > told[f"fake {half}"] + 0.02
        assert fooled[f"real {half}"] == told[f"real {half}"]


def test_the_classification_raises_the_probability_of_the_true_label(sets: Sets) -> None:
    def of_truth(model: SemiSupervisedAutoencoder) -> float:
        with torch.no_grad():
            return model.encode(labeled.images).gather(1, labeled.labels[:, None]).mean().item()

    _, labeled = sets
    model = tiny(input_noise=0.0)
    record = watched(model, lambda: of_truth(model))
    run(model, sets, alone("classification", SGD(0.01), 10))
    before = [after for name, after in record if name == "generator"]
    after = [after for name, after in record if name == "classification"]
    assert len(before) == len(after) == 10 and all(one < other for one, other in zip(before, after, strict=True))


def test_the_reconstruction_lowers_its_own_error(sets: Sets) -> None:
    model = tiny(input_noise=0.0)
    (report,) = run(model, sets, alone("reconstruction", SGD(0.05), 1))
    (later,) = run(model, sets, alone("reconstruction", SGD(0.05), 1))  # on the same images
    assert later.losses["reconstruction"] < report.losses["reconstruction"] - 0.3


# What the networks are shown


def shown_in_one_step(sets: Sets, make_recipe, input_noise: float) -> tuple[dict[str, list[Tensor]], list[Any]]:
    """What enters each network in one step of training, and the encoder before and after each update."""
    model = tiny(input_noise)
    shown: dict[str, list[Tensor]] = {"targets": []}
    entries = {"encoder": model.encoder[1], "decoder": model.decoder, "label": model.label_discriminator}
    for name, network in {**entries, "style": model.style_discriminator}.items():
        shown[name] = inputs = []
        network.register_forward_pre_hook(lambda _, arguments, inputs=inputs: inputs.append(arguments[0].detach()))

    def loss(logits: Tensor, images: Tensor) -> Tensor:
        shown["targets"].append(images)
        return half_squared_error(logits, images)

    model.reconstruction_loss = loss
    record = watched(model, lambda: copy.deepcopy(nn.Sequential(*model.encoder[1:])))
    run(model, sets, make_recipe(model, 1, SGD(0.02)))
    return shown, [encoder for _, encoder in record]


def test_the_adversaries_see_samples_and_the_codes_of_the_encoder_that_has_just_moved(sets: Sets, make_recipe) -> None:
    shown, (old, new, *_) = shown_in_one_step(sets, make_recipe, input_noise=0.0)
    x = shown["encoder"][0].double().numpy()
    before, after = (perceptron(encoder, x) for encoder in (old, new))
    assert np.abs(after - before).max() > 0.01
    (labels, label), (styles, style) = shown["label"], shown["style"]  # real and fake together, then the generator's
    torch.manual_seed(0)  # the run's seed: noise (of no size) on the images that the encoder saw twice, then samples
    torch.randn(100, 784), torch.randn(100, 784)
    assert torch.equal(labels[:100], torch.eye(10)[torch.randint(10, (100,))])
    assert torch.equal(styles[:100], torch.randn(100, STYLE))
    np.testing.assert_allclose(labels[100:], probabilities(after[:, :10]), atol=1e-5)
    np.testing.assert_allclose(styles[100:], after[:, 10:], atol=1e-5)
    assert torch.equal(label, labels[100:]) and torch.equal(style, styles[100:])
    (decoded,) = shown["decoder"]
    np.testing.assert_allclose(decoded, np.concatenate([probabilities(before[:, :10]), before[:, 10:]], 1), atol=1e-5)


def test_the_encoder_sees_noise_and_the_clean_images_are_reconstructed(sets: Sets, make_recipe) -> None:
    shown, _ = shown_in_one_step(sets, make_recipe, input_noise=0.25)
    unlabeled, labeled = ({tuple(image) for image in part.images.tolist()} for part in sets)
    (clean,) = shown["targets"]
    assert {tuple(image) for image in clean.tolist()} <= unlabeled
    of_codes, of_adversaries, of_labeled = shown["encoder"]
    noises = [of_codes - clean, of_adversaries - clean]
    distances = torch.cdist(of_labeled, sets[1].images)
    noises.append(of_labeled - sets[1].images[distances.argmin(1)])
    for noise in noises:
        assert noise.mean().abs() < 0.003 and noise.std().item() == pytest.approx(0.25, rel=0.01)
    assert F.cosine_similarity(noises[0].flatten(), noises[1].flatten(), dim=0).abs() < 0.01  # new noise at each pass


@pytest.mark.parametrize(
    "disturbances", [{"input_noise": 0.5}, {"input_noise": 0.0, "input_motion": (2.0, 15.0)}], ids=["noise", "motion"]
)
def test_there_is_no_noise_and_no_motion_in_evaluation(disturbances: dict[str, Any], images: Images) -> None:
    disturbed, clean = tiny(**disturbances).eval(), tiny(0.0).eval()
    state = torch.get_rng_state()
    assert torch.equal(disturbed.encode(images.images), clean.encode(images.images))
    assert torch.equal(disturbed.classify(images.images), clean.classify(images.images))
    assert torch.equal(torch.get_rng_state(), state)
    first, second = (disturbed.train().encode(images.images) for _ in range(2))
    assert (first != second).any(1).all()


def test_labeled_and_unlabeled_images_are_moved_for_the_encoder_and_reconstructed_where_they_are(sets: Sets) -> None:
    unlabeled, labeled = sets
    motion = (2.0, 15.0, 0.1, 0.2)
    model, seen = tiny(0.25, input_motion=motion).train(), []
    model.encoder[2].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    torch.manual_seed(3)
    losses = dict(model.updates(unlabeled, labeled))
    torch.manual_seed(3)

    def moved(images: Tensor) -> Tensor:
        return RandomAffine(*motion).train()(images) + 0.25 * torch.randn(images.shape)

    first, second = moved(unlabeled.images), moved(unlabeled.images)  # the adversaries' pass moves them anew
    torch.randint(10, (300,)), torch.randn(300, STYLE)
    for found, expected in zip(seen, (first, second, moved(labeled.images)), strict=True):
        assert torch.equal(found, expected)

    of_codes, of_adversaries, of_labels = (perceptron(model.encoder, images.double().numpy()) for images in seen)
    codes = np.concatenate([probabilities(of_codes[:, :10]), of_codes[:, 10:]], 1)
    decoded = sigmoid(perceptron(model.decoder, codes))
    label, style = probabilities(of_adversaries[:, :10]), of_adversaries[:, 10:]
    expected = {
        "reconstruction": (0.5 * (decoded - unlabeled.images.double().numpy()) ** 2).sum(1).mean(),
        "generator": -np.log(sigmoid(perceptron(model.label_discriminator, label))).mean()
        - np.log(sigmoid(perceptron(model.style_discriminator, style))).mean(),
        "classification": -np.log(probabilities(of_labels[:, :10])[np.arange(200), labeled.labels]).mean(),
    }
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-5), name


# Labels that nobody knows


def test_no_label_of_an_unlabeled_image_is_read(sets: Sets, make_recipe) -> None:
    check_that_no_label_of_an_unlabeled_image_is_read(tiny, sets, make_recipe)


def test_labels_reach_the_classification_alone(sets: Sets) -> None:
    check_that_labels_reach_the_classification_alone(lambda: tiny(0.0), sets)


def test_an_unlabeled_image_needs_no_labels_at_all(sets: Sets) -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> None:
            raise AssertionError(f"labels.{name} is read")

    unlabeled, labeled = sets
    without = Images(unlabeled.images, Untouchable())
    assert len(list(tiny().updates(without, labeled))) == 4 and tiny().code_of(without).shape == (300, 10 + STYLE)


def test_another_number_of_sets_is_refused(sets: Sets, make_recipe) -> None:
    model = tiny()
    for some in (sets[1], (sets[1],), (*sets, sets[0])):
        found = len(some) if isinstance(some, tuple) else 1
        with pytest.raises(TrainingError, match=rf"takes 2 minibatches \(unlabeled, labeled\), but there are {found}"):
            run(model, some, make_recipe(model, 1))


# Training


def test_a_run_that_stops_and_goes_on_ends_with_the_same_bits(sets: Sets, make_recipe, tmp_path: Path) -> None:
    def trained(**arguments: Any) -> tuple[list[Tensor], list[dict[str, float]]]:
        model = tiny()
        reports = run(model, sets, make_recipe(model, 12, SGD(0.002, 0.9)), report_every=5, **arguments)
        return weights(model), [report.losses for report in reports]

    expected, losses = trained()
    path = tmp_path / "state"
    for steps in (1, 4, 9, 12):  # sets of three minibatches and of two: within passes of both, and between
        found, found_losses = trained(state=path, steps=steps)
    assert equal(found, expected) and len(losses) == 3
    assert found_losses[-1] == losses[-1]
    assert not equal(trained(seed=1)[0], expected)


def test_the_label_s_adversary_gets_its_weight_by_the_clock(sets: Sets) -> None:
    """From none on: the discriminator of labels rests until the weight rises, and that of styles never does."""
    model = tiny(label_weight=0.5)
    weight = watched(model, lambda: model.label_weight)
    networks = {"label": model.label_discriminator, "style": model.style_discriminator}
    before, moved = {name: weights(network) for name, network in networks.items()}, []
    recipe = replace(alone("discriminator", SGD(0.1), 6), weights={"label_weight": Rise(0.0, 2, 4)})
    for _ in train(model, sets, recipe, report_every=1, device="cpu", bfloat16=False):
        after = {name: weights(network) for name, network in networks.items()}
        moved.append([name for name in networks if not equal(before[name], after[name])])
        before = after
    assert [value for _, value in weight] == [factor for factor in (0, 0, 0, 0.25, 0.5, 0.5) for _ in range(5)]
    assert moved == [["style"]] * 3 + [["label", "style"]] * 3
    assert model.label_weight == 0.5


def test_a_run_with_fading_motion_and_a_rising_weight_goes_on_where_it_stopped(
    sets: Sets, make_recipe, tmp_path: Path
) -> None:
    def trained(is_by_clock: bool = True, **arguments: Any) -> list[Tensor]:
        model = tiny(input_motion=(2.0, 15.0, 0.1, 0.2))
        recipe = make_recipe(model, 12, SGD(0.002, 0.9))
        if is_by_clock:
            noise, rising = {"RandomAffine": Cosine(2, 10, 0.5)}, {"label_weight": Rise(0.3, 3, 11)}
            recipe = replace(recipe, noise=noise, weights=rising)
        run(model, sets, recipe, report_every=5, **arguments)
        return weights(model)

    expected = trained()
    for steps in (4, 7, 12):
        found = trained(state=tmp_path / "state", steps=steps)
    assert equal(found, expected) and not equal(trained(is_by_clock=False), expected)


def test_weights_go_through_a_file_with_or_without_discriminators(tmp_path: Path, sets: Sets, make_recipe) -> None:
    check_that_weights_go_through_a_file_with_or_without_discriminators(tiny, sets, make_recipe, tmp_path, 0.05)


def test_a_hundred_labels_name_held_out_digits_and_all_labels_are_used_alike(digits: Digits) -> None:
    torch.manual_seed(0)
    model = SemiSupervisedAutoencoder(style_dimensions=5, hidden=(64,))
    labeled = digits.train[balanced_subset(digits.train.labels, 100, seed=0)]
    rates = {"reconstruction": SGD(0.01, 0.9), "discriminator": SGD(0.1, 0.1), "generator": SGD(0.1, 0.1)}
    recipe = Recipe({**rates, "classification": SGD(0.1, 0.9)}, steps=250)

    def error() -> float:
        with torch.no_grad():
            return 100 * (model.classify(digits.test.images).argmax(1) != digits.test.labels).double().mean().item()

    assert error() > 75  # 90 by chance
    run(model, (labeled_as(digits.train, -1), labeled), recipe)
    assert error() < 38
    with torch.no_grad():
        label, style = model.prior.split(model.encode(digits.test.images))
    assert label.amax(1).mean() > 0.75 and (label.mean(0) - 0.1).abs().max() < 0.09  # one for each image, all in use
    assert 0.3 < style.std(0).mean() < 5  # it starts near 0, and the samples have 1
