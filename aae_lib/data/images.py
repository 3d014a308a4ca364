"""Images with their labels, sets of them, and which labels a model may see."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from aae_lib.errors import DataError, ShapeError
from aae_lib.shapes import Shape, in_words, shape_of, unflattened

NAMED = 5  # class names that a line shows


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Images with their labels, in memory. :func:`~aae_lib.data.load_arrays` makes them of arrays of any kind.

    Attributes:
        images: float32 ``[n, pixels]`` in [0, 1]: the pixels row by row, of images in color channel by channel. Or a
            table of any numbers, ``[n, columns]``.
        labels: int64 ``[n]``, from 0; -1: no label.
        shape: channels, height and width of an image; ``()``: the numbers are no picture, but a table. By default that
            of a square image with that many pixels, or ``()`` if there is no such image.
        class_names: of the labels, in their order; empty: the numbers are the names.

    Raises:
        DataError: if the images or labels are not tensors, or of another type of number.
        ShapeError: if the tensors or the shape do not fit together.
    """

    images: Tensor
    labels: Tensor
    shape: Shape | tuple[()] | None = None
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        found = [getattr(each, "dtype", type(each).__name__) for each in (self.images, self.labels)]
        if found != [torch.float32, torch.int64]:
            raise DataError(
                f"expected tensors: images of torch.float32, labels of torch.int64, found {found[0]} and {found[1]}: "
                "make them by aae_lib.load_arrays(images, labels)"
            )
        if self.images.ndim != 2 or self.labels.shape != self.images.shape[:1]:
            raise ShapeError(
                f"expected images [n, pixels] and labels [n], found {list(self.images.shape)} and "
                f"{list(self.labels.shape)}: make them by aae_lib.load_arrays, with a label for each image, -1 for none"
            )
        if self.shape:
            unflattened(self.images, self.shape)  # raises unless the shape fits
        elif self.shape is None:
            object.__setattr__(self, "shape", ())
            with suppress(ShapeError):
                object.__setattr__(self, "shape", shape_of(self.images.shape[1]))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor) -> Images:
        """The images and labels at ``index``: a slice (shares memory), or a tensor of indices or booleans (copies)."""
        return replace(self, images=self.images[index], labels=self.labels[index])

    def __repr__(self) -> str:
        """One line: how many images of which shape and range, the classes, and the share without a label."""
        if not len(self):
            return "no images"
        kind = f"images of {in_words(self.shape)}" if self.shape else f"rows of {self.images.shape[1]} numbers"
        low, high = (value.item() for value in self.images.aminmax())
        present = sorted(set(self.labels.tolist()) - {-1})
        names = [self.name_of(label) for label in present[:NAMED]] + ["..."] * (len(present) > NAMED)
        classes = f"{len(present)} class{'es' * (len(present) != 1)} ({', '.join(names)})" if present else ""
        hidden = (self.labels < 0).double().mean().item()
        without = "no labels" if hidden == 1 else f"{100 * hidden:.3g} % without a label" if hidden else ""
        parts = [f"{len(self):,} {kind} from {low:.3g} to {high:.3g}", classes, without]
        return ", ".join(filter(None, parts))

    def name_of(self, label: int) -> str:
        """The name of a class."""
        return self.class_names[label] if label < len(self.class_names) else str(label)

    def without_labels(self) -> Images:
        """The same images, each labeled -1, so that nothing can read a label."""
        return replace(self, labels=torch.full_like(self.labels, -1))

    def labeled(self) -> Images:
        """Those of the images that have a label."""
        return self if not len(self) or self.labels.min() >= 0 else self[self.labels >= 0]

    def unlabeled_and_labeled(self) -> tuple[Images, Images]:
        """What semi-supervised models train on: all images without their labels, and those that have one.

        Raises:
            DataError: none has a label.
        """
        labeled = self.labeled()
        if not len(labeled):
            raise DataError("expected some images with a label, found none: label some, or take a model without labels")
        return self.without_labels(), labeled

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
        inverted: whether the images are inverted: dark is 1.
    """

    train: Images
    test: Images
    source: str
    sha256: str
    name: str
    shape: Shape
    classes: int
    inverted: bool = False


def from_bytes(pixels: np.ndarray, labels: np.ndarray, shape: Shape, class_names: tuple[str, ...] = ()) -> Images:
    """Images from bytes of any layout ``[n, ...]``, and their labels ``[n]``."""
    images = pixels.reshape(len(pixels), -1).astype(np.float32, order="C")
    return Images(torch.from_numpy(images).div_(255), torch.from_numpy(labels.astype(np.int64)), shape, class_names)


def sha256_of(*parts: Images) -> str:
    """SHA-256 of the images and labels, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.images.contiguous().numpy())
        digest.update(part.labels.contiguous().numpy())
    return digest.hexdigest()


def balanced_subset(labels: Tensor, count: int, seed: int) -> Tensor:
    """Indices of ``count`` images, as many of each class or one more, drawn at random: int64 ``[count]``, ascending.

    Equal seeds give equal subsets, whatever torch's global random state. A smaller subset lies within a larger one.

    Args:
        labels: integers ``[n]``, on any device. The classes are those that occur; -1 (no label) is none.

    Raises:
        DataError: if ``count`` is less than the number of classes, or a class has too few images.
    """
    labels = labels.cpu()
    classes, sizes = labels[labels >= 0].unique(return_counts=True)
    if not len(classes) or count < len(classes):
        raise DataError(f"expected at least one of each of the {len(classes)} classes among the labels, found {count}")
    wanted = torch.full_like(sizes, count // len(classes))
    wanted[: count % len(classes)] += 1
    if (sizes < wanted).any():
        short = int((wanted - sizes).argmax())
        raise DataError(
            f"expected {wanted[short]} images of each class, to draw {count}, found {sizes[short]} of class "
            f"{classes[short]}: draw a smaller subset, or label only those that may be drawn"
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    drawn = [order[labels[order] == label][:each] for label, each in zip(classes, wanted, strict=True)]
    return torch.cat(drawn).sort().values


def split(images: Images, seed: int = 0) -> tuple[Images, Images]:
    """Images to train on and to test on, in a random order: a sixth of each class is for the test.

    Images without a label are for training, if there are others. Equal seeds give equal splits.
    """
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    labels = images.labels[order]
    is_test = torch.zeros(len(images), dtype=torch.bool)
    for label in labels.unique().tolist():
        if label >= 0 or int(labels.max()) < 0:
            places = (labels == label).nonzero().flatten()
            is_test[places[: max(len(places) // 6, min(1, len(places) - 1))]] = True
    if not is_test.any():
        raise DataError(f"expected two images of a class, to train and to test, found {len(images)} images: add some")
    return images[order[~is_test]], images[order[is_test]]
