"""Convolutional networks of DCGAN, ALI and AGE, for images of at most 32 x 32 pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.errors import ShapeError
from aae_lib.networks.augmentation import Dropout
from aae_lib.networks.layers import BatchNorm
from aae_lib.shapes import Shape, in_words, unflattened

SIDE = 32  # pixels along the side of what convolutional networks see and make
LEAK = 0.2


class ToPictures(nn.Module):
    """Flat images ``[n, pixels]`` in [0, 1] as pictures ``[n, channels, 32, 32]`` in [-1, 1].

    Smaller images get a black frame.

    Raises:
        ShapeError: if the shape has more than 32 pixels a side; when called, if the images are not of the shape.
    """

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape, self.frame = shape, _frame_around(shape)

    def forward(self, images: Tensor) -> Tensor:
        pictures = 2 * F.pad(unflattened(images, self.shape), self.frame) - 1
        return pictures.contiguous(memory_format=torch.channels_last)  # convolutions are faster so


class FromPictures(nn.Module):
    """Pictures ``[n, channels, 32, 32]`` as flat images ``[n, pixels]``, without the frame of :class:`ToPictures`."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.frame = [-pixels for pixels in _frame_around(shape)]

    def forward(self, pictures: Tensor) -> Tensor:
        return F.pad(pictures, self.frame).flatten(1)


def _frame_around(shape: Shape) -> list[int]:
    """How many pixels lie to the left, right, top and bottom of an image in a picture of 32 x 32."""
    across, down = SIDE - shape[2], SIDE - shape[1]
    if min(across, down) < 0:
        limit = f"{SIDE} x {SIDE} pixels"
        raise ShapeError(f"convolutional networks take at most {limit}, not {in_words(shape)}: load smaller images")
    return [across // 2, across - across // 2, down // 2, down - down // 2]


def convolutional_encoder(outputs: int, shape: Shape, channels: int = 32) -> nn.Sequential:
    """Four convolutions that halve a picture of 32 x 32 each, ``[n, pixels] -> [n, outputs]``.

    The encoder of AGE's official code for 32 x 32 pixels (``dcgan32px.py``), and the discriminator of DCGAN (Radford et
    al. 2016) with ``outputs = 1``.

    Args:
        shape: of an image, at most 32 pixels a side, or a ``ShapeError`` is raised.
        channels: after the first convolution; twice and four times as many after the next (AGE: 64).
    """

    def halve(fan_in: int, fan_out: int) -> list[nn.Module]:
        return [nn.Conv2d(fan_in, fan_out, 4, 2, 1, bias=False), nn.BatchNorm2d(fan_out), nn.LeakyReLU(LEAK)]

    network = nn.Sequential(
        ToPictures(shape),
        nn.Conv2d(shape[0], channels, 4, 2, 1, bias=False),
        nn.LeakyReLU(LEAK),
        *halve(channels, 2 * channels),
        *halve(2 * channels, 4 * channels),
        nn.Conv2d(4 * channels, outputs, 4, 2, 1),
        nn.AvgPool2d(2),
        nn.Flatten(),
    )
    return network.apply(_as_dcgan)


def convolutional_decoder(dimensions: int, shape: Shape, channels: int = 32) -> nn.Sequential:
    """Transposed convolutions that double a picture up to 32 x 32, ``[n, dimensions] -> [n, pixels]``, logits.

    The generator of DCGAN (Radford et al. 2016) for 32 x 32 pixels. (AGE's official code has one more layer of 32 x 32
    pixels, which would take more time than the others together.)

    Args:
        shape: of an image, at most 32 pixels a side, or a ``ShapeError`` is raised.
        channels: of the 16 x 16 picture; twice and four times as many before (DCGAN: 128).
    """

    def double(fan_in: int, fan_out: int, stride: int = 2) -> list[nn.Module]:
        convolution = nn.ConvTranspose2d(fan_in, fan_out, 4, stride, stride - 1, bias=False)
        return [convolution, nn.BatchNorm2d(fan_out), nn.ReLU()]

    network = nn.Sequential(
        nn.Unflatten(1, (dimensions, 1, 1)),
        *double(dimensions, 4 * channels, stride=1),
        *double(4 * channels, 2 * channels),
        *double(2 * channels, channels),
        nn.ConvTranspose2d(channels, shape[0], 4, 2, 1),
        FromPictures(shape),
    )
    return network.apply(_as_dcgan)


def _as_dcgan(layer: nn.Module) -> None:
    """DCGAN's initial weights: N(0, 0.02^2), and for the factors of batch-norm N(1, 0.02^2)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=0.02)
    elif isinstance(layer, BatchNorm):
        nn.init.normal_(layer.weight, mean=1.0, std=0.02)


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
