"""Shapes of images. The library keeps images flat, ``[n, pixels]``; a shape says how the numbers lie in a picture."""

import math

import torch
from torch import Tensor

from aae_lib.errors import ShapeError

Shape = tuple[int, int, int]
"""Channels (1: gray, 3: color), height and width of an image."""


def pixels_of(shape: Shape) -> int:
    return math.prod(shape)


def shape_of(pixels: int) -> Shape:
    """The shape of a square image with that many numbers: gray if they are a square, color if they are three times one.

    No number is both, because the square root of three is irrational.

    Raises:
        ShapeError: if there is no such square.
    """
    for channels in (1, 3):
        side = math.isqrt(pixels // channels) if pixels > 0 else 0
        if side and channels * side**2 == pixels:
            return channels, side, side
    raise ShapeError(
        f"expected the numbers of a square image, such as 28 * 28 (gray) or 3 * 32 * 32 (color), found {pixels}: give "
        "the shape (channels, height, width)"
    )


def in_words(shape: Shape | tuple[()]) -> str:
    """For instance "28 x 28 gray pixels": height, width and kind of an image; "a table" where there is no shape."""
    if not shape:
        return "a table"
    channels, height, width = shape
    kind = {1: "gray", 3: "color"}.get(channels, f"{channels}-channel")
    return f"{height} x {width} {kind} pixels"


def unflattened(images: Tensor, shape: Shape | None = None) -> Tensor:
    """Flat images ``[n, pixels]`` as ``[n, channels, height, width]``; the default shape is that of :func:`shape_of`.

    Raises:
        ShapeError: if the images are not flat, or do not have as many numbers as the shape.
    """
    if images.ndim != 2:
        raise ShapeError(f"expected flat images [n, pixels], found {list(images.shape)}: flatten them first")
    shape = shape or shape_of(images.shape[1])
    if images.shape[1] != pixels_of(shape):
        raise ShapeError(
            f"expected images of {in_words(shape)}, which are {pixels_of(shape)} numbers, found {images.shape[1]}: "
            "resize them, or give another shape"
        )
    return images.unflatten(1, shape)


def as_pictures(images: Tensor, shape: Shape | None = None) -> Tensor:
    """Flat images ``[n, pixels]`` as pictures to draw: ``[n, height, width]`` if gray, else ``[n, height, width, 3]``.

    They are float32 on the CPU, clipped to [0, 1].

    Raises:
        ShapeError: as :func:`unflattened`, and if the images are neither gray nor in color.
    """
    pictures = unflattened(images.detach(), shape).float().clamp(0, 1).cpu()
    channels = pictures.shape[1]
    if channels not in (1, 3):
        raise ShapeError(f"expected 1 channel (gray) or 3 (color), found {channels}: choose the channels to draw")
    return pictures[:, 0] if channels == 1 else pictures.movedim(1, -1)


def mosaic(images: Tensor, columns: int, shape: Shape | None = None) -> Tensor:
    """Lay flat images ``[rows * columns, pixels]`` out as one picture ``[rows * height, columns * width]``, row by row.

    A picture in color has a last dimension of 3.

    Raises:
        ShapeError: as :func:`as_pictures`, and if the images do not fill the rows.
    """
    if len(images) % columns:
        raise ShapeError(f"expected rows of {columns} images, found {len(images)} images: add or leave out some")
    rows = as_pictures(images, shape).split(columns)
    return torch.cat([torch.cat(list(row), dim=1) for row in rows], dim=0)
