"""Networks: plain ``torch.nn`` modules with the papers' sizes and initial weights."""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._C._functorch import is_batchedtensor
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

IMAGE_SIZE = 28
PIXELS = IMAGE_SIZE**2


def multilayer_perceptron(
    inputs: int,
    outputs: int,
    hidden: Iterable[int] = (1000, 1000),
    deviation: float | None = 0.01,
    dropout: float = 0.0,
    batch_norm: bool = False,
) -> nn.Sequential:
    """A perceptron ``[batch, inputs] -> [batch, outputs]`` with ReLU between its layers and a linear output.

    Args:
        inputs, outputs: numbers of units.
        hidden: units of the hidden layers (AAE, appendix A.1 and A.2.1: two of 1000).
        deviation: weights are drawn from N(0, deviation^2), and biases are zero. The paper's 0.01 matters: with
            PyTorch's default initialization of the encoder its learning rates diverge. None: PyTorch's default, with
            which a discriminator of two-dimensional codes sees fine structure sooner.
        dropout: probability with which each hidden unit is left out of a training step.
        batch_norm: normalize the outputs of every layer over the minibatch, those of the last one too.
    """
    sizes = [inputs, *hidden, outputs]
    layers: list[nn.Module] = []
    for index, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        linear = nn.Linear(fan_in, fan_out)
        if deviation is not None:
            nn.init.normal_(linear.weight, std=deviation)
            nn.init.zeros_(linear.bias)
        if index:
            layers += [nn.ReLU(), Dropout(dropout)] if dropout else [nn.ReLU()]
        layers += [linear, nn.BatchNorm1d(fan_out)] if batch_norm else [linear]
    return nn.Sequential(*layers)


NETWORK_SIZE = 32  # pixels along the side of what convolutional networks see and make
LEAK = 0.2


class ToPictures(nn.Module):
    """Flat images ``[n, pixels]`` in [0, 1] as pictures ``[n, channels, 32, 32]`` in [-1, 1].

    Smaller images get a frame of zeros, which is black.

    Args:
        shape: channels, height and width of an image; at most 32 pixels a side.
    """

    def __init__(self, shape: tuple[int, int, int]):
        super().__init__()
        self.shape, self.frame = shape, _frame_around(shape)

    def forward(self, images: Tensor) -> Tensor:
        pictures = 2 * F.pad(images.unflatten(1, self.shape), self.frame) - 1
        # Convolutions are faster so; those of stacked runs have no choice.
        stacked = is_batchedtensor(pictures)
        return pictures if stacked else pictures.contiguous(memory_format=torch.channels_last)


class FromPictures(nn.Module):
    """Pictures ``[n, channels, 32, 32]`` as flat images ``[n, pixels]``, without the frame of :class:`ToPictures`."""

    def __init__(self, shape: tuple[int, int, int]):
        super().__init__()
        self.frame = [-pixels for pixels in _frame_around(shape)]

    def forward(self, pictures: Tensor) -> Tensor:
        return F.pad(pictures, self.frame).flatten(1)


def _frame_around(shape: tuple[int, int, int]) -> list[int]:
    """How many pixels lie to the left, right, top and bottom of an image in a picture of 32 x 32."""
    _, height, width = shape
    if max(height, width) > NETWORK_SIZE:
        raise ValueError(f"convolutional networks take at most {NETWORK_SIZE} x {NETWORK_SIZE} pixels, not {shape}")
    across, down = NETWORK_SIZE - width, NETWORK_SIZE - height
    return [across // 2, across - across // 2, down // 2, down - down // 2]


def convolutional_encoder(
    outputs: int, channels: int = 32, shape: tuple[int, int, int] = (1, IMAGE_SIZE, IMAGE_SIZE)
) -> nn.Sequential:
    """Four convolutions that halve a picture of 32 x 32 each, ``[batch, pixels] -> [batch, outputs]``.

    The encoder of AGE's official code for 32 x 32 pixels (``dcgan32px.py``), and the discriminator of DCGAN (Radford et
    al. 2016) with ``outputs = 1``: kernels of 4, leaky ReLU, batch-norm after the second and third convolution.

    Args:
        outputs: numbers for each image.
        channels: after the first convolution; twice and four times as many after the next (AGE: 64).
        shape: channels, height and width of an image, at most 32 pixels a side.
    """

    def halve(fan_in: int, fan_out: int, bias: bool) -> nn.Conv2d:
        return nn.Conv2d(fan_in, fan_out, 4, 2, 1, bias=bias)

    network = nn.Sequential(
        ToPictures(shape),
        halve(shape[0], channels, bias=False),
        nn.LeakyReLU(LEAK),
        halve(channels, 2 * channels, bias=False),
        nn.BatchNorm2d(2 * channels),
        nn.LeakyReLU(LEAK),
        halve(2 * channels, 4 * channels, bias=False),
        nn.BatchNorm2d(4 * channels),
        nn.LeakyReLU(LEAK),
        halve(4 * channels, outputs, bias=True),
        nn.AvgPool2d(2),
        nn.Flatten(),
    )
    return network.apply(_as_dcgan)


def convolutional_decoder(
    dimensions: int, channels: int = 32, shape: tuple[int, int, int] = (1, IMAGE_SIZE, IMAGE_SIZE)
) -> nn.Sequential:
    """Transposed convolutions that double a picture up to 32 x 32, ``[batch, dimensions] -> [batch, pixels]``, logits.

    The generator of DCGAN (Radford et al. 2016) for 32 x 32 pixels: kernels of 4, batch-norm and ReLU after all but
    the last. (AGE's official code has one more layer of 32 x 32 pixels, which would take more time than the others
    together.) The sigmoid of the output is an image in [0, 1].

    Args:
        dimensions: of a code.
        channels: of the 16 x 16 picture; twice and four times as many before (DCGAN: 128).
        shape: as for :func:`convolutional_encoder`.
    """

    def double(fan_in: int, fan_out: int, stride: int = 2) -> list[nn.Module]:
        convolution = nn.ConvTranspose2d(fan_in, fan_out, 4, stride, 1 if stride == 2 else 0, bias=False)
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


class OntoSphere(nn.Module):
    """Divides each code ``[n, d]`` by its length: a point on the unit sphere, in float32 (AGE, section 3)."""

    def forward(self, codes: Tensor) -> Tensor:
        return F.normalize(codes.float(), dim=1)


class JointDiscriminator(nn.Module):
    """Tells pairs of an image and a code apart (ALI): ``[n, pixels + dimensions] -> [n, 1]``.

    Convolutions with DCGAN's batch-norm make 256 numbers of the image and a perceptron as many of the code; a
    perceptron judges them together.

    Args:
        dimensions: of a code.
        channels, shape: as for :func:`convolutional_encoder`.
        dropout: the share of its inner units that each step leaves out (ALI: 0.2).
    """

    def __init__(
        self,
        dimensions: int,
        channels: int = 32,
        shape: tuple[int, int, int] = (1, IMAGE_SIZE, IMAGE_SIZE),
        dropout: float = 0.2,
    ):
        super().__init__()
        self.dimensions = dimensions
        self.image = convolutional_encoder(256, channels, shape)
        self.code = nn.Sequential(nn.Linear(dimensions, 256), nn.LeakyReLU(LEAK), Dropout(dropout))
        self.pair = nn.Sequential(
            nn.LeakyReLU(LEAK),
            Dropout(dropout),
            nn.Linear(512, 512),
            nn.LeakyReLU(LEAK),
            Dropout(dropout),
            nn.Linear(512, 1),
        )

    def forward(self, pairs: Tensor) -> Tensor:
        images, codes = pairs.split([pairs.shape[1] - self.dimensions, self.dimensions], dim=1)
        return self.pair(torch.cat([self.image(images), self.code(codes)], dim=1))


class TrainingNoise(nn.Module):
    """A layer that disturbs what passes while training, and does nothing in evaluation.

    A recipe can weaken it as training goes on (``noise`` of :class:`~aae_lib.training.Recipe`). PyTorch's own
    ``nn.Dropout`` is none of these and keeps its probability.
    """

    _strength = 1.0


def set_noise_strength(network: nn.Module, strength: Callable[[str], float]) -> None:
    """Let every :class:`TrainingNoise` in ``network`` disturb by a share, in [0, 1], of what it is built for.

    Args:
        strength: the share, by the name of a layer's class.
    """
    for layer in network.modules():
        if isinstance(layer, TrainingNoise):
            layer._strength = strength(type(layer).__name__)


class Dropout(TrainingNoise, nn.Dropout):
    """``nn.Dropout`` as a :class:`TrainingNoise`: its strength is a factor on the probability."""

    # Named as PyTorch's: the states of runs describe layers by the names of their classes.

    def forward(self, units: Tensor) -> Tensor:
        return F.dropout(units, self._strength * self.p, self.training, self.inplace)


class GaussianNoise(TrainingNoise):
    """Adds noise N(0, s^2) to its input while training, and does nothing in evaluation.

    The paper's only regularizer of its semi-supervised networks is such noise on the images, s = 0.3 (AAE, A.2.1).
    """

    def __init__(self, standard_deviation: float):
        super().__init__()
        self.standard_deviation = standard_deviation

    def forward(self, images: Tensor) -> Tensor:
        deviation = self._strength * self.standard_deviation
        return images + deviation * torch.randn_like(images) if self.training else images


class RandomAffine(TrainingNoise):
    """Moves each image by its own random affine map while training, ``[n, pixels] -> [n, pixels]``.

    Data augmentation: a digit that is shifted, rotated, scaled or sheared a little is the same digit, so an encoder
    that sees digits moved has as good as more labeled images. All four are drawn anew in each pass, uniform between
    plus and minus their largest; zeros come in at the border, and between pixels values are interpolated. In evaluation
    it does nothing. (The papers move nothing. torchvision's layer of this name moves all images of a batch alike.)

    Args:
        shift: the largest shift along each axis, in pixels.
        rotation: the largest angle, in degrees.
        scale: the largest change of size, as a share of it.
        shear: the largest slant, in pixels across for each pixel down.
        shape: channels, height and width of an image.

    Raises:
        ValueError: if ``scale`` is not below 1.
    """

    def __init__(
        self,
        shift: float,
        rotation: float = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
        shape: tuple[int, int, int] = (1, IMAGE_SIZE, IMAGE_SIZE),
    ):
        super().__init__()
        if not 0 <= scale < 1:
            raise ValueError(f"a change of size is a share below 1, not {scale}: at 1 nothing is left of an image")
        self.shift, self.rotation, self.scale, self.shear, self.shape = shift, rotation, scale, shear, shape
        # A buffer, because a GPU would have to be waited for if it were sent there in each pass.
        of_a_pixel = torch.tensor([2 / shape[2], 2 / shape[1]])  # across, down; grids reach from -1 to 1
        self.register_buffer("of_a_pixel", of_a_pixel, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        deforms = any((self.rotation, self.scale, self.shear))
        if not (self.training and self._strength and (self.shift or deforms)):
            return images
        count = len(images)
        shift = (2 * torch.rand(count, 2, device=images.device) - 1) * self._strength * self.shift * self.of_a_pixel
        # From places in the result to places in the image, in pixels and then in units of the grid. A shift alone draws
        # no more than two numbers for an image, as the weights that ship were trained.
        linear = self._linear(count, images.device) if deforms else torch.eye(2, device=images.device)
        linear = (linear * (self.of_a_pixel[:, None] / self.of_a_pixel)).expand(count, 2, 2)
        size = [count, *self.shape]
        # Inside autocast the grid has the precision of bfloat16: a place is right to a tenth of a pixel.
        grid = F.affine_grid(torch.cat([linear, shift[:, :, None]], dim=2), size, align_corners=False)
        return F.grid_sample(images.unflatten(1, self.shape), grid, align_corners=False).flatten(1)

    def _linear(self, count: int, device: torch.device) -> Tensor:
        """A random rotation, scale and shear of each image, ``[count, 2, 2]``, for places (across, down) in pixels."""
        drawn = (2 * torch.rand(count, 3, device=device) - 1) * self._strength
        largest = (math.radians(self.rotation), self.scale, self.shear)
        angle, scale, shear = (shares * most for shares, most in zip(drawn.T, largest, strict=True))
        cosine, sine = angle.cos(), angle.sin()
        # Places are sheared, then rotated: [[cos, -sin], [sin, cos]] @ [[1, shear], [0, 1]].
        rows = [cosine, shear * cosine - sine, sine, shear * sine + cosine]
        return torch.stack(rows, dim=1).view(count, 2, 2) / (1 + scale)[:, None, None]


def disturbed(network: nn.Sequential, noise: float, motion: tuple[float, ...] = ()) -> nn.Sequential:
    """``network`` behind the layers that disturb its images while training.

    Args:
        network: ``[n, pixels] -> [n, outputs]``.
        noise: standard deviation of the noise on the images.
        motion: up to four numbers, the largest shift, rotation, scale and shear of :class:`RandomAffine`, which comes
            first; none: images stay where they are.
    """
    moving = [RandomAffine(*motion)] if motion else []
    return nn.Sequential(*moving, GaussianNoise(noise), *network)


def gaussian_sample(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A sample of N(mean, exp(log_variance)), ``[n, d]`` each, by reparameterization: gradients flow through it.

    mean + deviation * noise (Kingma & Welling 2014, section 2.4).
    """
    return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)


def attenuated(values: Tensor, share: float) -> Tensor:
    """The same values, through which only a share of the gradient flows back."""
    return values.detach() + share * (values - values.detach())


class Attenuated(nn.Sequential):
    """A network that is trained as ever, but lets only a share of the gradient flow back to its input.

    Behind a decoder of this kind the encoder feels the reconstruction less than the decoder does, at any learning rate.
    """

    def __init__(self, network: nn.Sequential, share: float):
        super().__init__(*network)
        self.share = share

    def forward(self, codes: Tensor) -> Tensor:
        # in evaluation derivatives are those of the network
        return super().forward(attenuated(codes, self.share) if self.training else codes)


class ClusterHeads(nn.Module):
    """The heads of clusters, a learned point for each label, and their mix by the labels' probabilities.

    Probabilities ``[n, clusters]`` -> codes ``[n, dimensions]``; a one-hot label gives its head. Positions start as
    samples of N(0, I).

    Args:
        clusters, dimensions: number and length of the heads.
    """

    def __init__(self, clusters: int, dimensions: int):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(clusters, dimensions))

    def forward(self, label: Tensor) -> Tensor:
        # Not as a matrix product, whose sum the training loop would round, too: to 1/16, ten units out.
        return (label[:, :, None] * self.positions).sum(1)

    def crowding(self, distance: float) -> Tensor:
        """How much closer than ``distance`` the heads are, summed over pairs: 0 where all keep it (AAE, section 7)."""
        return (distance - torch.pdist(self.positions.float())).relu().sum()


def has_batch_norm(network: nn.Module) -> bool:
    """Whether any layer of ``network`` normalizes over the batch."""
    return any(isinstance(layer, BatchNorm) for layer in network.modules())


def device_of(network: nn.Module) -> torch.device:
    """Where the parameters of ``network`` are."""
    return next(network.parameters()).device


def as_pictures(images: Tensor) -> Tensor:
    """Flat images ``[n, 784]`` as pictures ``[n, 28, 28]``, clipped to [0, 1], on the CPU."""
    return images.detach().float().clamp(0, 1).reshape(-1, IMAGE_SIZE, IMAGE_SIZE).cpu()


def mosaic(images: Tensor, columns: int) -> Tensor:
    """Lay flat images ``[rows * columns, 784]`` out as one picture ``[rows * 28, columns * 28]``, row by row."""
    if len(images) % columns:
        raise ValueError(f"{len(images)} images do not fill rows of {columns}")
    return torch.cat([torch.cat(list(row), dim=1) for row in as_pictures(images).split(columns)], dim=0)
