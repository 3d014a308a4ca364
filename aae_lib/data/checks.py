"""The one check of images and labels: before training, before measuring, in the explorers and on the command line."""

from typing import Any

from torch import Tensor

from aae_lib.data.images import DataSet, Images
from aae_lib.errors import DataError, ShapeError
from aae_lib.shapes import in_words

SLACK = 1e-3  # beyond [0, 1], for what resizing and other arithmetic leave


def check_images(
    images: Any,
    *,
    numbers: int | None = None,
    classes: int | None = None,
    needs_labels: bool = False,
    in_unit_range: bool | None = None,
    least: int = 1,
) -> Images:
    """The images, if a model can use them.

    Args:
        numbers: how many numbers the model takes for each image; None: any.
        classes: how many classes the model has; None: any.
        needs_labels: whether each image must have a label; else -1 stands for none.
        in_unit_range: whether all numbers must lie in [0, 1]; None: if they are pictures.
        least: how many images there must be.

    Raises:
        DataError: no :class:`Images`, too few, numbers that are not finite or out of range, or labels out of range.
        ShapeError: images of another size.
    """
    if not isinstance(images, Images):
        kind = type(images).__name__
        remedy = "give its `train` or `test`" if isinstance(images, DataSet) else "aae_lib.load_arrays makes them"
        raise DataError(f"expected aae_lib.Images, found {kind}: {remedy}")
    if len(images) < least:
        raise DataError(f"expected at least {least} images, found {len(images)}: give more, or use smaller batches")
    if numbers is not None and images.images.shape[1] != numbers:
        found = f" ({in_words(images.shape)})" if images.shape else ""
        raise ShapeError(
            f"this model takes {numbers} numbers for an image, these images have {images.images.shape[1]}{found}: "
            "load them in its size, or build the model for their shape"
        )
    check_numbers(images.images, bool(images.shape) if in_unit_range is None else in_unit_range)
    _check_labels(images.labels, classes, needs_labels)
    return images


def check_numbers(images: Tensor, in_unit_range: bool) -> None:
    """Refuse images ``[n, pixels]`` with numbers that are not finite or, where that is asked, not in [0, 1]."""
    if not images.numel():
        return
    low, high = (value.item() for value in images.aminmax())
    if not (abs(low) < float("inf") and abs(high) < float("inf")):  # also of NaN, which aminmax hands on
        broken = (~images.isfinite()).any(1)
        first = int(broken.nonzero()[0])
        kind = "NaN" if images[first].isnan().any() else "an infinite number"
        raise DataError(f"image {first} holds {kind}, one of {int(broken.sum())} such images: repair or leave them out")
    if in_unit_range and 0 < high <= 1 / 255 + 1e-6 and low >= 0:
        raise DataError(f"images must lie in [0, 1], found {low:.4g} to {high:.4g}: were they divided by 255 twice?")
    if in_unit_range and not -SLACK <= low <= high <= 1 + SLACK:
        if low >= 0 and high <= 255.5:
            remedy = "divide by 255"
        elif low >= -1 - SLACK and high <= 1 + SLACK:
            remedy = "take (images + 1) / 2"
        else:
            remedy = "scale them, or take a model whose loss allows any number, such as unbounded_squared_error"
        raise DataError(f"images must lie in [0, 1], found {low:.4g} to {high:.4g}: {remedy}")


def _check_labels(labels: Tensor, classes: int | None, needed: bool) -> None:
    if not len(labels):
        return
    low, high = (value.item() for value in labels.aminmax())
    last = "" if classes is None else f" to {classes - 1}"
    if low < -1 or (classes is not None and high >= classes):
        found = high if low >= -1 else low
        raise DataError(f"labels must be whole numbers from 0{last}, or -1 for none, found {found}: number them anew")
    if needed and low < 0:
        hidden = int((labels < 0).sum())
        raise DataError(
            f"this model needs a label for each image, found {hidden} of {len(labels)} without one: leave those out "
            "(images.labeled()), or take a semi-supervised model with aae_lib.data.unlabeled_and_labeled(images)"
        )
