"""Pictures from outside as a model's images: files, images of PIL, arrays."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aae_lib.data.arrays import resized
from aae_lib.data.files import read_picture
from aae_lib.errors import ShapeError
from aae_lib.shapes import Shape, in_words, pixels_of

Picture = str | Path | Image.Image | np.ndarray | Tensor
BOX = 5 / 7  # of the side of an image: the ink of MNIST fills 20 of 28 pixels


def image_of(picture: Picture, shape: Shape, center: bool = True, invert: bool = False) -> Tensor:
    """A picture as an image ``[pixels]``, float32 in [0, 1].

    Files and images of PIL are centered and scaled as MNIST's digits are (``center``); those in color, or of another
    shape than a square, are scaled only. Arrays and tensors have as many numbers as the shape, and stay as they are.

    Args:
        invert: turn dark into light at the end, for a model that was trained on images so turned.

    Raises:
        DataError, ShapeError: no picture; other numbers than these, or a picture without ink.
    """
    if isinstance(picture, np.ndarray | Tensor):
        image = torch.as_tensor(picture).float().flatten()
        if len(image) != pixels_of(shape) or not ((image >= 0) & (image <= 1)).all():
            raise ShapeError(f"expected {in_words(shape)} in [0, 1], found {len(image)} numbers up to {image.max():g}")
        return image
    channels, *sides = shape
    image = read_picture(picture)[None]
    if center and channels == 1 and sides[0] == sides[1]:
        ink = centered(resized(image, None, True, False)[0, 0].numpy(), sides[0])
        image = torch.from_numpy(ink)[None, None]
    return resized(image, sides, channels == 1, invert).flatten()


def centered(picture: np.ndarray, side: int) -> np.ndarray:
    """The ink of a gray picture in a box of 20/28 of the side, its center of mass in the middle: ``[side, side]``.

    Ink is what is darker than the border of a light picture, or lighter than that of a dark one.
    """
    border = np.concatenate([picture[0], picture[:, 0]])
    if border.mean() > 0.5:
        picture, border = 1 - picture, 1 - border
    paper = min(0.5, border.max())
    ink = ((picture - paper) / max(picture.max() - paper, 0.1)).clip(0)
    rows, columns = (np.nonzero(ink.max(axis) >= 0.02)[0] for axis in (1, 0))
    if not len(rows):
        raise ShapeError("the picture has no ink: all of it is like its border")
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    size = [max(1, round(BOX * side * length / max(ink.shape))) for length in ink.shape]
    small = np.asarray(Image.fromarray(ink).resize(size[::-1], Image.Resampling.BOX))
    centers = [small.sum(1 - axis) @ np.arange(size[axis]) / small.sum() for axis in (0, 1)]  # MNIST's: in pixel 14
    top, left = (side + round(side / 2 - center) for center in centers)
    image = np.zeros((3 * side, 3 * side), np.float32)  # with room for ink that hangs over
    image[top : top + size[0], left : left + size[1]] = small
    return image[side : 2 * side, side : 2 * side]
