"""Dimensionality reduction: the code is a head plus a style, the heads are learned, and a few labels may name them."""

import copy
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from support import (
    alone,
    check_that_each_update_moves_its_networks_and_no_other,
    check_that_labels_reach_the_classification_alone,
    check_that_no_label_is_read,
    check_that_no_label_of_an_unlabeled_image_is_read,
    check_that_the_discriminators_learn_to_tell_and_the_encoder_to_fool_them,
    equal,
    labeled_as,
    perceptron,
    run,
    sigmoid,
    softmax,
    watched,
    with_any_statistics,
    with_large_weights,
)
from torch import Tensor, nn

from aae_lib.data import Digits, Images, balanced_subset
from aae_lib.drawing import DIGIT_COLORS, draw_map, on_circle
from aae_lib.losses import half_squared_error
from aae_lib.models import ReducingAutoencoder, SemiSupervisedReducingAutoencoder
from aae_lib.priors import AroundHeads, PriorError
from aae_lib.storage import StorageError, load_weights, save_weights
from aae_lib.training import SGD, Recipe, TrainingError

Sets = tuple[Images, Images]
KINDS = [ReducingAutoencoder, SemiSupervisedReducingAutoencoder]


def tiny(kind: type[ReducingAutoencoder] = ReducingAutoencoder, seed: int = 0, **settings: Any) -> ReducingAutoencoder:
    torch.manual_seed(seed)
    return with_large_weights(kind(**{"clusters": 10, "hidden": (16,), "input_dropout": 0.0, **settings}))


def in_evaluation(kind: type[ReducingAutoencoder] = ReducingAutoencoder, **settings: Any) -> ReducingAutoencoder:
    return with_any_statistics(tiny(kind, **settings)).eval()


def sets_of(model: ReducingAutoencoder, sets: Sets) -> Sets | tuple[Images]:
    """As many of the sets as the model takes."""
    return sets if isinstance(model, SemiSupervisedReducingAutoencoder) else sets[:1]


def positions_of(model: ReducingAutoencoder) -> np.ndarray:
    return model.heads.positions.detach().double().numpy()


def crowding(positions: np.ndarray, distance: float) -> float:
    pairs = [(i, j) for i in range(len(positions)) for j in range(i)]
    return sum(max(0.0, distance - float(np.linalg.norm(positions[i] - positions[j]))) for i, j in pairs)


# Codes and sizes


@pytest.mark.parametrize(("batch_norm", "dimensions"), [(True, 2), (False, 2), (False, 5)])
def test_a_code_is_the_mix_of_the_heads_by_the_labels_probabilities_plus_the_style(
    batch_norm: bool, dimensions: int, images: Images
) -> None:
    model = in_evaluation(batch_norm=batch_norm, dimensions=dimensions)
    output = perceptron(model.encoder, images.images.double().numpy())
    label, style = softmax(output[:, :10]), output[:, 10:]
    codes = model.encode(images.images)
    assert codes.shape == (600, dimensions) and codes.dtype == torch.float32
    np.testing.assert_allclose(codes.detach(), label @ positions_of(model) + style, atol=1e-5)
    assert torch.equal(model.code_of(images), codes)
    assert label.max(1).mean() < 0.9  # a mix


def test_with_a_certain_label_a_code_is_its_head_plus_the_style(images: Images) -> None:
    model = in_evaluation(batch_norm=False)
    model.encoder[-1].bias.data[7] = 1e4
    _, style = model.logits_and_style(images.images)
    torch.testing.assert_close(model.encode(images.images), model.heads.positions[7] + style)


def test_the_decoder_sees_the_sum_and_nothing_else(sets: Sets) -> None:
    model = in_evaluation()
    seen: list[Tensor] = []
    model.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    list(model.updates(sets[0]))
    (codes,) = seen
    output = perceptron(model.encoder, sets[0].images.double().numpy())
    np.testing.assert_allclose(codes, softmax(output[:, :10]) @ positions_of(model) + output[:, 10:], atol=1e-5)


def test_images_are_made_of_codes() -> None:
    model, codes = tiny(), 3 * torch.randn(20, 2)
    images = model.decode(codes)
    assert images.shape == (20, 784) and images.dtype == torch.float32
    np.testing.assert_allclose(images.detach(), sigmoid(perceptron(model.decoder, codes.double().numpy())), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_those_asked_for(kind: type[ReducingAutoencoder]) -> None:
    model = kind(clusters=4, dimensions=3, hidden=(8, 5))
    codes = model.encode(torch.rand(7, 784))
    assert codes.shape == (7, 3) and model.decode(codes).shape == (7, 784) and model.prior.sample(7).shape == (7, 3)
    expected = {
        "encoder": [(784, 8), (8, 5), (5, 7)],
        "decoder": [(3, 8), (8, 5), (5, 784)],
        "label_discriminator": [(4, 8), (8, 5), (5, 1)],
        "style_discriminator": [(3, 8), (8, 5), (5, 1)],
    }
    networks = dict(model.named_children())
    assert networks.pop("heads") is model.heads and model.heads.positions.shape == (4, 3)
    assert networks.keys() == expected.keys()
    for name, network in networks.items():
        sizes = [(one.in_features, one.out_features) for one in network if isinstance(one, nn.Linear)]
        assert sizes == expected[name]


@pytest.mark.parametrize("kind", KINDS)
def test_twenty_heads_in_the_plane_with_batch_norm_are_the_default(kind: type[ReducingAutoencoder]) -> None:
    model = kind(hidden=(8,))
    assert model.prior.classes == 20 and model.prior.dimensions == 2 and model.distance == 6
    assert model.label_share == 0.1
    assert model.input_noise == 0 and model.input_dropout == 0.2 and model.batch_norm
    assert [type(layer) for layer in model.encoder][-2:] == [nn.Linear, nn.BatchNorm1d]
    assert kind().encoder[2].weight.shape == (1000, 784)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dimensions", [1, 0])
def test_a_line_is_refused(kind: type[ReducingAutoencoder], dimensions: int) -> None:
    with pytest.raises(ValueError, match=f"a map needs at least 2 dimensions, not {dimensions}: on a line heads"):
        kind(dimensions=dimensions)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clusters", [1, 0])
def test_fewer_than_two_clusters_are_refused(kind: type[ReducingAutoencoder], clusters: int) -> None:
    with pytest.raises(PriorError, match=f"classes >= 2, not {clusters}"):
        kind(clusters)


# The prior and the heads are one


@torch.no_grad()
def test_the_prior_moves_along_with_the_heads(images: Images, make_recipe) -> None:
    model = tiny()
    assert isinstance(model.prior, AroundHeads) and model.prior.heads is model.heads.positions
    before = model.prior.positions
    run(model, images, make_recipe(model, 3, SGD(0.01)))
    assert torch.equal(model.prior.positions, model.heads.positions) and not torch.equal(model.prior.positions, before)
    copied = copy.deepcopy(model)
    copied.heads.positions += 100
    assert copied.prior.positions.min() > 50 > model.prior.positions.max()
    torch.testing.assert_close(copied.prior.sample(1000).mean(0), copied.heads.positions.mean(0), rtol=0, atol=0.7)


# Losses


@pytest.mark.parametrize(("batch_norm", "label_weight"), [(True, 1.0), (False, 1.0), (True, 0.3)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_losses_are_the_formulas(
    kind: type[ReducingAutoencoder], batch_norm: bool, label_weight: float, sets: Sets
) -> None:
    settings = {"batch_norm": batch_norm, "label_weight": label_weight, "input_noise": 0.5, "input_dropout": 0.2}
    model = in_evaluation(kind, distance=2.0, **settings)
    unlabeled, labeled = sets
    torch.manual_seed(7)
    losses = {name: loss.item() for name, loss in model.updates(*sets_of(model, sets))}
    torch.manual_seed(7)
    one_hot, gaussian = np.eye(10)[torch.randint(10, (300,))], torch.randn(300, 2).double().numpy()

    x = unlabeled.images.double().numpy()
    output = perceptron(model.encoder, x)
    y, z = softmax(output[:, :10]), output[:, 10:]
    decoded = sigmoid(perceptron(model.decoder, y @ positions_of(model) + z))
    of_label, of_style = model.label_discriminator, model.style_discriminator
    says_real = [sigmoid(perceptron(of_label, one_hot)), sigmoid(perceptron(of_style, gaussian))]
    says_fake = [sigmoid(perceptron(of_label, y)), sigmoid(perceptron(of_style, z))]
    known = softmax(perceptron(model.encoder, labeled.images.double().numpy())[:, :10])
    expected = {
        "reconstruction": (0.5 * (decoded - x) ** 2).sum(1).mean(),
        "discriminator": sum(
            -weight * (np.log(real).mean() + np.log(1 - fake).mean())
            for weight, real, fake in zip((label_weight, 1), says_real, says_fake, strict=True)
        ),
        "generator": -label_weight * np.log(says_fake[0]).mean() - np.log(says_fake[1]).mean(),
        "heads": crowding(positions_of(model), 2.0),
    }
    if kind is SemiSupervisedReducingAutoencoder:
        expected["classification"] = -np.log(known[np.arange(200), labeled.labels]).mean()
    assert list(losses) == list(expected) == list(kind.moves)
    assert losses == pytest.approx(expected, rel=1e-5)
    assert 5 < expected["heads"] < 45 * 2


def test_the_classification_is_that_of_the_layer_that_makes_the_label(sets: Sets) -> None:
    model = in_evaluation(SemiSupervisedReducingAutoencoder, batch_norm=False)
    logits = perceptron(model.encoder, sets[1].images.double().numpy())[:, :10]
    np.testing.assert_allclose(model.classify(sets[1].images).detach(), logits, atol=1e-5)
    loss = dict(model.updates(*sets))["classification"]
    *_, weight, bias = torch.autograd.grad(loss, list(model.encoder.parameters()))
    assert (weight[:10].abs().amax(1) > 0).all() and not weight[10:].any() and not bias[10:].any()


# What an update moves, and where to


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_each_update_moves_its_networks_and_no_other(
    kind: type[ReducingAutoencoder], bfloat16: bool, sets: Sets, make_recipe
) -> None:
    model = tiny(kind, input_dropout=0.2)
    recipe = make_recipe(model, 1, SGD(0.05))
    check_that_each_update_moves_its_networks_and_no_other(model, sets_of(model, sets), recipe, bfloat16)


@pytest.mark.parametrize("kind", KINDS)
def test_heads_are_moved_by_the_reconstruction_and_by_their_own_update_and_by_nothing_else(
    kind: type[ReducingAutoencoder], sets: Sets, make_recipe
) -> None:
    model = tiny(kind)
    record = watched(model, lambda: positions_of(model).copy())
    run(model, sets_of(model, sets), make_recipe(model, 2, SGD(0.05)))
    moved_by = [
        name for (_, before), (name, after) in zip(record[:-1], record[1:], strict=True) if (before != after).any()
    ]
    assert moved_by == 2 * ["reconstruction", "heads"]


def test_the_reconstruction_reaches_each_head_by_its_share_of_the_codes(images: Images) -> None:
    model = in_evaluation()
    _, loss = next(model.updates(images))
    (of_heads,) = torch.autograd.grad(loss, [model.heads.positions])
    codes = model.encode(images.images).detach().requires_grad_()
    (of_codes,) = torch.autograd.grad(half_squared_error(model.decoder(codes), images.images), [codes])
    label = softmax(perceptron(model.encoder, images.images.double().numpy())[:, :10])
    np.testing.assert_allclose(of_heads, label.T @ of_codes.double().numpy(), rtol=1e-3, atol=1e-5)


def test_in_training_a_share_of_the_reconstruction_s_gradient_reaches_the_label_and_all_of_it_the_style_and_the_heads(
    images: Images,
) -> None:
    gradients = []
    for share in (1.0, 0.1):
        model = tiny(label_share=share, batch_norm=False).train()
        _, loss = next(model.updates(images))
        weights = [model.encoder[-1].weight, model.encoder[-1].bias, model.heads.positions, *model.decoder.parameters()]
        gradients.append([loss.detach(), *torch.autograd.grad(loss, weights)])
        assert torch.equal(model.encode(images.images), model.eval().encode(images.images))
    for whole, part in zip(*gradients, strict=True):
        expected = whole.clone()
        if whole.shape in ((12, 16), (12,)):
            expected[:10] *= 0.1
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-6)
    assert (gradients[0][1].abs().amax(1) > 0).all()


def test_in_evaluation_codes_change_with_the_label_as_the_network_does(images: Images) -> None:
    of_label = []
    for share in (1.0, 0.1):
        model = tiny(label_share=share).eval()
        (gradient,) = torch.autograd.grad(model.encode(images.images).sum(), [model.encoder[-2].weight])
        of_label.append(gradient)
    assert torch.equal(*of_label) and of_label[0].any()


@pytest.mark.parametrize("kind", KINDS)
def test_heads_that_crowd_are_pushed_apart_until_they_keep_their_distance(
    kind: type[ReducingAutoencoder], sets: Sets
) -> None:
    model = tiny(kind, clusters=10, distance=1.5)
    model.heads.positions.data[9] = torch.tensor([40.0, -30.0])
    before = crowding(positions_of(model), 1.5)
    run(model, sets_of(model, sets), alone(model, "heads", SGD(0.05), 100))
    positions = positions_of(model)
    assert before > 5 and crowding(positions, 1.5) < 0.05 * before
    apart = np.linalg.norm(positions[:, None] - positions, axis=2) + 1e9 * np.eye(10)
    assert apart.min() > 1.3
    assert positions[9].tolist() == [40, -30]  # it kept its distance from the start


def test_the_discriminators_learn_to_tell_labels_and_styles_and_the_encoder_to_fool_them(images: Images) -> None:
    check_that_the_discriminators_learn_to_tell_and_the_encoder_to_fool_them(tiny(batch_norm=False), images)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reconstruction_lowers_its_own_error(kind: type[ReducingAutoencoder], sets: Sets) -> None:
    model = tiny(kind)
    recipe = alone(model, "reconstruction", SGD(0.05), 1)
    (report,) = run(model, sets_of(model, sets), recipe)
    (later,) = run(model, sets_of(model, sets), recipe)  # on the same images
    assert later.losses["reconstruction"] < report.losses["reconstruction"] - 0.3


def test_the_classification_raises_the_probability_of_the_true_label(sets: Sets) -> None:
    def of_truth() -> float:
        with torch.no_grad():
            return model.classify(labeled.images).softmax(1).gather(1, labeled.labels[:, None]).mean().item()

    _, labeled = sets
    model = tiny(SemiSupervisedReducingAutoencoder, batch_norm=False)
    record = watched(model, of_truth)
    run(model, sets, alone(model, "classification", SGD(0.01), 10))
    before = [after for name, after in record if name == "heads"]
    after = [after for name, after in record if name == "classification"]
    assert len(before) == len(after) == 10 and all(one < other for one, other in zip(before, after, strict=True))


# Labels that nobody knows


def test_no_label_is_read(images: Images, make_recipe) -> None:
    check_that_no_label_is_read(lambda: tiny(input_dropout=0.2), images[:300], make_recipe)


def test_no_label_of_an_unlabeled_image_is_read(sets: Sets, make_recipe) -> None:
    check_that_no_label_of_an_unlabeled_image_is_read(
        lambda: tiny(SemiSupervisedReducingAutoencoder, input_noise=0.3, batch_norm=False), sets, make_recipe
    )


def test_labels_reach_the_classification_alone(sets: Sets) -> None:
    check_that_labels_reach_the_classification_alone(
        lambda: tiny(SemiSupervisedReducingAutoencoder, batch_norm=False), sets
    )


def test_another_number_of_sets_is_refused(sets: Sets, make_recipe) -> None:
    for kind, some, message in (
        (ReducingAutoencoder, sets, r"takes 1 minibatches \(batch\), but there are 2"),
        (SemiSupervisedReducingAutoencoder, sets[:1], r"takes 2 minibatches \(unlabeled, labeled\), but there are 1"),
    ):
        model = tiny(kind)
        with pytest.raises(TrainingError, match=message):
            run(model, some, make_recipe(model, 1))


# Training, and files


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_stops_and_goes_on_ends_with_the_same_bits(
    kind: type[ReducingAutoencoder], sets: Sets, make_recipe, tmp_path: Path
) -> None:
    def trained(**arguments: Any) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
        model = tiny(kind, input_dropout=0.2)
        recipe = make_recipe(model, 12, SGD(0.002, 0.9))
        reports = run(model, sets_of(model, sets), recipe, report_every=5, **arguments)
        return model.state_dict(), [report.losses for report in reports]

    expected, losses = trained()
    for steps in (1, 4, 9, 12):
        found, found_losses = trained(state=tmp_path / "state", steps=steps)
    assert found.keys() == expected.keys() and equal([*found.values()], [*expected.values()])
    assert {"heads.positions", "encoder.3.running_var"} <= found.keys()
    assert len(losses) == 3 and found_losses[-1] == losses[-1]


def test_a_state_of_another_distance_is_refused(images: Images, make_recipe, tmp_path: Path) -> None:
    first, other = (tiny(distance=distance) for distance in (6.0, 5.0))
    recipe = make_recipe(first, 1, SGD(0.001))
    run(first, images, recipe, state=tmp_path / "state")
    with pytest.raises(TrainingError, match="state of another run"):
        run(other, images, recipe, state=tmp_path / "state")


@torch.no_grad()
def test_heads_go_through_a_file_within_half_a_step_and_the_prior_has_them(
    tmp_path: Path, images: Images, make_recipe
) -> None:
    trained, loaded = (tiny(seed=seed) for seed in (1, 2))
    run(trained, images, make_recipe(trained, 6, SGD(0.001)))
    save_weights(tmp_path / "weights", trained, {})
    load_weights(tmp_path / "weights", loaded)
    step = trained.heads.positions.abs().amax(1, keepdim=True) / 127
    assert ((loaded.heads.positions - trained.heads.positions).abs() <= 0.501 * step).all()
    assert torch.equal(loaded.prior.positions, loaded.heads.positions)
    loaded.eval()
    torch.testing.assert_close(loaded.encode(images.images), trained.encode(images.images), rtol=0, atol=0.1)


def test_a_state_of_another_share_of_the_label_is_refused(images: Images, make_recipe, tmp_path: Path) -> None:
    first, other = (tiny(label_share=share) for share in (0.1, 0.2))
    recipe = make_recipe(first, 1, SGD(0.001))
    run(first, images, recipe, state=tmp_path / "state")
    with pytest.raises(TrainingError, match="state of another run"):
        run(other, images, recipe, state=tmp_path / "state")


def test_a_file_without_heads_is_refused(tmp_path: Path) -> None:
    model = tiny()
    del model.heads
    save_weights(tmp_path / "weights", model, {})
    with pytest.raises(StorageError, match=r"does not fit ReducingAutoencoder: Missing keys heads\.positions"):
        load_weights(tmp_path / "weights", tiny(seed=1))


def test_a_hundred_labels_put_held_out_digits_around_their_own_heads(digits: Digits) -> None:
    torch.manual_seed(0)
    model = SemiSupervisedReducingAutoencoder(10, 2, hidden=(64,), input_noise=0.3, input_dropout=0.0, batch_norm=False)
    labeled = digits.train[balanced_subset(digits.train.labels, 100, seed=0)]
    rates = {"reconstruction": SGD(0.005, 0.9), "discriminator": SGD(0.1, 0.1), "generator": SGD(0.1, 0.1)}
    recipe = Recipe({**rates, "heads": SGD(0.05, 0.5), "classification": SGD(0.1, 0.9)}, steps=250)

    @torch.no_grad()
    def near_their_heads() -> float:
        distances = torch.cdist(model.encode(digits.test.images), model.heads.positions)
        return (distances.argmin(1) == digits.test.labels).double().mean().item()

    assert near_their_heads() < 0.25  # 0.1 by chance
    run(model, (labeled_as(digits.train, -1), labeled), recipe)
    assert near_their_heads() > 0.5
    assert torch.pdist(model.heads.positions).min() > 5.5


# Maps, drawn


@pytest.mark.parametrize(("count", "dimensions", "pull"), [(10, 10, 0.0), (10, 12, 0.0), (3, 5, 0.0), (10, 10, 0.999)])
def test_heads_land_evenly_on_a_circle(count: int, dimensions: int, pull: float) -> None:
    """Also where their mean is nearly the origin (pull), so that a map without the mean taken off would blow up."""
    torch.manual_seed(0)
    heads = 4 * torch.randn(count, dimensions)
    heads -= pull * heads.mean(0)
    centered = (heads - heads.mean(0)).double().numpy()
    radius = np.linalg.norm(centered, axis=1).mean()
    angle = 2 * np.pi * np.arange(count) / count
    expected = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    np.testing.assert_allclose(on_circle(heads, heads), expected, rtol=0, atol=1e-3 * radius)
    around = on_circle(heads.repeat(100, 1) + torch.randn(100 * count, dimensions), heads)
    smallest = np.linalg.svd(centered, compute_uv=False)[count - 2]
    assert around.norm(dim=1).max() < radius + 6 * radius * np.sqrt(count) / smallest


def test_the_map_to_the_circle_is_affine_and_sends_the_mean_of_the_heads_to_the_center() -> None:
    torch.manual_seed(0)
    heads, one, other = 4 * torch.randn(10, 10), torch.randn(50, 10), torch.randn(50, 10)
    together = on_circle(0.3 * one + 0.7 * other, heads)
    assert together.shape == (50, 2)
    expected = 0.3 * on_circle(one, heads) + 0.7 * on_circle(other, heads)
    torch.testing.assert_close(together, expected, rtol=1e-3, atol=1e-3 * together.abs().max().item())
    torch.testing.assert_close(on_circle(heads.mean(0, keepdim=True), heads), torch.zeros(1, 2), rtol=0, atol=1e-4)


def test_a_map_shows_every_code_in_the_color_of_its_digit_and_the_heads_as_crosses() -> None:
    codes, labels, heads = torch.randn(30, 2), torch.arange(30) % 10, torch.randn(4, 2)
    figure, axes = plt.subplots()
    draw_map(axes, codes, labels, heads)
    points, crosses = axes.collections
    np.testing.assert_allclose(points.get_offsets(), codes)
    np.testing.assert_allclose(points.get_facecolors()[:, :3], [to_rgb(DIGIT_COLORS[label]) for label in labels])
    np.testing.assert_allclose(crosses.get_offsets(), heads)
    assert axes.get_aspect() == 1 and not len(axes.get_xticks()) and not len(axes.get_yticks())
    plt.close(figure)
