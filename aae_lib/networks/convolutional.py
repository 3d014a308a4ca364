"""Convolutional networks of DCGAN, ALI and AGE, for images of at most 64 x 64 pixels.

They see and make square pictures: of 32 x 32 pixels for images up to that size, of 64 x 64 for larger ones, by one
more layer.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.errors import ShapeError
from aae_lib.networks.augmentation import Dropout
from aae_lib.networks.layers import BatchNorm
from aae_lib.shapes import Shape, in_words, unflattened

SIDES = {32: (1, 2, 4), 64: (1, 2, 4, 8)}  # of a picture, and its channels from the largest size to that of 4 x 4
LEAK = 0.2


class ToPictures(nn.Module):
    """Flat images ``[n, pixels]`` in [0, 1] as pictures ``[n, channels, side, side]`` in [-1, 1]; the side is 32 or 64.

    Smaller images get a black frame.

    Raises:
        ShapeError: if the shape has more than 64 pixels a side; when called, if the images are not of the shape.
    """

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape, self.frame = shape, _frame_around(shape)

    def forward(self, images: Tensor) -> Tensor:
        pictures = 2 * F.pad(unflattened(images, self.shape), self.frame) - 1
        return pictures.contiguous(memory_format=torch.channels_last)  # convolutions are faster so


class FromPictures(nn.Module):
    """Pictures ``[n, channels, side, side]`` as flat images ``[n, pixels]``, without :class:`ToPictures`'s frame."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.frame = [-pixels for pixels in _frame_around(shape)]

    def forward(self, pictures: Tensor) -> Tensor:
        return F.pad(pictures, self.frame).flatten(1)


def _side_of(shape: Shape) -> int:
    """Of the smallest picture that holds such an image."""
    for side in SIDES:
        if max(shape[1:]) <= side:
            return side
    raise ShapeError(f"convolutional networks take at most {side} x {side} pixels, not {in_words(shape)}: resize them")


def _frame_around(shape: Shape) -> list[int]:
    """How many pixels lie to the left, right, top and bottom of an image in its picture."""
    across, down = (_side_of(shape) - length for length in (shape[2], shape[1]))
    return [across // 2, across - across // 2, down // 2, down - down // 2]


def convolutional_encoder(outputs: int, shape: Shape, channels: int = 32) -> nn.Sequential:
    """Convolutions that halve a picture each, down to 2 x 2, ``[n, pixels] -> [n, outputs]``.

    The encoder of AGE's official code for 32 x 32 pixels (``dcgan32px.py``), and the discriminator of DCGAN (Radford et
    al. 2016) with ``outputs = 1``.

    Args:
        shape: of an image, at most 64 pixels a side, or a ``ShapeError`` is raised.
        channels: after the first convolution; after each of the next twice as many, but for the last (AGE: 64).
    """
    widths = [channels * factor for factor in SIDES[_side_of(shape)]]

    def halve(fan_in: int, fan_out: int) -> list[nn.Module]:
        return [nn.Conv2d(fan_in, fan_out, 4, 2, 1, bias=False), nn.BatchNorm2d(fan_out), nn.LeakyReLU(LEAK)]

    network = nn.Sequential(
        ToPictures(shape),
        nn.Conv2d(shape[0], channels, 4, 2, 1, bias=False),
        nn.LeakyReLU(LEAK),
        *(layer for ends in pairwise(widths) for layer in halve(*ends)),
        nn.Conv2d(widths[-1], outputs, 4, 2, 1),
        nn.AvgPool2d(2),
        nn.Flatten(),
    )
    return network.apply(_as_dcgan)


def convolutional_decoder(
    dimensions: int, shape: Shape, channels: int = 32, pointwise: bool = False
) -> nn.Sequential:
    """Transposed convolutions that double a picture of 4 x 4 each, ``[n, dimensions] -> [n, pixels]``, logits.

    The generator of DCGAN (Radford et al. 2016) for 32 x 32 pixels.

    Args:
        shape: of an image, at most 64 pixels a side, or a ``ShapeError`` is raised.
        channels: before the last doubling; twice as many before each other one (DCGAN: 128).
        pointwise: double to as many channels once more, with batch-norm, and make the image of them by a convolution of
            1 x 1, as the generator of AGE's official code does (``dcgan32px.py``). It takes twice the time.
    """
    widths = [channels * factor for factor in reversed(SIDES[_side_of(shape)])]

    def double(fan_in: int, fan_out: int, stride: int = 2) -> list[nn.Module]:
        convolution = nn.ConvTranspose2d(fan_in, fan_out, 4, stride, stride - 1, bias=False)
        return [convolution, nn.BatchNorm2d(fan_out), nn.ReLU()]

    def paint() -> list[nn.Module]:
        if pointwise:
            return [*double(channels, channels), nn.Conv2d(channels, shape[0], 1)]
        return [nn.ConvTranspose2d(channels, shape[0], 4, 2, 1)]

    network = nn.Sequential(
        nn.Unflatten(1, (dimensions, 1, 1)),
        *double(dimensions, widths[0], stride=1),
        *(layer for ends in pairwise(widths) for layer in double(*ends)),
        *paint(),
        FromPictures(shape),
    )
    network.apply(_as_dcgan)
    # So its kernels lie in memory as the pictures do, which makes a step a tenth faster.
    return network.to(memory_format=torch.channels_last) if pointwise else network


def plain_convolutions(outputs: int, shape: Shape, channels: int = 32) -> nn.Sequential:
    """Seven convolutions of 3 x 3 pixels with batch-norm and a linear layer, ``[n, pixels] -> [n, outputs]``: logits.

    After VGG (Simonyan & Zisserman 2015), with far fewer layers. The last layer sees ``8 * channels`` numbers, each the
    mean over the picture.

    Args:
        shape: of an image, at most 64 pixels a side, or a ``ShapeError`` is raised.
        channels: of the first convolution; twice as many after each of the three poolings.
    """

    def convolve(fan_in: int, fan_out: int, pool: bool = False) -> list[nn.Module]:
        pooling = [nn.MaxPool2d(2)] if pool else []  # first: batch-norm has less to do then
        return [nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False), *pooling, nn.BatchNorm2d(fan_out), nn.ReLU()]

    first, *widths = (channels * factor for factor in (1, 2, 4, 8))
    network = nn.Sequential(ToPictures(shape), *convolve(shape[0], first, pool=True))
    for fan_in, fan_out in pairwise([first, *widths]):
        network.extend([*convolve(fan_in, fan_out), *convolve(fan_out, fan_out, pool=fan_out < widths[-1])])
    network.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], outputs)])
    return network.to(memory_format=torch.channels_last)


def _as_dcgan(layer: nn.Module) -> None:
    """DCGAN's initial weights: N(0, 0.02^2), and for the factors of batch-norm N(1, 0.02^2)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | BatchNorm) and not layer.weight.is_meta:  # as perceptrons
        nn.init.normal_(layer.weight, mean=1.0 if isinstance(layer, BatchNorm) else 0.0, std=0.02)


class JointDiscriminator(nn.Module):
    """Tells pairs of an image and a code apart (ALI): ``[n, pixels + dimensions] -> [n, 1]``, logits.

    Convolutions make 256 numbers of the image and a perceptron as many of the code; a perceptron judges them together.

    Args:
        dimensions: of a code.
        shape, channels: as for :func:`convolutional_encoder`.
        dropout: the share of its inner units that each step leaves out (ALI: 0.2).
    """

    def __init__(self, dimensions: int, shape: Shape, channels: int = 32, dropout: float = 0.2):
        super().__init__()
        self.dimensions = dimensions
        self.image = convolutional_encoder(256, shape, channels)
        self.code = nn.Sequential(nn.Linear(dimensions, 256), nn.LeakyReLU(LEAK), Dropout(dropout))
        layers = [(nn.LeakyReLU(LEAK), Dropout(dropout), nn.Linear(512, outputs)) for outputs in (512, 1)]
        self.pair = nn.Sequential(*layers[0], *layers[1])

    def forward(self, pairs: Tensor) -> Tensor:
        images, codes = pairs.split([pairs.shape[1] - self.dimensions, self.dimensions], dim=1)
        return self.pair(torch.cat([self.image(images), self.code(codes)], dim=1))
