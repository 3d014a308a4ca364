"""The clustering autoencoder: a label and a style that nobody has told it, batch-norm, and pixels left out."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import (
    alone,
    check_that_each_update_moves_its_networks_and_no_other,
    check_that_no_label_is_read,
    check_that_the_discriminators_learn_to_tell_and_the_encoder_to_fool_them,
    check_that_weights_go_through_a_file_with_or_without_discriminators,
    equal,
    labeled_as,
    perceptron,
    run,
    sigmoid,
    softmax,
    with_any_statistics,
    with_large_weights,
)
from torch import Tensor, nn

from aae_lib.data import Digits, Images
from aae_lib.drawing import decoded_clusters, draw_counts
from aae_lib.losses import binary_cross_entropy, half_squared_error
from aae_lib.models import ClusteringAutoencoder, SemiSupervisedAutoencoder
from aae_lib.priors import PriorError
from aae_lib.training import SGD, Recipe, TrainingError

CLUSTERS, STYLE = 6, 3


def tiny(seed: int = 0, **settings: Any) -> ClusteringAutoencoder:
    torch.manual_seed(seed)
    sizes = {"clusters": CLUSTERS, "style_dimensions": STYLE, "hidden": (16,)}
    return with_large_weights(ClusteringAutoencoder(**{**sizes, "input_dropout": 0.0, **settings}))


def in_evaluation(**settings: Any) -> ClusteringAutoencoder:
    return with_any_statistics(tiny(**settings)).eval()


# Codes and sizes


@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_code_is_the_labels_probabilities_and_the_style(batch_norm: bool, images: Images) -> None:
    model = in_evaluation(batch_norm=batch_norm)
    output = perceptron(model.encoder, images.images.double().numpy())
    codes = model.encode(images.images)
    assert codes.shape == (600, CLUSTERS + STYLE) and codes.dtype == torch.float32
    np.testing.assert_allclose(codes.detach()[:, :CLUSTERS], softmax(output[:, :CLUSTERS]), atol=1e-5)
    np.testing.assert_allclose(codes.detach()[:, CLUSTERS:], output[:, CLUSTERS:], atol=1e-5)
    logits, style = model.logits_and_style(images.images)
    np.testing.assert_allclose(logits.detach(), output[:, :CLUSTERS], atol=1e-5)
    assert torch.equal(style, codes[:, CLUSTERS:]) and torch.equal(model.code_of(images), codes)
    decoded = model.decode(codes)
    np.testing.assert_allclose(
        decoded.detach(), sigmoid(perceptron(model.decoder, codes.detach().double().numpy())), atol=1e-5
    )


def test_sizes_are_those_asked_for() -> None:
    model = ClusteringAutoencoder(clusters=4, style_dimensions=2, hidden=(8, 5))
    codes = model.encode(torch.rand(7, 784))
    assert codes.shape == (7, 6) and model.decode(codes).shape == (7, 784)
    assert model.prior.sample(7).shape == codes.shape and model.prior.classes == 4
    assert model.label_discriminator(codes[:, :4]).shape == model.style_discriminator(codes[:, 4:]).shape == (7, 1)
    expected = [
        [(784, 8), (8, 5), (5, 6)], [(6, 8), (8, 5), (5, 784)], [(4, 8), (8, 5), (5, 1)], [(2, 8), (8, 5), (5, 1)]
    ]  # fmt: skip
    for network, sizes in zip(model.children(), expected, strict=True):
        assert [(one.in_features, one.out_features) for one in network if isinstance(one, nn.Linear)] == sizes


def test_sixteen_clusters_with_the_papers_style_dropout_and_batch_norm_are_the_default() -> None:
    model = ClusteringAutoencoder()
    assert model.prior.classes == 16 and model.prior.dimensions == 21
    assert model.prior.style.standard_deviation == 1
    assert model.input_noise == 0 and model.input_dropout == 0.2 and model.batch_norm is True
    assert model.label_weight == 1
    assert model.style_discriminator[0].weight.shape == (1000, 5)
    assert model.reconstruction_loss is half_squared_error
    assert not hasattr(model, "classify"), "it knows no digits"


@pytest.mark.parametrize("clusters", [1, 0])
def test_fewer_than_two_clusters_are_refused(clusters: int) -> None:
    with pytest.raises(PriorError, match=f"classes >= 2, not {clusters}"):
        ClusteringAutoencoder(clusters)


# Batch-norm


def test_every_layer_of_the_encoder_normalizes_the_code_too_and_no_other_network_does() -> None:
    model = ClusteringAutoencoder(4, 2, hidden=(8, 5))
    plain = [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    normalized = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d]
    assert [type(layer) for layer in model.encoder][2:] == normalized
    assert [layer.num_features for layer in model.encoder if isinstance(layer, nn.BatchNorm1d)] == [8, 5, 6]
    for network in (model.decoder, model.label_discriminator, model.style_discriminator):
        assert [type(layer) for layer in network] == plain
    without = ClusteringAutoencoder(4, 2, hidden=(8, 5), batch_norm=False)
    assert [type(layer) for layer in without.encoder][2:] == plain


def test_the_semi_supervised_model_has_neither_batch_norm_nor_dropout() -> None:
    kinds = [type(layer) for layer in SemiSupervisedAutoencoder(hidden=(8,)).encoder]
    assert kinds[1:] == [nn.Linear, nn.ReLU, nn.Linear]


def test_in_training_each_number_of_the_code_has_mean_0_and_deviation_1_over_the_minibatch(images: Images) -> None:
    def statistics(batch_norm: bool) -> tuple[Tensor, Tensor]:
        output = torch.cat(tiny(batch_norm=batch_norm).train().logits_and_style(images.images[:100]), 1)
        return output.mean(0), output.var(0, correction=0)

    mean, variance = statistics(True)
    torch.testing.assert_close(mean, torch.zeros(CLUSTERS + STYLE), rtol=0, atol=1e-5)
    torch.testing.assert_close(variance, torch.ones(CLUSTERS + STYLE), rtol=0, atol=1e-3)
    mean, variance = statistics(False)
    assert mean.abs().max() > 0.1 and (variance - 1).abs().max() > 0.2


def test_after_training_the_statistics_are_those_of_all_training_images(images: Images, make_recipe) -> None:
    model = tiny(input_dropout=0.2, input_noise=0.3)
    run(model, images, make_recipe(model, 6))
    assert not model.training
    linear, normalization = model.encoder[2], model.encoder[3]
    hidden = images.images.double() @ linear.weight.double().T + linear.bias.double()
    np.testing.assert_allclose(normalization.running_mean, hidden.mean(0).detach(), atol=1e-5)
    np.testing.assert_allclose(normalization.running_var, hidden.var(0).detach(), rtol=1e-4)
    output = torch.cat(model.logits_and_style(images.images), 1)
    weight, bias = (parameter.detach() for parameter in model.encoder[-1].parameters())
    torch.testing.assert_close(output.mean(0), bias, rtol=0, atol=5e-3)
    torch.testing.assert_close(output.std(0), weight.abs(), rtol=0, atol=5e-3)


# Losses


@pytest.mark.parametrize(("batch_norm", "label_weight"), [(True, 1.0), (False, 1.0), (True, 0.3)])
def test_the_losses_are_the_formulas(batch_norm: bool, label_weight: float, images: Images) -> None:
    some = images[:300]
    model = in_evaluation(batch_norm=batch_norm, label_weight=label_weight, input_dropout=0.2, input_noise=0.5)
    torch.manual_seed(7)
    losses = dict(model.updates(some))
    torch.manual_seed(7)
    one_hot, gaussian = np.eye(CLUSTERS)[torch.randint(CLUSTERS, (300,))], torch.randn(300, STYLE).double().numpy()

    x = some.images.double().numpy()
    output = perceptron(model.encoder, x)
    y, z = softmax(output[:, :CLUSTERS]), output[:, CLUSTERS:]
    decoded = sigmoid(perceptron(model.decoder, np.concatenate([y, z], 1)))
    of_label, of_style = model.label_discriminator, model.style_discriminator
    says_real = [sigmoid(perceptron(of_label, one_hot)), sigmoid(perceptron(of_style, gaussian))]
    says_fake = [sigmoid(perceptron(of_label, y)), sigmoid(perceptron(of_style, z))]
    expected = {
        "reconstruction": (0.5 * (decoded - x) ** 2).sum(1).mean(),
        "discriminator": sum(
            -weight * (np.log(real).mean() + np.log(1 - fake).mean())
            for weight, real, fake in zip((label_weight, 1), says_real, says_fake, strict=True)
        ),
        "generator": -label_weight * np.log(says_fake[0]).mean() - np.log(says_fake[1]).mean(),
    }
    assert list(losses) == list(expected) == list(ClusteringAutoencoder.moves)
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name], rel=1e-5), name


def test_another_reconstruction_loss_may_be_taken(images: Images) -> None:
    model = in_evaluation(reconstruction_loss=binary_cross_entropy)
    logits = perceptron(model.decoder, model.encode(images.images).detach().double().numpy())
    x = images.images.double().numpy()
    expected = -(x * np.log(sigmoid(logits)) + (1 - x) * np.log(sigmoid(-logits))).sum(1).mean()
    assert next(model.updates(images))[1].item() == pytest.approx(expected, rel=1e-5)


# What an update moves, and where to


@pytest.mark.parametrize("bfloat16", [False, True])
def test_each_update_moves_its_networks_and_no_other(bfloat16: bool, images: Images, make_recipe) -> None:
    model = tiny(input_dropout=0.2)
    check_that_each_update_moves_its_networks_and_no_other(model, images, make_recipe(model, 1, SGD(0.1)), bfloat16)


def test_the_discriminators_learn_to_tell_and_the_encoder_to_fool_them(images: Images) -> None:
    check_that_the_discriminators_learn_to_tell_and_the_encoder_to_fool_them(tiny(batch_norm=False), images)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_reconstruction_lowers_its_own_error(batch_norm: bool, images: Images) -> None:
    model = tiny(batch_norm=batch_norm)
    (report,) = run(model, images, alone(model, "reconstruction", SGD(0.05), 1))
    (later,) = run(model, images, alone(model, "reconstruction", SGD(0.05), 1))  # on the same images
    assert later.losses["reconstruction"] < report.losses["reconstruction"] - 0.3


# What the encoder sees


def seen_in_one_step(images: Images, make_recipe, **settings: float) -> tuple[Tensor, list[Tensor]]:
    """The target of the reconstruction, and what enters the first layer of the encoder, pass by pass."""
    seen, targets = [], []

    def loss(logits: Tensor, images: Tensor) -> Tensor:
        targets.append(images)
        return half_squared_error(logits, images)

    model = tiny(reconstruction_loss=loss, **settings)
    first = next(layer for layer in model.encoder if isinstance(layer, nn.Linear))

    def keep(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        if model.encoder.training:
            seen.append(inputs[0].detach())

    first.register_forward_pre_hook(keep)
    run(model, images, make_recipe(model, 1))
    (target,) = targets
    assert {tuple(image) for image in target.tolist()} <= {tuple(image) for image in images.images.tolist()}
    return target, seen


def test_in_training_a_share_of_the_pixels_is_left_out_and_the_clean_images_are_reconstructed(
    images: Images, make_recipe
) -> None:
    target, (first, second) = seen_in_one_step(images, make_recipe, input_dropout=0.2)
    for seen in (first, second):
        kept = seen != 0
        assert (~kept)[target > 0].double().mean() == pytest.approx(0.2, abs=0.015)
        torch.testing.assert_close(seen[kept], target[kept] / 0.8)
    of_ink = target > 0
    assert ((first != 0) & (second != 0))[of_ink].double().mean() == pytest.approx(0.8**2, abs=0.02)  # other pixels


def test_in_training_the_encoder_sees_noise_and_the_clean_images_are_reconstructed(images: Images, make_recipe) -> None:
    target, seen = seen_in_one_step(images, make_recipe, input_noise=0.25)
    noises = [one - target for one in seen]
    for noise in noises:
        assert noise.mean().abs() < 0.003 and noise.std().item() == pytest.approx(0.25, rel=0.01)
    assert F.cosine_similarity(noises[0].flatten(), noises[1].flatten(), dim=0).abs() < 0.01  # new noise at each pass


def test_noise_comes_before_the_pixels_are_left_out(images: Images, make_recipe) -> None:
    target, (seen, _) = seen_in_one_step(images, make_recipe, input_noise=0.25, input_dropout=0.4)
    kept = seen != 0
    assert kept.double().mean() == pytest.approx(0.6, abs=0.01)
    assert (0.6 * seen - target)[kept].std().item() == pytest.approx(0.25, rel=0.02)


def test_without_noise_and_dropout_training_sees_the_images_themselves(images: Images, make_recipe) -> None:
    target, seen = seen_in_one_step(images, make_recipe)
    assert len(seen) == 2 and all(torch.equal(one, target) for one in seen)


def test_there_is_neither_noise_nor_dropout_in_evaluation(images: Images) -> None:
    spoiled, clean = (tiny(input_noise=noise, input_dropout=dropout).eval() for noise, dropout in ((0.5, 0.3), (0, 0)))
    state = torch.get_rng_state()
    assert torch.equal(spoiled.encode(images.images), clean.encode(images.images))
    assert torch.equal(torch.get_rng_state(), state)
    first, second = (spoiled.train().encode(images.images) for _ in range(2))
    assert (first != second).any(1).all()


# Labels that nobody knows


def test_no_label_is_read(images: Images, make_recipe) -> None:
    check_that_no_label_is_read(lambda: tiny(input_dropout=0.2), images[:300], make_recipe)


def test_an_image_needs_no_label_at_all(images: Images) -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> None:
            raise AssertionError(f"labels.{name} is read")

    without = Images(images.images, Untouchable())
    assert len(list(tiny().updates(without))) == 3 and tiny().code_of(without).shape == (600, CLUSTERS + STYLE)


def test_two_sets_of_images_are_refused(images: Images, make_recipe) -> None:
    model = tiny()
    with pytest.raises(TrainingError, match=r"takes 1 minibatches \(batch\), but there are 2 sets"):
        run(model, (images, images), make_recipe(model, 1))


# Training, and files


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_run_that_stops_and_goes_on_ends_with_the_same_bits(
    bfloat16: bool, images: Images, make_recipe, tmp_path: Path
) -> None:
    def trained(**arguments: Any) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
        model = tiny(input_dropout=0.2)
        recipe = make_recipe(model, 12, SGD(0.002, 0.9))
        reports = run(model, images[:300], recipe, report_every=5, bfloat16=bfloat16, **arguments)
        return model.state_dict(), [report.losses for report in reports]

    expected, losses = trained()
    path = tmp_path / "state"
    for steps in (1, 4, 9, 12):  # within passes of three minibatches, and between
        found, found_losses = trained(state=path, steps=steps)
    assert found.keys() == expected.keys() and equal([*found.values()], [*expected.values()])
    assert any(name.endswith("running_var") for name in found)
    assert len(losses) == 3 and found_losses[-1] == losses[-1]
    other, _ = trained(seed=1)
    assert not equal([*other.values()], [*expected.values()])


def test_weights_and_statistics_go_through_a_file_with_or_without_discriminators(
    tmp_path: Path, images: Images, make_recipe
) -> None:
    assert any(name.endswith("running_mean") for name, _ in tiny().named_buffers())
    check_that_weights_go_through_a_file_with_or_without_discriminators(tiny, images, make_recipe, tmp_path, 0.1)


def test_clusters_of_digits_are_found_without_a_label_and_all_are_used(digits: Digits) -> None:
    torch.manual_seed(0)
    model = ClusteringAutoencoder(10, 5, hidden=(64,))
    rates = {"reconstruction": SGD(0.01, 0.9), "discriminator": SGD(0.1, 0.1), "generator": SGD(0.1, 0.1)}

    @torch.no_grad()
    def counts() -> np.ndarray:
        table = np.zeros((10, 10))
        clusters = model.eval().encode(digits.test.images)[:, :10].argmax(1)
        np.add.at(table, (clusters, digits.test.labels), 1)
        return table

    assert counts().max(1).sum() < 280
    run(model, labeled_as(digits.train, -1), Recipe(rates, steps=500))
    assert counts().max(1).sum() > 420  # of 1,000 digits those that are the most frequent one of their cluster
    assert counts().sum(1).min() > 20


# Clusters, drawn


def test_a_row_is_the_head_of_a_cluster_then_its_first_codes_in_order_then_white() -> None:
    model, columns = tiny(clusters=4).eval(), 5
    labels = torch.tensor([2, 0, 2, 0, 2, 0, 0, 0, 0, 3, 2, 2])
    codes = torch.randn(12, 4 + STYLE)
    own = [[1, 3, 5, 6], [], [0, 2, 4, 10], [9]]
    for some in (codes, codes.half()):
        rows = decoded_clusters(model, some, labels, columns)
        assert rows.shape == (4 * columns, 784) and not rows.requires_grad
        for cluster, row in enumerate(rows.split(columns)):
            head = np.eye(4 + STYLE)[[cluster]]
            shown = np.concatenate([head, some[own[cluster]].double().numpy()])
            np.testing.assert_allclose(row[: len(shown)], sigmoid(perceptron(model.decoder, shown)), atol=1e-5)
            assert (row[len(shown) :] == 1).all()
    assert decoded_clusters(model, codes, labels, 1).shape == (4, 784)


def test_counts_are_drawn_in_the_order_of_the_digits_that_clusters_hold_most_of() -> None:
    table = torch.tensor([[0, 7, 0, 1], [5, 0, 0, 0], [0, 1, 9, 3]])  # digits, clusters
    order = [1, 0, 2, 3]
    figure, axes = plt.subplots()
    draw_counts(axes, table)
    assert [text.get_text() for text in axes.get_xticklabels()] == [str(cluster) for cluster in order]
    (image,) = axes.images
    np.testing.assert_allclose(image.get_array(), (table / table.sum(1, keepdim=True))[:, order])
    drawn = {(text.get_position()[1], order[text.get_position()[0]]): int(text.get_text()) for text in axes.texts}
    assert drawn == {(digit, cluster): int(table[digit, cluster]) for digit, cluster in table.nonzero().tolist()}
    plt.close(figure)
