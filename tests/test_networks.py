"""Networks: the papers' sizes and initial weights, and pictures of flat images."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
import torch.nn.functional as F
from support import heads_at
from torch import Tensor, nn

from aae_lib.losses import real_fake_loss
from aae_lib.networks import (
    Attenuated,
    ClusterHeads,
    Dropout,
    FromPictures,
    GaussianNoise,
    JointDiscriminator,
    OntoSphere,
    RandomAffine,
    ToPictures,
    as_pictures,
    attenuated,
    convolutional_decoder,
    convolutional_encoder,
    disturbed,
    has_batch_norm,
    mosaic,
    multilayer_perceptron,
    set_noise_strength,
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


# Motion

MOTION = (2.0, 20.0, 0.2, 0.3)
ALONE = [(2.0, 0.0, 0.0, 0.0), (0.0, 20.0, 0.0, 0.0), (0.0, 0.0, 0.2, 0.0), (0.0, 0.0, 0.0, 0.3)]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 24)])
def test_each_image_is_shifted_by_itself_and_all_its_channels_alike(shape: tuple[int, int, int]) -> None:
    """A ramp of brightness along each axis says how far it was moved; its middle is far from the border."""
    torch.manual_seed(0)
    channels, height, width = shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    shifts = []
    for ramp in (rows, columns):
        torch.manual_seed(4)
        images = ramp.float().expand(2000, *shape).flatten(1)
        moved = RandomAffine(1.5, shape=shape).train()(images)
        change = (moved - images).view(2000, *shape)[..., 3:-3, 3:-3].flatten(1)
        assert torch.allclose(change, change[:, :1].expand_as(change), atol=1e-3)
        shifts.append(change[:, 0])
    down, right = shifts
    for shift in shifts:
        assert shift.abs().max() <= 1.5 + 1e-3 and shift.std().item() == pytest.approx(1.5 / 3**0.5, rel=0.05)
        assert abs(shift.mean().item()) < 0.08
    assert abs(torch.corrcoef(torch.stack([down, right]))[0, 1].item()) < 0.08


def moved_in_float64(
    pictures: np.ndarray, shift: np.ndarray, turn: np.ndarray, zoom: np.ndarray, shear: np.ndarray
) -> np.ndarray:
    """Pictures ``[n, channels, height, width]``, each moved by its own numbers; a shift has two, (across, down).

    What is seen at a place, counted from the middle, stands at the place in the picture that is slanted, turned,
    diminished and shifted from there.
    """
    middle = (np.array(pictures.shape[2:]) - 1) / 2
    moved = np.empty_like(pictures)
    for index, picture in enumerate(pictures):
        slant = np.array([[1, 0], [shear[index], 1]])  # of places (down, across), as scipy counts them
        cosine, sine = math.cos(turn[index]), math.sin(turn[index])
        matrix = np.array([[cosine, sine], [-sine, cosine]]) @ slant / (1 + zoom[index])
        offset = middle + shift[index][::-1] - matrix @ middle
        for channel, values in enumerate(picture):
            moved[index, channel] = scipy.ndimage.affine_transform(
                values, matrix, offset, order=1, mode="grid-constant"
            )
    return moved


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 24)])
@pytest.mark.parametrize("limits", [*ALONE, MOTION, (0.0, *MOTION[1:])])
def test_images_are_moved_as_scipy_moves_them(limits: tuple[float, ...], shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    images = torch.rand(20, math.prod(shape))
    torch.manual_seed(1)
    moved = RandomAffine(*limits, shape=shape).train()(images)
    after = torch.get_rng_state()
    torch.manual_seed(1)
    shares = [2 * torch.rand(20, 2) - 1]  # of the limits: two numbers for each image, and three more if it is not rigid
    shares.append(2 * torch.rand(20, 3) - 1 if any(limits[1:]) else torch.zeros(20, 3))
    assert torch.equal(torch.get_rng_state(), after)
    shift, others = (share.double().numpy() for share in shares)
    expected = moved_in_float64(
        images.double().numpy().reshape(20, *shape),
        limits[0] * shift,
        *(others * [math.radians(limits[1]), limits[2], limits[3]]).T,
    )
    assert moved.shape == images.shape and moved.dtype == torch.float32
    np.testing.assert_allclose(moved.view(20, *shape), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 24)])
def test_a_shift_alone_has_the_bits_of_a_plain_translation(shape: tuple[int, int, int]) -> None:
    """Weights that ship were trained on these."""
    torch.manual_seed(0)
    images = torch.rand(20, math.prod(shape))
    torch.manual_seed(1)
    moved = RandomAffine(1.7, shape=shape).train()(images)
    torch.manual_seed(1)
    shift = (2 * torch.rand(20, 2) - 1) * 1.7 * torch.tensor([2 / shape[2], 2 / shape[1]])
    maps = torch.cat([torch.eye(2).expand(20, 2, 2), shift[:, :, None]], dim=2)
    grid = F.affine_grid(maps, [20, *shape], align_corners=False)
    assert torch.equal(moved, F.grid_sample(images.view(20, *shape), grid, align_corners=False).flatten(1))


def largest(monkeypatch: pytest.MonkeyPatch, sign: int = 1) -> None:
    """Let all random numbers be such that images are moved as far as they may be."""
    value = float(sign > 0)
    monkeypatch.setattr(torch, "rand", lambda *size, device: torch.full(size, value, device=device))


def spots(places: list[tuple[float, float]], shape: tuple[int, int, int]) -> Tensor:
    """Images with a soft spot each at a place (across, down) from the middle, ``[n, pixels]``."""
    _, height, width = shape
    down, across = torch.meshgrid(
        torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij"
    )
    pictures = [torch.exp(-((across - x) ** 2 + (down - y) ** 2) / 2) for x, y in places]
    return torch.stack([picture.expand(shape).flatten() for picture in pictures])


def places_of(images: Tensor, shape: tuple[int, int, int]) -> np.ndarray:
    """Centers of mass (across, down) from the middle, ``[n, channels, 2]``."""
    _, height, width = shape
    pictures = images.view(-1, *shape).double().numpy()
    mass = pictures.sum((2, 3))
    across = (pictures.sum(2) * (np.arange(width) - (width - 1) / 2)).sum(2) / mass
    down = (pictures.sum(3) * (np.arange(height) - (height - 1) / 2)).sum(2) / mass
    return np.stack([across, down], axis=2)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 24)])
def test_a_known_turn_zoom_or_slant_moves_a_spot_where_it_belongs(
    shape: tuple[int, int, int], sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As rulers and protractors say it, and for all channels alike; pixels down count downwards."""
    largest(monkeypatch, sign)
    start = [(5.0, 0.0), (0.0, -4.0), (-3.0, 2.0), (2.0, 3.0)]
    images, before = spots(start, shape), np.array(start)

    def at(*limits: float) -> np.ndarray:
        places = places_of(RandomAffine(*limits, shape=shape).train()(images), shape)
        np.testing.assert_allclose(places, places[:, :1].repeat(shape[0], axis=1), rtol=0, atol=1e-6)
        return places[:, 0]

    turned = at(0.0, 30.0)
    np.testing.assert_allclose(np.hypot(*turned.T), np.hypot(*before.T), atol=0.02)
    angles = np.degrees(np.arctan2(turned[:, 1], turned[:, 0]) - np.arctan2(before[:, 1], before[:, 0]))
    np.testing.assert_allclose((angles + 180) % 360 - 180, -sign * 30, atol=0.5)

    np.testing.assert_allclose(at(0.0, 0.0, 0.25), (1 + sign * 0.25) * before, atol=0.05)

    slanted = at(0.0, 0.0, 0.0, 0.4)
    np.testing.assert_allclose(slanted[:, 1], before[:, 1], atol=0.02)
    np.testing.assert_allclose(slanted[:, 0] - before[:, 0], -sign * 0.4 * before[:, 1], atol=0.02)

    np.testing.assert_allclose(at(1.5), before - sign * 1.5, atol=0.02)


def test_a_quarter_turn_of_a_square_picture_is_that_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(3, 2 * 15 * 15)
    largest(monkeypatch)
    moved = RandomAffine(0.0, 90.0, shape=(2, 15, 15)).train()(images).view(3, 2, 15, 15)
    np.testing.assert_allclose(moved, np.rot90(images.view(3, 2, 15, 15).numpy(), axes=(2, 3)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 24)])
@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_each_image_has_its_own_motion_evenly_up_to_the_limits(strength: float, shape: tuple[int, int, int]) -> None:
    """Four pixels around the middle of two ramps say which affine map they have seen."""
    count, (_, height, width) = 2000, shape
    layer = RandomAffine(*MOTION, shape=shape).train()
    set_noise_strength(layer, lambda kind: strength)
    down, across = torch.meshgrid(
        torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij"
    )
    seen = []
    for ramp in (across, down):
        torch.manual_seed(4)
        pictures = layer(ramp.expand(count, *shape).flatten(1)).view(count, *shape)
        middle = pictures[:, :, height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1].double()
        assert torch.equal(middle, middle[:, :1].expand_as(middle))
        seen.append(middle[:, 0])
    places = torch.stack(seen, dim=1).numpy()  # image, across or down, row, column
    by_column = (places[..., 1] - places[..., 0]).mean(2)
    by_row = (places[:, :, 1] - places[:, :, 0]).mean(2)
    size = np.linalg.norm(by_column, axis=1)
    found = {
        "across": places[:, 0].mean((1, 2)) / MOTION[0],
        "down": places[:, 1].mean((1, 2)) / MOTION[0],
        "turn": np.degrees(np.arctan2(by_column[:, 1], by_column[:, 0])) / MOTION[1],
        "zoom": (1 / size - 1) / MOTION[2],
        "shear": (by_column * by_row).sum(1) / size**2 / MOTION[3],
    }
    for name, values in found.items():
        assert 0.99 * strength < np.abs(values).max() <= strength + 1e-3, name
        assert values.std() == pytest.approx(strength / 3**0.5, rel=0.05), name
        assert scipy.stats.kstest(values, "uniform", (-strength, 2 * strength)).pvalue > 0.01, name
    correlations = np.corrcoef(list(found.values()))
    assert np.abs(np.triu(correlations, 1)).max() < 0.08


def test_in_bfloat16_places_are_right_to_a_tenth_of_a_pixel() -> None:
    """Ramps say where a pixel has come from, and a white image which of them have come from inside."""
    layer = RandomAffine(1.5, 15.0, 0.1, 0.25).train()
    down, across = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")

    def seen(picture: Tensor, bfloat16: bool) -> Tensor:
        torch.manual_seed(5)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return layer(picture.expand(500, 28, 28).flatten(1))

    inside = (seen(torch.ones(28, 28), True) > 0.9999) & (seen(torch.ones(28, 28), False) > 0.9999)
    assert inside.float().mean() > 0.5
    for ramp in (across, down):
        assert 0.01 < (seen(ramp, True) - seen(ramp, False))[inside].abs().max() < 0.11


@pytest.mark.parametrize("scale", [1.0, 1.5, -0.1])
def test_a_change_of_size_that_leaves_nothing_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=f"a share below 1, not {scale}"):
        RandomAffine(1.0, 0.0, scale)


def test_what_a_shift_uncovers_is_black_and_whole_pixels_move_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    images = torch.rand(6, 784)
    largest(monkeypatch)
    moved = as_pictures(RandomAffine(2.0).train()(images))
    assert torch.allclose(moved[:, :26, :26], as_pictures(images)[:, 2:, 2:], atol=1e-5)
    assert not moved[:, 26:].abs().max() > 1e-5 and not moved[:, :, 26:].abs().max() > 1e-5


def test_no_motion_and_evaluation_leave_images_as_they_are_and_draw_nothing() -> None:
    images, state = torch.rand(5, 784), torch.get_rng_state()
    weakened = RandomAffine(*MOTION).train()
    set_noise_strength(weakened, lambda kind: 0.0)
    for layer in (RandomAffine(0.0).train(), RandomAffine(2.0).eval(), RandomAffine(*MOTION).eval(), weakened):
        assert torch.equal(layer(images), images) and torch.equal(torch.get_rng_state(), state)
        assert not list(layer.state_dict())
    for limits in ALONE:
        assert (RandomAffine(*limits).train()(images) != images).any(1).all()


def test_images_move_before_noise_comes_and_the_network_sees_both() -> None:
    torch.manual_seed(0)
    network, images = multilayer_perceptron(784, 3, (8,), deviation=0.1), torch.rand(5, 784)
    layers = [nn.Linear, nn.ReLU, nn.Linear]
    moving = disturbed(network, 0.3, MOTION)
    assert [type(layer) for layer in moving] == [RandomAffine, GaussianNoise, *layers]
    assert [moving[0].shift, moving[0].rotation, moving[0].scale, moving[0].shear] == [*MOTION]
    torch.manual_seed(1)
    output = moving.train()(images)
    torch.manual_seed(1)
    moved = RandomAffine(*MOTION).train()(images)
    assert torch.equal(output, network(moved + 0.3 * torch.randn(5, 784)))
    assert torch.equal(moving.eval()(images), network(images))
    wide = disturbed(nn.Sequential(nn.Identity()), 0.0, (*MOTION, (3, 20, 24))).train()
    assert wide(torch.rand(5, 3 * 20 * 24)).shape == (5, 3 * 20 * 24)


def test_without_motion_there_is_noise_alone_in_front() -> None:
    torch.manual_seed(0)
    network, images = multilayer_perceptron(784, 3, (8,), deviation=0.1), torch.rand(5, 784)
    noisy = disturbed(network, 0.3)
    assert [type(layer) for layer in noisy] == [GaussianNoise, nn.Linear, nn.ReLU, nn.Linear]
    assert [*noisy.state_dict()] == ["1.weight", "1.bias", "3.weight", "3.bias"]
    assert noisy[1] is network[0] and noisy[0].standard_deviation == 0.3
    torch.manual_seed(1)
    output = noisy.train()(images)
    torch.manual_seed(1)
    assert torch.equal(output, network(images + 0.3 * torch.randn(5, 784)))


def test_noise_is_off_in_evaluation_and_draws_nothing() -> None:
    layer, images = GaussianNoise(0.3).eval(), torch.rand(5, 784)
    state = torch.get_rng_state()
    assert torch.equal(layer(images), images) and torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(layer.train()(images), images)


def test_strength_is_a_factor_on_what_each_layer_of_noise_is_built_for() -> None:
    images = torch.rand(200, 784) + 0.1

    def at(strength: float, layer: nn.Module) -> Tensor:
        network = nn.Sequential(nn.Identity(), nn.Sequential(layer)).train()
        set_noise_strength(network, lambda kind: strength)
        torch.manual_seed(0)
        return network(images)

    motions = [(RandomAffine(*(limit / 2 for limit in limits)), RandomAffine(*limits)) for limits in (*ALONE, MOTION)]
    for half, whole in ((GaussianNoise(0.15), GaussianNoise(0.3)), (Dropout(0.2), Dropout(0.4)), *motions):
        assert torch.equal(at(1.0, half), at(0.5, whole)) and not torch.equal(at(1.0, whole), at(0.5, whole))
        assert torch.equal(at(0.0, whole), images)
    assert (at(0.5, Dropout(0.4)) == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert torch.equal(at(1.0, Dropout(0.4)), at(0.0, nn.Dropout(0.4)))  # of PyTorch's own layers it knows nothing


def test_each_class_of_noise_has_a_strength_of_its_own() -> None:
    torch.manual_seed(0)
    images = torch.rand(5, 784)
    inner = nn.Sequential(nn.Dropout(0.0), Dropout(0.5), nn.Linear(784, 784))
    network = disturbed(nn.Sequential(inner, Dropout(0.2)), 0.3, (2.0,)).train()
    asked = []

    def strength(kind: str) -> float:
        asked.append(kind)
        return {"RandomAffine": 0.5, "GaussianNoise": 0.25, "Dropout": 0.0}[kind]

    set_noise_strength(network, strength)
    assert asked == ["RandomAffine", "GaussianNoise", "Dropout", "Dropout"]
    torch.manual_seed(1)
    output = network(images)
    torch.manual_seed(1)
    assert torch.equal(output, inner[2](RandomAffine(1.0).train()(images) + 0.075 * torch.randn(5, 784)))
    set_noise_strength(network, lambda kind: float(kind == "Dropout"))
    torch.manual_seed(1)
    output = network(images)
    torch.manual_seed(1)
    torch.randn(5, 784)  # noise of no size
    assert torch.equal(output, F.dropout(inner[2](F.dropout(images, 0.5)), 0.2))


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
    between = [nn.Linear, nn.BatchNorm1d, nn.ReLU, Dropout]
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


# Convolutional networks

SHAPES = [(1, 28, 28), (3, 32, 32), (2, 31, 20)]


def pixels(shape: tuple[int, int, int]) -> int:
    return shape[0] * shape[1] * shape[2]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_picture_is_the_image_from_minus_one_to_one_in_a_black_frame(shape: tuple[int, int, int]) -> None:
    images = torch.rand(5, pixels(shape))
    pictures = ToPictures(shape)(images)
    top, left = (32 - shape[1]) // 2, (32 - shape[2]) // 2
    expected = -np.ones((5, shape[0], 32, 32))
    for (image, channel, row, column), value in np.ndenumerate(images.double().numpy().reshape(5, *shape)):
        expected[image, channel, top + row, left + column] = 2 * value - 1
    assert pictures.shape == (5, shape[0], 32, 32) and pictures.dtype == torch.float32
    np.testing.assert_allclose(pictures, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_comes_back_from_a_picture_is_the_image_at_its_place(shape: tuple[int, int, int]) -> None:
    images = torch.rand(5, pixels(shape))
    pictures = ToPictures(shape)(images)
    assert torch.equal(FromPictures(shape)(pictures), 2 * images - 1)
    with_frame = pictures.clone()
    with_frame[pictures == -1] = 7.0  # whatever is in the frame
    assert torch.equal(FromPictures(shape)(with_frame.contiguous()), 2 * images - 1)


def test_a_digits_frame_is_two_pixels_wide_on_each_side() -> None:
    picture = ToPictures((1, 28, 28))(torch.ones(1, 784))[0, 0]
    is_image = picture == 1
    assert is_image[2:30, 2:30].all() and is_image.sum() == 784 and (picture[~is_image] == -1).all()


@pytest.mark.parametrize(
    "make",
    [
        ToPictures,
        FromPictures,
        lambda shape: convolutional_encoder(4, 4, shape),
        lambda shape: convolutional_decoder(4, 4, shape),
        lambda shape: JointDiscriminator(4, 4, shape),
    ],
)
@pytest.mark.parametrize("shape", [(1, 33, 28), (3, 28, 33), (1, 64, 64)])
def test_images_that_are_larger_than_the_networks_are_refused(make: Callable, shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"at most 32 x 32 pixels, not \(\d, \d\d, \d\d\)"):
        make(shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("size", "channels"), [(1, 4), (10, 6)])
def test_convolutional_networks_go_from_flat_images_to_numbers_and_back(
    size: int, channels: int, shape: tuple[int, int, int]
) -> None:
    images = torch.rand(5, pixels(shape))
    codes = convolutional_encoder(size, channels, shape)(images)
    assert codes.shape == (5, size) and codes.dtype == torch.float32
    logits = convolutional_decoder(size, channels, shape)(codes)
    assert logits.shape == (5, pixels(shape)) and logits.dtype == torch.float32


def test_digits_are_the_default_of_convolutional_networks() -> None:
    assert convolutional_encoder(10)(torch.rand(2, 784)).shape == (2, 10)
    assert convolutional_decoder(10)(torch.rand(2, 10)).shape == (2, 784)
    channels = [layer.out_channels for layer in convolutional_encoder(10) if isinstance(layer, nn.Conv2d)]
    assert channels == [32, 64, 128, 10]
    doubling = [layer.out_channels for layer in convolutional_decoder(10) if isinstance(layer, nn.ConvTranspose2d)]
    assert doubling == [128, 64, 32, 1]


def test_the_convolutional_encoder_has_as_many_weights_as_ages() -> None:
    kernels = 4 * 4 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 128)  # 1.18 million with those of the official code's
    expected = kernels + 128 + 2 * (128 + 256)  # a bias in the last layer; factor and shift of batch-norm
    network = convolutional_encoder(128, 64, (3, 32, 32))
    assert sum(parameter.numel() for parameter in network.parameters()) == expected == 1_183_616


def batch_normalized(pictures: np.ndarray, layer: nn.BatchNorm2d) -> np.ndarray:
    """By the minibatch's own mean and variance."""
    mean, variance = pictures.mean((0, 2, 3), keepdims=True), pictures.var((0, 2, 3), keepdims=True)
    factor, shift = (parameter.detach().double().numpy()[:, None, None] for parameter in layer.parameters())
    return (pictures - mean) / np.sqrt(variance + 1e-5) * factor + shift


def halved(pictures: np.ndarray, kernels: Tensor) -> np.ndarray:
    """A convolution of stride 2 with one pixel of zeros around: each pixel of the output sees 4 x 4 of the input."""
    padded = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), axis=(2, 3))[:, :, ::2, ::2]
    return np.einsum("ncijkl,ockl->noij", windows, kernels.detach().double().numpy())


def test_the_convolutional_encoder_is_what_it_says() -> None:
    """Written out in float64: batch-norm after the second and third convolution, leaks of 0.2, an average last."""
    torch.manual_seed(0)
    network = convolutional_encoder(5, 3, (2, 32, 32)).train()
    first, second, third, last = (layer for layer in network if isinstance(layer, nn.Conv2d))
    norms = [layer for layer in network if isinstance(layer, nn.BatchNorm2d)]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(5).add_(0.1 * torch.randn_like(parameter))  # none that one could leave out unseen
    images = torch.rand(4, 2 * 32 * 32)

    def leaky(pictures: np.ndarray) -> np.ndarray:
        return np.where(pictures > 0, pictures, 0.2 * pictures)

    pictures = 2 * images.double().numpy().reshape(4, 2, 32, 32) - 1
    pictures = leaky(halved(pictures, first.weight))
    pictures = leaky(batch_normalized(halved(pictures, second.weight), norms[0]))
    pictures = leaky(batch_normalized(halved(pictures, third.weight), norms[1]))
    expected = halved(pictures, last.weight).mean((2, 3)) + last.bias.detach().double().numpy()
    assert len(norms) == 2 and np.abs(expected).max() > 0.5
    np.testing.assert_allclose(network(images).detach(), expected, rtol=1e-3, atol=1e-4)


def doubled(pictures: np.ndarray, kernels: Tensor, stride: int) -> np.ndarray:
    """Each pixel of the input paints its kernel of 4 x 4; at stride 2 the outermost pixels are cut off."""
    weights = kernels.detach().double().numpy()
    count, _, height, width = pictures.shape
    canvas = np.zeros((count, weights.shape[1], stride * (height - 1) + 4, stride * (width - 1) + 4))
    for row in range(height):
        for column in range(width):
            painted = np.einsum("nc,cokl->nokl", pictures[:, :, row, column], weights)
            canvas[:, :, stride * row : stride * row + 4, stride * column : stride * column + 4] += painted
    return canvas if stride == 1 else canvas[:, :, 1:-1, 1:-1]


def test_the_convolutional_decoder_is_what_it_says() -> None:
    """Written out in float64: batch-norm and ReLU after all but the last, which has a bias and no activation."""
    torch.manual_seed(0)
    network = convolutional_decoder(5, 3, (2, 28, 30)).train()
    layers = [layer for layer in network if isinstance(layer, nn.ConvTranspose2d)]
    norms = [layer for layer in network if isinstance(layer, nn.BatchNorm2d)]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(5).add_(0.1 * torch.randn_like(parameter))
    codes = torch.randn(4, 5)

    pictures = codes.double().numpy()[:, :, None, None]
    for layer, norm, stride in zip(layers[:-1], norms, (1, 2, 2), strict=True):
        pictures = np.maximum(batch_normalized(doubled(pictures, layer.weight, stride), norm), 0)
    pictures = doubled(pictures, layers[-1].weight, 2) + layers[-1].bias.detach().double().numpy()[:, None, None]
    assert pictures.shape == (4, 2, 32, 32) and pictures.min() < -1 and pictures.max() > 1
    expected = pictures[:, :, 2:30, 1:31].reshape(4, -1)
    np.testing.assert_allclose(network(codes).detach(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("make", [lambda: convolutional_encoder(200, 64), lambda: convolutional_decoder(200, 64)])
def test_convolutions_start_with_dcgans_weights(make: Callable[[], nn.Sequential]) -> None:
    torch.manual_seed(0)
    network = make()
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    norms = [layer for layer in network if isinstance(layer, nn.BatchNorm2d)]
    assert len(convolutions) == 4
    for layer in convolutions:
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.06)
        assert abs(layer.weight.mean().item()) < 0.002
        assert (layer.weight / 0.02).pow(4).mean().item() == pytest.approx(3, rel=0.25)  # Gaussian, not uniform
    factors = torch.cat([layer.weight for layer in norms])
    assert factors.mean().item() == pytest.approx(1, abs=0.005) and factors.std().item() == pytest.approx(0.02, rel=0.2)
    assert not any(layer.bias.any() for layer in norms)
    assert [layer.bias is not None for layer in convolutions] == [False, False, False, True]


def test_codes_on_the_sphere_have_unit_length_in_float32_and_keep_their_direction() -> None:
    torch.manual_seed(0)
    codes = torch.randn(200, 10) * torch.logspace(-3, 3, 200)[:, None]
    for given in (codes, codes.bfloat16()):
        points = OntoSphere()(given)
        exact = given.double().numpy()
        assert points.dtype == torch.float32
        assert (points.double().norm(dim=1) - 1).abs().max() < 1e-6  # of bfloat16 the error would be a thousandth
        np.testing.assert_allclose(points, exact / np.linalg.norm(exact, axis=1, keepdims=True), rtol=0, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        points = nn.Sequential(nn.Linear(10, 10), OntoSphere())(codes)
    assert points.dtype == torch.float32 and (points.double().norm(dim=1) - 1).abs().max() < 1e-6


def test_no_gradient_pulls_a_code_off_the_sphere_or_out_of_line() -> None:
    codes = torch.randn(50, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad((OntoSphere()(codes) * torch.randn(50, 4)).sum(), [codes])
    assert gradient.abs().min(1).values.max() > 0.01
    assert (gradient * codes).sum(1).abs().max() < 1e-5
    assert not list(OntoSphere().parameters())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_joint_discriminator_takes_images_beside_their_codes(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    network = JointDiscriminator(3, 4, shape).eval()
    images, codes = torch.rand(6, pixels(shape)), torch.randn(6, 3)
    logits = network(torch.cat([images, codes], dim=1))
    assert logits.shape == (6, 1)
    expected = network.pair(torch.cat([network.image(images), network.code(codes)], dim=1))
    assert torch.equal(logits, expected) and network.image(images).shape == network.code(codes).shape == (6, 256)
    for others in (torch.cat([images.flip(0), codes], dim=1), torch.cat([images, codes.flip(0)], dim=1)):
        assert (network(others) - logits).abs().min() > 0  # both halves count


def test_the_joint_discriminator_sees_images_as_dcgan_does_and_codes_without_batch_norm() -> None:
    torch.manual_seed(0)
    network = JointDiscriminator(3, 4, dropout=0.0)
    assert [type(layer) for layer in network.image] == [type(layer) for layer in convolutional_encoder(256, 4)]
    assert has_batch_norm(network.image) and not has_batch_norm(network.code) and not has_batch_norm(network.pair)
    images, codes = torch.rand(10, 784), torch.randn(10, 3)
    # From the start both halves tell pairs apart, neither hundreds of times as much as the other.
    spreads = [part.std(0).mean() for part in (network.train().image(images), network.code(codes))]
    assert 0.02 < spreads[0] / spreads[1] < 50


def test_real_and_fake_pairs_go_through_the_joint_discriminator_apart() -> None:
    """Pairs of a minibatch see each other in training; in evaluation none does."""
    torch.manual_seed(0)
    network = JointDiscriminator(3, 4, dropout=0.0)
    real, fake = (torch.cat([scale * torch.rand(10, 784), torch.randn(10, 3)], dim=1) for scale in (1.0, 0.2))
    apart = [network.train()(pairs) for pairs in (real, fake)]
    loss = F.softplus(-apart[0]).mean() + F.softplus(apart[1]).mean()
    torch.testing.assert_close(real_fake_loss(network, real=real, fake=fake), loss)
    together = network(torch.cat([real, fake])).split(10)
    mixed = F.softplus(-together[0]).mean() + F.softplus(together[1]).mean()
    assert (mixed - loss).abs() > 1e-5
    one_by_one = torch.cat([network.eval()(pair) for pair in real.split(1)])
    torch.testing.assert_close(network(real), one_by_one, rtol=1e-4, atol=1e-5)


def test_the_joint_discriminator_leaves_units_out_in_training_alone() -> None:
    network, pairs = JointDiscriminator(3, 4), torch.rand(5, 787)
    for share, made in ((0.2, network), (0.5, JointDiscriminator(3, 4, dropout=0.5))):
        assert {layer.p for layer in made.modules() if isinstance(layer, nn.Dropout)} == {share}
    assert not torch.equal(network.train()(pairs), network(pairs))
    state = torch.get_rng_state()
    assert torch.equal(network.eval()(pairs), network(pairs)) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_every_weight_of_convolutional_networks_learns(share: float) -> None:
    torch.manual_seed(0)
    networks = [
        (convolutional_encoder(3, 4), torch.rand(8, 784)),
        (convolutional_decoder(3, 4), torch.randn(8, 3)),
        (JointDiscriminator(3, 4, dropout=share), torch.rand(8, 787)),
    ]
    for network, inputs in networks:
        loss = F.softplus(network(inputs)).square().sum()
        for gradient in torch.autograd.grad(loss, list(network.parameters())):
            assert gradient.isfinite().all() and gradient.any()
