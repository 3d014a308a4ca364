"""The data sets of torchvision, by their names."""

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aae_lib.data.arrays import as_labels, resized
from aae_lib.data.images import DataSet, Images, sha256_of, split
from aae_lib.data.mnist import data_folder
from aae_lib.data.network import download
from aae_lib.errors import DataError, ShapeError
from aae_lib.shapes import in_words

SUCH_SETS = "FashionMNIST, KMNIST, EMNIST/letters, USPS, SVHN, CIFAR10 and CIFAR100 are such sets."


def is_set(name: str) -> bool:
    """Whether torchvision has a data set of this name."""
    return _kind(name) is not None


def load_set(name: str, folder: str | Path | None = None, size: int | tuple[int, int] | None = None) -> DataSet:
    """A set of torchvision; ``size`` is for those whose pictures are files of many sizes."""
    folder, kind = data_folder(folder), _kind(name)
    parts = [_pixels_and_labels(part, name, size) for part in _downloaded(kind, name, folder)]
    labels = torch.cat([labels for _, labels, _ in parts])
    numbers, names = as_labels(labels, len(labels))
    given = parts[0][2]  # the set's own names, by its own labels
    if given and labels.max() < len(given):
        names = tuple(given[int(each)] for each in labels.unique())
    shape = tuple(parts[0][0].shape[1:])
    counts = [len(own) for _, own, _ in parts]
    found = [
        Images(pixels.flatten(1).contiguous(), own, shape, names)
        for (pixels, _, _), own in zip(parts, numbers.split(counts), strict=True)
    ]
    train, test = found if len(found) == 2 else split(found[0])
    source = f"{name}, {len(train):,} + {len(test):,} images as {in_words(shape)}, from {folder.resolve().name}"
    return DataSet(train, test, source, sha256_of(train, test), name, shape, len(names))


def _kind(name: str) -> type | None:
    from torchvision import datasets

    kind = getattr(datasets, name.partition("/")[0], None)
    return kind if isinstance(kind, type) and issubclass(kind, datasets.VisionDataset) else None


def _downloaded(kind: type, name: str, folder: Path) -> list[Any]:
    """The set's training and test part, or the one that it has, as objects of torchvision."""
    split = name.partition("/")[2]
    parameters = inspect.signature(kind).parameters
    if split:
        options = [{"split": split, "train": True}, {"split": split, "train": False}]
    elif {"split", "train"} & set(parameters) or "kwargs" in parameters:
        key, values = ("split", ("train", "test")) if "split" in parameters else ("train", (True, False))
        options = [{key: value} for value in values]
    else:
        options = [{}]
    what = f"{name} in {folder}"
    remedy = "Try again with a network. If its files are there, they may be incomplete: delete them."
    try:
        return [download(partial(kind, folder, download=True, **part), what, remedy) for part in options]
    except (TypeError, ValueError) as error:  # it has no two parts, no such split, or no download
        splits = getattr(kind, "splits", None)
        known = f" It has {', '.join(f'{kind.__name__}/{each}' for each in splits)}." if splits else ""
        raise DataError(
            f"expected {name} to have a training and a test part, found '{error}'.{known or ' ' + SUCH_SETS}"
        ) from error


def _pixels_and_labels(part: Any, name: str, size: int | tuple[int, int] | None) -> tuple[Tensor, Tensor, list[str]]:
    """Pixels ``[n, channels, height, width]`` in [0, 1], labels ``[n]`` and, if it has any, names of labels."""
    from torchvision import datasets

    pixels, labels = getattr(part, "data", None), getattr(part, "targets", getattr(part, "labels", None))
    names = [str(each) for each in getattr(part, "classes", None) or []]
    if pixels is None or labels is None:
        return *_from_files(part, name, size), names
    pixels, labels = torch.as_tensor(np.asarray(pixels)), torch.as_tensor(np.asarray(labels)).long()
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.shape[-1] == 3:
        pixels = pixels.movedim(-1, 1)
    pixels = pixels.mT if isinstance(part, datasets.EMNIST) else pixels  # EMNIST's images lie on their side
    return pixels.float().div_(255), labels, names


def _from_files(part: Any, name: str, size: int | tuple[int, int] | None) -> tuple[Tensor, Tensor]:
    """The same of a set that reads a file whenever an image is asked for."""
    from torchvision.transforms.v2.functional import to_image

    try:
        pairs = [(to_image(each.convert("RGB")).float() / 255, int(label)) for each, label in part]
        pictures = [resized(picture[None], size, None, False)[0] for picture, _ in pairs]
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: expected pairs of an image and its class, found '{error}'. {SUCH_SETS}") from error
    if len({picture.shape for picture in pictures}) > 1:
        raise ShapeError(f"{name}: expected images of one size, found several: ask for one with size=32 or --size 32")
    return torch.stack(pictures), torch.tensor([label for _, label in pairs])
