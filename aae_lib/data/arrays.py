"""Images from arrays of any kind: numbers, layouts, labels."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aae_lib.data.checks import check_numbers
from aae_lib.data.images import Images
from aae_lib.errors import DataError, ShapeError
from aae_lib.shapes import Shape, unflattened

CHANNELS = (1, 3, 4)  # gray, color, color with alpha
LARGEST = 4096  # side of an image


def load_arrays(
    images: Any,
    labels: Sequence[Any] | None = None,
    *,
    shape: Shape | None = None,
    size: int | tuple[int, int] | None = None,
    gray: bool | None = None,
    invert: bool = False,
) -> Images:
    """Images from numpy arrays, tensors or lists; ``print`` of the result says what was made of them.

    Args:
        images: pictures ``[n, h, w]``, ``[n, h, w, channels]`` or ``[n, channels, h, w]``, with 1, 3 or 4 channels
            (alpha is laid on white): integers from 0 to 255 (uint16: to 65,535), 0 and 1 alone, or floats in [0, 1].
            Or numbers ``[n, d]``: with a ``shape`` flat pictures, without one a table, which is taken as it is.
        labels: one for each image, names or whole numbers of any kind; None, NaN, "" or -1: no label. Without this
            argument no image has one.
        shape: channels, height and width of flat pictures.
        size: to which pictures are resized: a side, or height and width. Proportions are not kept.
        gray: make pictures gray (True) or give them three channels (False); None: as they are.
        invert: turn dark into light, such as ink on paper into digits like MNIST's.

    Raises:
        DataError: numbers that are none, or out of range; labels that do not fit.
        ShapeError: another layout, or a size that cannot be.
    """
    numbers = _as_numbers(images)
    count = len(numbers)
    if numbers.ndim == 2 and shape is None:
        if size is not None or gray is not None or invert:
            raise ShapeError(f"expected pictures, found a table {list(numbers.shape)}: give their shape")
        flat, shape = numbers.float(), ()
        check_numbers(flat, in_unit_range=False)
    else:
        pictures = as_color(_as_pictures(numbers, shape))
        check_numbers(pictures.flatten(1), in_unit_range=True)
        pictures = resized(pictures, size, gray, invert)
        flat, shape = pictures.flatten(1), tuple(pictures.shape[1:])
    numbered, names = as_labels(labels, count)
    return Images(flat.contiguous(), numbered, shape, names)


def as_labels(labels: Iterable[Any] | None, count: int) -> tuple[Tensor, tuple[str, ...]]:
    """Labels from 0, int64 ``[count]``, -1 where there is none; and the names of the classes, in order.

    Raises:
        DataError: not one label for each image, or neither names nor whole numbers.
    """
    if labels is None:
        return torch.full((count,), -1), ()
    given = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    if given and all(isinstance(label, list) and len(label) == 1 for label in given):  # a column
        given = [label[0] for label in given]
    if len(given) != count:
        raise DataError(f"expected {count} labels, one for each image, found {len(given)}: -1 stands for no label")
    values = [_value_of(label) for label in given]
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1:
        raise DataError("expected labels that are all names or all whole numbers, found both: choose one")
    classes = sorted({value for value in values if value is not None})
    numbers = {value: index for index, value in enumerate(classes)} | {None: -1}
    return torch.tensor([numbers[value] for value in values], dtype=torch.int64), tuple(map(str, classes))


def as_color(pictures: Tensor) -> Tensor:
    """Pictures ``[n, 1, 3 or 4 channels, h, w]`` with alpha, if there is any, laid on white: 1 or 3 channels."""
    if pictures.shape[1] != 4:
        return pictures
    color, alpha = pictures.split([3, 1], dim=1)
    return color * alpha + 1 - alpha


def resized(pictures: Tensor, size: int | tuple[int, int] | None, gray: bool | None, invert: bool) -> Tensor:
    """Pictures ``[n, channels, h, w]`` in [0, 1] as asked for; the arguments are those of :func:`load_arrays`."""
    from torchvision.transforms.v2.functional import resize, rgb_to_grayscale  # takes a second

    sides = sides_of(size)
    if sides not in (None, pictures.shape[2:]):
        pictures = resize(pictures, list(sides), antialias=True).clamp(0, 1)
    if gray and pictures.shape[1] == 3:
        pictures = rgb_to_grayscale(pictures)
    if gray is False and pictures.shape[1] == 1:
        pictures = pictures.expand(-1, 3, -1, -1)
    return 1 - pictures if invert else pictures


def sides_of(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """Height and width; a ShapeError if these are none."""
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2 or not all(type(side) is int and 0 < side <= LARGEST for side in sides):
        raise ShapeError(
            f"expected a size from 1 to {LARGEST} such as 32, or height and width such as (32, 48), found {size!r}"
        )
    return sides


def _as_numbers(images: Any) -> Tensor:
    """The images as one tensor ``[n, ...]`` of numbers."""
    try:
        if isinstance(images, Tensor):
            found = images.detach().cpu()
        else:
            each = [np.asarray(image) for image in images]
            array = np.stack(each) if each else np.empty(0)
            found = torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"expected images of one size as numbers, found a {type(images).__name__} of which torch says "
            f"'{str(error):.120}': load pictures of many sizes by aae_lib.load_folder(path, size=32)"
        ) from error
    if found.is_complex() or not len(found):
        raise DataError(f"expected at least one image of real numbers, found {list(found.shape)} of {found.dtype}")
    return found


def _as_pictures(numbers: Tensor, shape: Shape | None) -> Tensor:
    """Numbers of any layout as pictures ``[n, channels, h, w]`` in float32; those of integers in [0, 1]."""
    if shape is not None:
        pictures = unflattened(numbers.flatten(1), shape)
    elif numbers.ndim == 3:
        pictures = numbers[:, None]
    elif numbers.ndim == 4 and (numbers.shape[1] in CHANNELS) != (numbers.shape[3] in CHANNELS):
        pictures = numbers if numbers.shape[1] in CHANNELS else numbers.movedim(3, 1)
    else:
        raise ShapeError(
            "expected images [n, h, w], [n, h, w, channels] or [n, channels, h, w] with 1, 3 or 4 channels, found "
            f"{list(numbers.shape)}: reshape them, or give the shape (channels, height, width)"
        )
    if not pictures.numel():
        raise ShapeError(f"expected images with pixels, found {list(numbers.shape)}")
    if pictures.is_floating_point():
        return pictures.float()
    pictures = pictures.float()
    low, high = float(pictures.min()), float(pictures.max())
    if low < 0 or high > (65_535 if numbers.dtype == torch.uint16 else 255):
        raise DataError(f"expected integers from 0 to 255 (uint16: to 65,535), found {low:g} to {high:g}: scale them")
    return pictures / (1 if high <= 1 else 255 if high <= 255 else 65_535)


def _value_of(label: Any) -> int | str | None:
    """A label as a whole number or a name; None: there is none."""
    if isinstance(label, np.generic | Tensor):  # of a list of numbers of an array
        label = label.tolist()
    if label is None or label == "" or (isinstance(label, float) and math.isnan(label)):
        return None
    if isinstance(label, str):
        return str(label)
    if isinstance(label, bytes):
        return label.decode(errors="replace")
    if isinstance(label, float | int) and math.isfinite(label) and label == int(label) and label >= -1:
        return None if label == -1 else int(label)
    raise DataError(
        f"expected labels that are names or whole numbers from 0, or -1 for none, found {label!r:.60}"
        + (": of one-hot labels take labels.argmax(1)" if isinstance(label, list) else "")
    )
