"""Data augmentation, noise and dropout: layers that change what passes while training and do nothing in evaluation."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.errors import TrainingError
from aae_lib.shapes import Shape, unflattened


class TrainingNoise(nn.Module):
    """A layer whose disturbance a recipe can weaken as training goes on (``noise`` of a recipe)."""

    _strength = 1.0


def set_noise_strength(network: nn.Module, strength: Callable[[str], float]) -> None:
    """Set the strength of every :class:`TrainingNoise`, a share in [0, 1], by the name of the layer's class."""
    for layer in network.modules():
        if isinstance(layer, TrainingNoise):
            layer._strength = strength(type(layer).__name__)


class Dropout(TrainingNoise, nn.Dropout):
    """``nn.Dropout`` as a :class:`TrainingNoise`: its strength is a factor on the probability."""

    def forward(self, units: Tensor) -> Tensor:
        return F.dropout(units, self._strength * self.p, self.training, self.inplace)


class GaussianNoise(TrainingNoise):
    """Adds noise N(0, s^2) to its input (AAE, A.2.1: s = 0.3, on the images of the semi-supervised networks)."""

    def __init__(self, standard_deviation: float):
        super().__init__()
        self.standard_deviation = standard_deviation

    def forward(self, images: Tensor) -> Tensor:
        deviation = self._strength * self.standard_deviation
        return images + deviation * torch.randn_like(images) if self.training else images


class RandomAffine(TrainingNoise):
    """Augments each image by a random affine map of its own, ``[n, pixels] -> [n, pixels]``. The papers do not augment.

    Each pass draws new maps, uniform between plus and minus the largest values. Zeros come in at the border, and values
    between pixels are interpolated. (torchvision's layer of this name maps all images of a batch alike.)

    Args:
        shift: the largest shift along each axis, in pixels.
        rotation: the largest angle, in degrees.
        scale: the largest change of size, as a share of it, in [0, 1), or a ``TrainingError`` is raised.
        shear: the largest slant, in pixels across for each pixel down.
        shape: of an image; None: square, inferred from the number of pixels.
    """

    def __init__(
        self, shift: float, rotation: float = 0.0, scale: float = 0.0, shear: float = 0.0, shape: Shape | None = None
    ):
        super().__init__()
        if not 0 <= scale < 1:
            raise TrainingError(f"RandomAffine needs a scale in [0, 1), not {scale}: at 1 nothing is left of an image")
        self.shift, self.rotation, self.scale, self.shear, self.shape = shift, rotation, scale, shear, shape

    def forward(self, images: Tensor) -> Tensor:
        deforms = any((self.rotation, self.scale, self.shear))
        if not (self.training and self._strength and (self.shift or deforms)):
            return images
        pictures = unflattened(images, self.shape)
        count, _, height, width = pictures.shape
        shift = (2 * torch.rand(count, 2, device=images.device) - 1) * self._strength * self.shift
        # A shift alone draws two numbers for an image and no more, as in the training of the shipped weights.
        unchanged = torch.eye(2, device=images.device).expand(count, 2, 2)
        linear = self._linear(count, height / width, images.device) if deforms else unchanged
        # The grid of places in the image, for each pixel of the result, reaches from -1 to 1 along both axes.
        across, down = 2 / width * shift[:, 0], 2 / height * shift[:, 1]
        places = torch.cat([linear, torch.stack([across, down], dim=1)[:, :, None]], dim=2)
        # Inside autocast the grid has the precision of bfloat16: a place is right to a tenth of a pixel.
        grid = F.affine_grid(places, list(pictures.shape), align_corners=False)
        return F.grid_sample(pictures, grid, align_corners=False).flatten(1)

    def _linear(self, count: int, height_by_width: float, device: torch.device) -> Tensor:
        """Random rotations, scales and shears, ``[count, 2, 2]``, for places (across, down) in units of the grid."""
        drawn = (2 * torch.rand(count, 3, device=device) - 1) * self._strength
        largest = (math.radians(self.rotation), self.scale, self.shear)
        angle, scale, shear = (shares * most for shares, most in zip(drawn.T, largest, strict=True))
        cosine, sine = angle.cos(), angle.sin()
        # Places in pixels are sheared, then rotated: [[cos, -sin], [sin, cos]] @ [[1, shear], [0, 1]].
        rows = [cosine, (shear * cosine - sine) * height_by_width, sine / height_by_width, shear * sine + cosine]
        return torch.stack(rows, dim=1).view(count, 2, 2) / (1 + scale)[:, None, None]


class FlipAndShift(TrainingNoise):
    """Mirrors every other image at random, and shifts each by whole pixels, ``[n, pixels] -> [n, pixels]``.

    Shifts are uniform from ``-shift`` to ``shift`` along each axis; the pixels at the border are repeated. Unlike
    :class:`RandomAffine` it never mixes neighboring pixels, so color images stay sharp.
    """

    def __init__(self, shift: int, shape: Shape):
        super().__init__()
        self.shift, self.shape = shift, shape

    def forward(self, images: Tensor) -> Tensor:
        if not (self.training and self._strength):
            return images
        pictures = unflattened(images, self.shape)
        count, channels, height, width = pictures.shape
        largest = round(self._strength * self.shift)
        down, across = torch.randint(-largest, largest + 1, (2, count, 1), device=images.device)
        is_mirrored = torch.rand(count, 1, device=images.device) < 0.5 * self._strength
        rows = (torch.arange(height, device=images.device) + down).clamp(0, height - 1)
        columns = (torch.arange(width, device=images.device) + across).clamp(0, width - 1)
        columns = torch.where(is_mirrored, columns.flip(1), columns)
        places = (rows[:, :, None] * width + columns[:, None, :]).view(count, 1, -1).expand(-1, channels, -1)
        return pictures.flatten(2).gather(2, places).flatten(1)
