"""Images with their labels, sets of them, and which labels a model may see."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from aae_lib.errors import DataError, ShapeError
from aae_lib.shapes import Shape, shape_of, unflattened


@dataclass(frozen=True, eq=False)
class Images:
    """Images with their labels, in memory.

    Attributes:
        images: float32 ``[n, pixels]`` in [0, 1]: the pixels row by row, of images in color channel by channel.
        labels: int64 ``[n]``; -1 where a label is hidden.
        shape: channels, height and width of an image. By default that of a square image with that many pixels, or None
            if there is no such image.

    Raises:
        DataError: if the images or labels are not tensors, or of another type of number.
        ShapeError: if the tensors or the shape do not fit together.
    """

    images: Tensor
    labels: Tensor
    shape: Shape | None = None

    def __post_init__(self) -> None:
        found = [getattr(each, "dtype", type(each).__name__) for each in (self.images, self.labels)]
        if found != [torch.float32, torch.int64]:
            raise DataError(
                f"expected tensors: images of torch.float32, labels of torch.int64, found {found[0]} and {found[1]}: "
                "convert them by torch.as_tensor(images).float() and torch.as_tensor(labels).long()"
            )
        if self.images.ndim != 2 or self.labels.shape != self.images.shape[:1]:
            raise ShapeError(
                f"expected images [n, pixels] and labels [n], found {list(self.images.shape)} and "
                f"{list(self.labels.shape)}: flatten images by images.flatten(1), and give each one label"
            )
        if self.shape:
            unflattened(self.images, self.shape)  # raises unless the shape fits
        else:
            with suppress(ShapeError):
                object.__setattr__(self, "shape", shape_of(self.images.shape[1]))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor) -> Images:
        """The images and labels at ``index``: a slice (shares memory), or a tensor of indices or booleans (copies)."""
        return replace(self, images=self.images[index], labels=self.labels[index])

    def without_labels(self) -> Images:
        """The same images, each labeled -1, so that nothing can read a label."""
        return replace(self, labels=torch.full_like(self.labels, -1))

    def hold_out(self) -> tuple[Images, Images]:
        """These images without the last sixth (of MNIST's training images: 10,000), and that last sixth."""
        kept = len(self) - len(self) // 6
        return self[:kept], self[kept:]

    def to(self, device: torch.device | str) -> Images:
        """The same images and labels on another device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


@dataclass(frozen=True, eq=False)
class DataSet:
    """Training and test images, and where they are from.

    Attributes:
        source: one line for humans: which data, from where, and what must not be concluded from it.
        sha256: of the data, in hexadecimal.
        name: of the set, as :func:`load_images` takes it. "MNIST" is all of MNIST, "MNIST-sample" the small sample.
        shape: channels, height and width of an image.
        classes: how many there are; labels are 0 to ``classes - 1``.
    """

    train: Images
    test: Images
    source: str
    sha256: str
    name: str
    shape: Shape
    classes: int


def from_bytes(pixels: np.ndarray, labels: np.ndarray, shape: Shape) -> Images:
    """Images from bytes of any layout ``[n, ...]``, and their labels ``[n]``."""
    images = pixels.reshape(len(pixels), -1).astype(np.float32, order="C")
    return Images(torch.from_numpy(images).div_(255), torch.from_numpy(labels.astype(np.int64)), shape)


def balanced_subset(labels: Tensor, count: int, seed: int) -> Tensor:
    """Indices of ``count`` images, as many of each class, drawn at random: int64 ``[count]`` on the CPU, ascending.

    Equal seeds give equal subsets, whatever torch's global random state. A smaller subset lies within a larger one.

    Args:
        labels: integers ``[n]``, on any device. The classes are those that occur; -1 (hidden) is none.

    Raises:
        DataError: if ``count`` is no positive multiple of the number of classes, or a class has too few images.
    """
    labels = labels.cpu()
    classes, sizes = labels[labels >= 0].unique(return_counts=True)
    if not len(classes) or count <= 0 or count % len(classes):
        raise DataError(f"expected a positive multiple of the {len(classes)} classes among the labels, found {count}")
    each = count // len(classes)
    if sizes.min() < each:
        smallest = f"{sizes.min()} of class {classes[sizes.argmin()]}"
        raise DataError(f"expected {each} images of each class, found {smallest}: draw a smaller subset")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    drawn = [order[labels[order] == label][:each] for label in classes]
    return torch.cat(drawn).sort().values
