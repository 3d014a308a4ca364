"""The one check of images and labels: before training, before measuring, in the explorers and on the command line."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from aae_lib.data.images import DataSet, Images
from aae_lib.devices import device_of, evaluation
from aae_lib.errors import DataError, ShapeError
from aae_lib.shapes import in_words

FIRST = {"classifier": "classify", "encoder": "encode"}  # what takes images, and the method that uses it
SLACK = 1e-3  # beyond [0, 1], for what resizing and other arithmetic leave


def check_images(
    images: Any, model: nn.Module | None = None, *, classes: int | None = None, least: int = 1, labeled: bool = False
) -> Images:
    """The images, if a model can use them.

    Pictures must lie in [0, 1], unless the model's output function gives any number; so must tables, if it gives none
    outside [0, 1].

    Args:
        model: that is to use them; None: any.
        classes: how many classes it knows; None: any number.
        least: how many images there must be.
        labeled: whether each image must have a label; else -1 stands for none.

    Raises:
        DataError: no :class:`Images`, too few, numbers that are not finite or out of range, or labels out of range; a
            model whose weights are not float32.
        ShapeError: images of a size that the model does not take.
    """
    if not isinstance(images, Images):
        kind = type(images).__name__
        remedy = "give its `train` or `test`" if isinstance(images, DataSet) else "aae_lib.load_arrays makes them"
        raise DataError(f"expected aae_lib.Images, found a {kind}: {remedy}")
    if len(images) < least:
        remedy = "give more, or take a smaller batch_size" if least > 1 else "give at least one"
        raise DataError(f"expected at least {least} images, found {len(images)}: {remedy}")
    check_numbers(images.images, _must_be_in_unit_range(images, model))
    _check_labels(images.labels, classes, labeled)
    if model is not None:
        if others := {str(parameter.dtype) for parameter in model.parameters()} - {"torch.float32"}:
            raise DataError(f"the images are torch.float32, this model's weights {min(others)}: call model.float()")
        _check_size(images, model)
    return images


def check_numbers(images: Tensor, in_unit_range: bool) -> None:
    """Refuse images ``[n, pixels]`` with numbers that are not finite or, where that is asked, not in [0, 1]."""
    if not images.numel():
        raise ShapeError(f"expected images with pixels, found {list(images.shape)}: give others")
    low, high = (value.item() for value in images.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        broken = (~images.isfinite()).any(1)
        first = int(broken.nonzero()[0])
        kind = "NaN" if images[first].isnan().any() else "an infinite number"
        raise DataError(f"image {first} holds {kind}, one of {int(broken.sum())} such images: repair or leave them out")
    if not in_unit_range:
        return
    if 0 <= low < high <= 1 / 255 + 1e-6:
        raise DataError(f"images must lie in [0, 1], found {low:.4g} to {high:.4g}: were they divided by 255 twice?")
    if not -SLACK <= low <= high <= 1 + SLACK:
        if low >= 0 and 2 < high <= 255.5:
            remedy = "divide by 255"
        elif low >= -1 - SLACK and high <= 1 + SLACK:
            remedy = "take (images + 1) / 2"
        else:
            remedy = "scale them, or take a reconstruction loss for any numbers"
        raise DataError(f"images must lie in [0, 1], found {low:.4g} to {high:.4g}: {remedy}")


def _must_be_in_unit_range(images: Images, model: nn.Module | None) -> bool:
    output = getattr(model, "output", None)
    if output is None or not hasattr(model, "decoder"):
        return bool(images.shape)
    return float(output(torch.tensor(2.0))) <= 1


def _check_labels(labels: Tensor, classes: int | None, needed: bool) -> None:
    low, high = (value.item() for value in labels.aminmax())
    if needed and low == -1:
        hidden = int((labels < 0).sum())
        raise DataError(
            f"this model needs a label for each image, found {hidden} of {len(labels)} without one: leave those out "
            "(images.labeled()), or train a semi-supervised model on images.unlabeled_and_labeled()"
        )
    if low < -1 or (classes is not None and high >= classes):
        last = "" if classes is None else f" to {classes - 1}"
        found = high if low >= -1 else low
        raise DataError(f"labels must be whole numbers from 0{last}, or -1 for none, found {found}: number them anew")


def _check_size(images: Images, model: nn.Module) -> None:
    """Refuse images of which the model's first network can make nothing."""
    network, use = next(
        ((getattr(model, name), getattr(model, way, None)) for name, way in FIRST.items() if hasattr(model, name)),
        (None, None),
    )
    numbers, taken = images.images.shape[1], _numbers_taken(network)
    if taken in (None, numbers) or use is None:
        return
    try:  # some networks get other numbers beside the image
        with evaluation(model):
            use(images.images[:2].to(device_of(model)))
    except RuntimeError as error:
        found = f"{numbers} numbers" + (f" ({in_words(images.shape)})" if images.shape else "")
        raise ShapeError(
            f"this {type(model).__name__} takes images of {taken} numbers, found images of {found}: load them in its "
            "size, or build it for theirs"
        ) from error


def _numbers_taken(network: nn.Module | None) -> int | None:
    """How many numbers the first layer takes, where it says so."""
    for layer in network.modules() if network is not None else ():
        if isinstance(layer, nn.Linear):
            return layer.in_features
        if isinstance(getattr(layer, "shape", None), tuple):  # that of an image
            return math.prod(layer.shape)
    return None
