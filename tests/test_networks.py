"""Networks: the papers' sizes and initial weights, and pictures of flat images."""

import numpy as np
import pytest
import torch
from support import heads_at
from torch import nn

from aae_lib.networks import (
    Attenuated,
    ClusterHeads,
    GaussianNoise,
    as_pictures,
    attenuated,
    has_batch_norm,
    mosaic,
    multilayer_perceptron,
)


def linears(network: nn.Module) -> list[nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


def test_the_papers_sizes_are_the_default() -> None:
    network = multilayer_perceptron(784, 2)
    assert [(layer.in_features, layer.out_features) for layer in linears(network)] == [
        (784, 1000),
        (1000, 1000),
        (1000, 2),
    ]


@pytest.mark.parametrize("hidden", [(), (5,), (5, 6, 7)])
def test_hidden_layers_are_those_asked_for(hidden: tuple[int, ...]) -> None:
    network = multilayer_perceptron(3, 4, hidden)
    assert [layer.out_features for layer in linears(network)] == [*hidden, 4]
    assert network(torch.randn(10, 3)).shape == (10, 4)


def test_weights_are_small_and_biases_zero() -> None:
    torch.manual_seed(0)
    for layer in linears(multilayer_perceptron(784, 500, (600, 600))):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.02)
        assert abs(layer.weight.mean().item()) < 1e-4
        assert (layer.weight / 0.01).pow(4).mean().item() == pytest.approx(3, rel=0.05)  # Gaussian, not uniform
        assert not layer.bias.any()


def test_weights_are_as_large_as_asked() -> None:
    torch.manual_seed(0)
    for layer in linears(multilayer_perceptron(784, 500, (600, 600), deviation=0.2)):
        assert layer.weight.std().item() == pytest.approx(0.2, rel=0.02)
        assert (layer.weight / 0.2).pow(4).mean().item() == pytest.approx(3, rel=0.05)
        assert not layer.bias.any()
    assert not any(layer.weight.any() for layer in linears(multilayer_perceptron(3, 4, (5,), deviation=0.0)))


def test_without_a_deviation_layers_are_as_pytorch_makes_them() -> None:
    torch.manual_seed(0)
    network = multilayer_perceptron(30, 4, (50, 60), deviation=None)
    torch.manual_seed(0)
    for layer, plain in zip(linears(network), [nn.Linear(30, 50), nn.Linear(50, 60), nn.Linear(60, 4)], strict=True):
        assert torch.equal(layer.weight, plain.weight) and torch.equal(layer.bias, plain.bias)
        assert layer.bias.all()


def test_the_output_has_no_activation_and_the_hidden_layers_have() -> None:
    torch.manual_seed(0)
    network = multilayer_perceptron(2, 50, (20, 20))
    assert [type(layer) for layer in network] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    output = network(torch.randn(100, 2))
    assert output.min() < -5 and output.max() > 5


# Noise


@pytest.mark.parametrize("deviation", [0.3, 2.0])
def test_noise_is_gaussian_and_new_at_each_call(deviation: float) -> None:
    torch.manual_seed(0)
    layer, images = GaussianNoise(deviation).train(), torch.rand(1000, 784)
    kept = images.clone()
    first, second = (layer(images) - images for _ in range(2))
    assert torch.equal(images, kept)  # it adds to a copy
    for noise in (first, second):
        assert abs(noise.mean().item()) < 0.005 * deviation
        assert noise.std().item() == pytest.approx(deviation, rel=0.005)
        assert (noise / deviation).pow(4).mean().item() == pytest.approx(3, rel=0.02)
        assert noise.mean(0).abs().max() < 0.15 * deviation and noise.mean(1).abs().max() < 0.2 * deviation
    both = torch.stack([first.flatten(), second.flatten(), images.flatten()])
    assert torch.corrcoef(both).triu(1).abs().max() < 0.005
    assert abs(torch.corrcoef(first.T).triu(1).mean().item()) < 0.002  # one number for each pixel


def test_noise_keeps_to_what_comes_in() -> None:
    layer = GaussianNoise(0.3)
    for images in (torch.zeros(5, 784), torch.zeros(2, 3, 28, 28), torch.zeros(4, dtype=torch.float64)):
        noisy = layer(images)
        assert noisy.shape == images.shape and noisy.dtype == images.dtype and noisy.all()
    assert not list(layer.state_dict())  # files of weights are those of the network without it


def test_noise_is_off_in_evaluation_and_draws_nothing() -> None:
    layer, images = GaussianNoise(0.3).eval(), torch.rand(5, 784)
    state = torch.get_rng_state()
    assert torch.equal(layer(images), images) and torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(layer.train()(images), images)


def test_gradients_pass_the_noise_unchanged() -> None:
    images = torch.rand(3, 784, requires_grad=True)
    weights = torch.randn(3, 784)
    (gradient,) = torch.autograd.grad((GaussianNoise(0.3)(images) * weights).sum(), images)
    assert torch.equal(gradient, weights)


# Batch-norm and pictures


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(3), nn.BatchNorm2d(3), nn.SyncBatchNorm(3)])
def test_batch_norm_is_found_at_any_depth(layer: nn.Module) -> None:
    assert has_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), layer)))
    assert not has_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))


def test_pictures_are_clipped_and_detached() -> None:
    images = torch.tensor([[-1.0, 0.5] + [2.0] * 782], dtype=torch.float16, requires_grad=True)
    pictures = as_pictures(images)
    assert pictures.shape == (1, 28, 28) and pictures.dtype == torch.float32 and not pictures.requires_grad
    assert pictures[0, 0, :3].tolist() == [0.0, 0.5, 1.0]


def test_a_mosaic_is_laid_out_row_by_row() -> None:
    images = torch.rand(6, 784)
    picture = mosaic(images, columns=3)
    assert picture.shape == (2 * 28, 3 * 28)
    for index in range(6):
        row, column = divmod(index, 3)
        tile = picture[28 * row : 28 * (row + 1), 28 * column : 28 * (column + 1)]
        assert torch.equal(tile, images[index].reshape(28, 28))


def test_a_mosaic_refuses_a_broken_row() -> None:
    with pytest.raises(ValueError, match="5 images do not fill rows of 3"):
        mosaic(torch.rand(5, 784), columns=3)


def test_an_attenuated_network_learns_in_full_and_passes_a_share_on_in_training_alone() -> None:
    plain = multilayer_perceptron(3, 2, (8,), deviation=0.5)
    codes = torch.randn(5, 3, requires_grad=True)
    weights = [*plain.parameters()]
    of_codes, *of_weights = torch.autograd.grad(plain(codes).square().sum(), [codes, *weights])
    attenuated = Attenuated(plain, 0.1)
    assert [*attenuated.state_dict()] == [*plain.state_dict()]
    for training, share in ((True, 0.1), (False, 1.0)):
        output = attenuated.train(training)(codes)
        assert torch.equal(output, plain(codes))
        found, *others = torch.autograd.grad(output.square().sum(), [codes, *weights])
        assert torch.allclose(found, share * of_codes)
        assert all(torch.equal(one, other) for one, other in zip(others, of_weights, strict=True))


def test_attenuated_values_are_the_same_bits_and_pass_a_share_of_the_gradient_on() -> None:
    values, weights = torch.randn(5, 3, requires_grad=True), torch.randn(5, 3)
    passed = attenuated(values, 0.1)
    (gradient,) = torch.autograd.grad((passed * weights).sum(), [values])
    assert torch.equal(passed, values) and torch.allclose(gradient, 0.1 * weights)


def test_batch_norm_follows_every_linear_layer_the_last_one_too_and_comes_before_the_activation() -> None:
    kinds = [type(layer) for layer in multilayer_perceptron(3, 4, (5, 6), dropout=0.5, batch_norm=True)]
    between = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout]
    assert kinds == [*between, *between, nn.Linear, nn.BatchNorm1d]
    network = multilayer_perceptron(3, 4, (5, 6), batch_norm=True)
    normalizing = [layer for layer in network if isinstance(layer, nn.BatchNorm1d)]
    assert [layer.num_features for layer in normalizing] == [5, 6, 4]
    assert all(layer.affine for layer in normalizing)
    assert not has_batch_norm(multilayer_perceptron(3, 4, (5, 6)))


# Heads of clusters


def test_heads_start_as_samples_of_a_standard_gaussian() -> None:
    torch.manual_seed(0)
    heads = ClusterHeads(2000, 3)
    assert [name for name, _ in heads.named_parameters()] == ["positions"] and heads.positions.shape == (2000, 3)
    assert heads.positions.mean(0).abs().max() < 0.08
    assert (torch.cov(heads.positions.T) - torch.eye(3)).abs().max() < 0.12


def test_a_label_gives_its_head_and_a_soft_one_the_mix() -> None:
    heads = ClusterHeads(6, 3)
    assert torch.equal(heads(torch.eye(6)[[4, 0, 4]]), heads.positions[[4, 0, 4]])
    label = torch.rand(50, 6).softmax(1)
    expected = label.double().numpy() @ heads.positions.detach().double().numpy()
    codes = heads(label)
    assert codes.dtype == torch.float32
    np.testing.assert_allclose(codes.detach(), expected, rtol=0, atol=1e-6)


def test_codes_of_labels_are_not_computed_in_bfloat16_inside_autocast() -> None:
    heads, label = ClusterHeads(20, 2), torch.rand(50, 20).softmax(1)
    expected, crowding = heads(label), heads.crowding(3.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(heads(label), expected) and heads(label).dtype == torch.float32
        assert torch.equal(heads.crowding(3.0), crowding)
        assert not torch.equal((label @ heads.positions).float(), expected)


@pytest.mark.parametrize("distance", [0.5, 2.0, 6.0])
@pytest.mark.parametrize(("clusters", "dimensions"), [(2, 2), (20, 2), (12, 5)])
def test_crowding_is_what_pairs_lack_of_the_distance(clusters: int, dimensions: int, distance: float) -> None:
    torch.manual_seed(0)
    heads = ClusterHeads(clusters, dimensions)
    positions = heads.positions.detach().double().numpy()
    expected = 0.0
    for i in range(clusters):
        for j in range(i):
            expected += max(0.0, distance - float(np.sqrt(((positions[i] - positions[j]) ** 2).sum())))
    assert heads.crowding(distance).item() == pytest.approx(expected, rel=1e-5)


def test_crowding_pushes_close_heads_straight_apart_and_leaves_far_ones_alone() -> None:
    heads = heads_at([[0.0, 0.0], [3.0, 4.0], [100.0, 0.0]])
    assert heads.crowding(6.0).item() == pytest.approx(1)
    (gradient,) = torch.autograd.grad(heads.crowding(6.0), [heads.positions])
    torch.testing.assert_close(-gradient, torch.tensor([[-0.6, -0.8], [0.6, 0.8], [0.0, 0.0]]))
    assert heads.crowding(4.9).item() == 0
    (gradient,) = torch.autograd.grad(heads.crowding(4.9), [heads.positions])
    assert not gradient.any()


def test_heads_in_the_same_place_have_a_finite_gradient() -> None:
    heads = heads_at([[1.0, 2.0], [1.0, 2.0], [2.0, 2.0]])
    (gradient,) = torch.autograd.grad(heads.crowding(6.0), [heads.positions])
    assert gradient.isfinite().all() and gradient.any()
