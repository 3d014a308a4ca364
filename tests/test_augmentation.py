"""Data augmentation, noise and dropout while training."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.errors import ShapeError, TrainingError
from aae_lib.networks import Dropout, GaussianNoise, RandomAffine, multilayer_perceptron, set_noise_strength

LARGEST = (2.0, 20.0, 0.2, 0.3)
ALONE = [(2.0, 0.0, 0.0, 0.0), (0.0, 20.0, 0.0, 0.0), (0.0, 0.0, 0.2, 0.0), (0.0, 0.0, 0.0, 0.3)]
SHAPES = [(1, 28, 28), (3, 20, 24)]


# Gaussian noise


def test_noise_is_gaussian_and_new_at_each_call() -> None:
    torch.manual_seed(0)
    layer, images = GaussianNoise(0.3).train(), torch.rand(1000, 784)
    kept = images.clone()
    first, second = (layer(images) - images for _ in range(2))
    assert torch.equal(images, kept)  # it adds to a copy
    assert first.mean().abs() < 0.002 and first.std().item() == pytest.approx(0.3, rel=0.005)
    assert (first / 0.3).pow(4).mean().item() == pytest.approx(3, rel=0.02)
    both = torch.stack([first.flatten(), second.flatten(), images.flatten()])
    assert torch.corrcoef(both).triu(1).abs().max() < 0.005
    assert torch.corrcoef(first.T).triu(1).mean().abs() < 0.002  # one number for each pixel


def test_noise_keeps_type_shape_and_gradients() -> None:
    layer = GaussianNoise(0.3)
    for images in (torch.zeros(5, 784), torch.zeros(2, 3, 28, 28), torch.zeros(4, dtype=torch.float64)):
        noisy = layer(images)
        assert noisy.shape == images.shape and noisy.dtype == images.dtype and noisy.all()
    images, weights = torch.rand(3, 784, requires_grad=True), torch.randn(3, 784)
    (gradient,) = torch.autograd.grad((layer(images) * weights).sum(), images)
    assert torch.equal(gradient, weights)


# Affine maps


def moved_in_float64(pictures: np.ndarray, drawn: list[np.ndarray]) -> np.ndarray:
    """Pictures ``[n, channels, height, width]`` under maps of given shifts (across, down), angles, scales and shears.

    A place in the result, counted from the middle, shows what is in the picture at that place sheared, rotated, divided
    by the scale and shifted.
    """
    middle = (np.array(pictures.shape[2:]) - 1) / 2
    moved = np.empty_like(pictures)
    for index, (shift, angle, scale, shear) in enumerate(zip(*drawn, strict=True)):
        cosine, sine = math.cos(angle), math.sin(angle)
        # Of places (down, across), as scipy counts them.
        matrix = np.array([[cosine, sine], [-sine, cosine]]) @ np.array([[1, 0], [shear, 1]]) / (1 + scale)
        offset = middle + shift[::-1] - matrix @ middle
        for channel, values in enumerate(pictures[index]):
            moved[index, channel] = scipy.ndimage.affine_transform(
                values, matrix, offset, order=1, mode="grid-constant"
            )
    return moved


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("largest", [*ALONE, LARGEST, (0.0, *LARGEST[1:])])
def test_images_are_moved_as_scipy_moves_them(largest: tuple[float, ...], shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    images = torch.rand(20, math.prod(shape))
    torch.manual_seed(1)
    moved = RandomAffine(*largest, shape=shape).train()(images)
    after = torch.get_rng_state()
    torch.manual_seed(1)
    shift = 2 * torch.rand(20, 2) - 1  # two numbers for each image, and three more if it is not only shifted
    others = 2 * torch.rand(20, 3) - 1 if any(largest[1:]) else torch.zeros(20, 3)
    assert torch.equal(torch.get_rng_state(), after)
    drawn = [largest[0] * shift.double().numpy()]
    drawn += [*(others.double().numpy() * [math.radians(largest[1]), largest[2], largest[3]]).T]
    expected = moved_in_float64(images.double().numpy().reshape(20, *shape), drawn)
    assert moved.shape == images.shape and moved.dtype == torch.float32
    np.testing.assert_allclose(moved.view(20, *shape), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shift_alone_has_the_bits_of_a_plain_translation(shape: tuple[int, int, int]) -> None:
    """The shipped weights were trained on these."""
    torch.manual_seed(0)
    images = torch.rand(20, math.prod(shape))
    torch.manual_seed(1)
    moved = RandomAffine(1.7, shape=shape).train()(images)
    torch.manual_seed(1)
    shift = (2 * torch.rand(20, 2) - 1) * 1.7 * torch.tensor([2 / shape[2], 2 / shape[1]])
    maps = torch.cat([torch.eye(2).expand(20, 2, 2), shift[:, :, None]], dim=2)
    grid = F.affine_grid(maps, [20, *shape], align_corners=False)
    assert torch.equal(moved, F.grid_sample(images.view(20, *shape), grid, align_corners=False).flatten(1))


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


def test_square_images_need_no_shape_and_others_do() -> None:
    layer = RandomAffine(*LARGEST).train()
    for shape in ((1, 28, 28), (3, 32, 32), (1, 9, 9)):
        images = torch.rand(5, math.prod(shape))
        torch.manual_seed(1)
        moved = layer(images)
        torch.manual_seed(1)
        assert torch.equal(moved, RandomAffine(*LARGEST, shape=shape).train()(images))
    for wrong in (layer, RandomAffine(*LARGEST, shape=(1, 28, 28)).train()):
        with pytest.raises(ShapeError, match="found 480"):
            wrong(torch.rand(5, 20 * 24))


@pytest.mark.parametrize("scale", [1.0, -0.1])
def test_a_scale_that_leaves_nothing_is_refused(scale: float) -> None:
    with pytest.raises(TrainingError, match=f"scale.*not {scale}"):
        RandomAffine(1.0, 0.0, scale)


# All layers


def test_in_evaluation_and_without_strength_nothing_changes_and_nothing_is_drawn() -> None:
    images, state = torch.rand(5, 784), torch.get_rng_state()
    weakened = RandomAffine(*LARGEST).train()
    set_noise_strength(weakened, lambda kind: 0.0)
    quiet = [GaussianNoise(0.3).eval(), RandomAffine(*LARGEST).eval(), Dropout(0.5).eval(), weakened]
    for layer in (*quiet, RandomAffine(0.0).train()):
        assert torch.equal(layer(images), images) and torch.equal(torch.get_rng_state(), state)
        assert not list(layer.state_dict())  # files of weights are those of the network without it
    for layer in (GaussianNoise(0.3), Dropout(0.5), *(RandomAffine(*largest) for largest in ALONE)):
        assert (layer.train()(images) != images).any(1).all()


def test_strength_is_a_factor_on_what_each_layer_is_built_for() -> None:
    images = torch.rand(200, 784) + 0.1

    def at(strength: float, layer: nn.Module) -> Tensor:
        network = nn.Sequential(nn.Identity(), nn.Sequential(layer)).train()
        set_noise_strength(network, lambda kind: strength)
        torch.manual_seed(0)
        return network(images)

    pairs = [(RandomAffine(*(value / 2 for value in largest)), RandomAffine(*largest)) for largest in (*ALONE, LARGEST)]
    for half, whole in ((GaussianNoise(0.15), GaussianNoise(0.3)), (Dropout(0.2), Dropout(0.4)), *pairs):
        assert torch.equal(at(1.0, half), at(0.5, whole)) and not torch.equal(at(1.0, whole), at(0.5, whole))
        assert torch.equal(at(0.0, whole), images)
    assert (at(0.5, Dropout(0.4)) == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert torch.equal(at(1.0, Dropout(0.4)), at(0.0, nn.Dropout(0.4)))  # PyTorch's own layers keep theirs


def test_each_class_of_layers_has_a_strength_of_its_own() -> None:
    torch.manual_seed(0)
    images, perceptron = torch.rand(5, 784), multilayer_perceptron(784, 3, (8,), 0.1, dropout=0.5)
    network = nn.Sequential(RandomAffine(2.0), GaussianNoise(0.3), *perceptron).train()
    set_noise_strength(network, {"RandomAffine": 0.5, "GaussianNoise": 0.25, "Dropout": 0.0}.get)
    torch.manual_seed(1)
    output = network(images)
    torch.manual_seed(1)
    moved = RandomAffine(1.0).train()(images)
    assert torch.equal(output, perceptron.eval()(moved + 0.075 * torch.randn(5, 784)))
