"""The data sets of torchvision that fit into memory, by their names, in any size, gray or in color."""

import hashlib
import inspect
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aae_lib.data.images import DataSet, Images, from_bytes
from aae_lib.data.mnist import data_folder, load_mnist, load_sample
from aae_lib.data.network import download
from aae_lib.errors import DataError, ShapeError, UnknownNameError
from aae_lib.shapes import Shape, in_words, unflattened

SUCH_SETS = "FashionMNIST, KMNIST, EMNIST/letters, USPS, SVHN, CIFAR10 and CIFAR100 are such sets."


def load_images(name: str, folder: str | Path | None = None, shape: Shape | None = None) -> DataSet:
    """A set of images by its name.

    Args:
        name: "MNIST", "MNIST-sample", or a class of torchvision.datasets ("FashionMNIST", "SVHN", "CIFAR10" ...), if
            need be with one of its splits: "EMNIST/letters". Labels are counted from 0 (here: 0 is the letter a).
        folder: where the images lie or are downloaded to, as for :func:`load_mnist`.
        shape: channels (1: gray, 3: red, green and blue), height and width. Images of another shape are resized and
            made gray or colored. By default, the set's own shape.

    Raises:
        UnknownNameError: if there is no such set, or its name lacks a split.
        DataError: if the download fails, or the set is not kept in memory (which shows only after the download).
        ShapeError: if no image can have the shape.
    """
    if shape is not None and not (len(shape) == 3 and shape[0] in (1, 3) and min(shape) > 0):
        raise ShapeError(f"expected channels (1 or 3), height and width, such as (3, 32, 32), found {shape}")
    if name == "MNIST":
        loaded = load_mnist(folder)
    elif name == "MNIST-sample":
        loaded = load_sample()
    else:
        loaded = _load(name, data_folder(folder))
    return loaded if shape in (None, loaded.shape) else _reshaped(loaded, shape)


def _load(name: str, folder: Path) -> DataSet:
    """A set of torchvision in its own shape."""
    from torchvision import datasets

    kind = getattr(datasets, name.partition("/")[0], None)
    if not (isinstance(kind, type) and issubclass(kind, datasets.VisionDataset)):
        raise UnknownNameError(f"expected a data set of torchvision, found {name!r}. {SUCH_SETS}")
    parts = [_pixels_and_labels(part, name) for part in _downloaded(kind, name, folder)]
    labels = torch.cat([labels for _, labels in parts]).unique()
    if len(labels) != labels[-1] - labels[0] + 1:
        found = f"{len(labels)} from {labels[0]} to {labels[-1]}"
        raise DataError(f"{name}: expected labels without gaps, found {found}. {SUCH_SETS}")
    shape = tuple(parts[0][0].shape[1:])
    train, test = (from_bytes(pixels.numpy(), (own - labels[0]).numpy(), shape) for pixels, own in parts)
    sha256 = hashlib.sha256()
    for tensor in (train.images, train.labels, test.images, test.labels):
        sha256.update(tensor.numpy())
    source = f"{name}, {len(train):,} + {len(test):,} images as {in_words(shape)}, from {folder.resolve().name}"
    return DataSet(train, test, source, sha256.hexdigest(), name, shape, len(labels))


def _downloaded(kind: type, name: str, folder: Path) -> list[object]:
    """The set's training and test part, as objects of torchvision."""
    split = name.partition("/")[2]
    if split:
        options = [{"split": split, "train": True}, {"split": split, "train": False}]
    elif "split" in inspect.signature(kind).parameters:
        options = [{"split": "train"}, {"split": "test"}]
    else:
        options = [{"train": True}, {"train": False}]
    what = f"{name} in {folder}"
    remedy = "Try again with a network. If its files are there, they may be incomplete: delete them."
    try:
        return [download(partial(kind, folder, download=True, **part), what, remedy) for part in options]
    except (TypeError, ValueError) as error:  # it has no two parts, no such split, or no download
        raise DataError(f"expected {name} to have a training and a test part, found '{error}'. {SUCH_SETS}") from error


def _pixels_and_labels(part: object, name: str) -> tuple[Tensor, Tensor]:
    """What a data set of torchvision keeps in memory: bytes ``[n, channels, height, width]`` and labels ``[n]``."""
    from torchvision import datasets

    pixels, labels = getattr(part, "data", None), getattr(part, "targets", getattr(part, "labels", None))
    if pixels is None or labels is None:
        raise DataError(f"{name}: expected images that are kept in memory, found none. {SUCH_SETS}")
    pixels, labels = torch.as_tensor(np.asarray(pixels)), torch.as_tensor(np.asarray(labels)).long()
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.shape[-1] == 3:
        pixels = pixels.movedim(-1, 1)
    return (pixels.mT if isinstance(part, datasets.EMNIST) else pixels), labels  # EMNIST's images lie on their side


def _reshaped(found: DataSet, shape: Shape) -> DataSet:
    """The same images in this shape."""
    from torchvision.transforms.v2.functional import resize, rgb_to_grayscale

    def reshaped(part: Images) -> Images:
        pixels = unflattened((part.images * 255).round_().byte(), found.shape)
        if pixels.shape[1] != shape[0]:
            pixels = rgb_to_grayscale(pixels) if shape[0] == 1 else pixels.expand(-1, 3, -1, -1)
        return from_bytes(resize(pixels, shape[1:], antialias=True).numpy(), part.labels.numpy(), shape)

    source = f"{found.source}; here as {in_words(shape)}"
    return replace(found, train=reshaped(found.train), test=reshaped(found.test), source=source, shape=shape)
