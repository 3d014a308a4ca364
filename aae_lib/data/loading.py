"""The door to all images: sets by their name, folders of pictures and .npz files."""

from dataclasses import replace
from pathlib import Path

import torch

from aae_lib.data.arrays import load_arrays, resized, sides_of
from aae_lib.data.files import expanded, load_folder, load_npz
from aae_lib.data.images import DataSet, Images, sha256_of, split
from aae_lib.data.mnist import load_mnist, load_sample
from aae_lib.data.torchvision_sets import SUCH_SETS, is_set, load_set
from aae_lib.errors import DataError, ShapeError, UnknownNameError
from aae_lib.shapes import in_words, unflattened


def load_images(
    name: str | Path,
    folder: str | Path | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    gray: bool | None = None,
    invert: bool = False,
) -> DataSet:
    """Images to train on and to test on, by the name of a set, or from a folder or an .npz file.

    Args:
        name: "MNIST", "MNIST-sample", or a class of torchvision.datasets ("FashionMNIST", "SVHN", "CIFAR10" ...), if
            need be with one of its splits: "EMNIST/letters". Or the path of a folder of pictures
            (:func:`load_folder`) or of an .npz file (:func:`~aae_lib.data.files.load_npz`). Of a folder with the
            subfolders ``train`` and ``test``, and of a file with such arrays, these are the two parts; else a sixth of
            each class is for the test, always the same.
        folder: where the images of a set lie or are downloaded to, as for :func:`load_mnist`.
        size, gray, invert: as for :func:`load_arrays`; by default the images stay as they are.

    Raises:
        UnknownNameError: there is no such set and no such path, or the set's name lacks a split.
        DataError: the download fails, or the images cannot be read or used.
        ShapeError: images of several sizes, and no size is asked for; or a size that cannot be.
    """
    sides_of(size)  # what cannot be is better found out before a download
    path = expanded(name) if str(name).strip() else Path("no name")
    if name in ("MNIST", "MNIST-sample"):
        found = load_mnist(folder) if name == "MNIST" else load_sample()
    elif isinstance(name, str) and is_set(name):
        found = load_set(name, folder, size)
    elif path.suffix == ".npz" and path.is_file():
        found = _of_parts(path, *_npz_parts(path))
    elif path.is_dir():
        return _of_parts(path, *_folder_parts(path, size, gray, invert), inverted=invert)
    else:
        raise UnknownNameError(
            f"expected a data set of torchvision, a folder of pictures or an .npz file, found {str(name)!r:.200}, "
            f"which is none. {SUCH_SETS}"
        )
    return _as_asked(found, size, gray, invert)


def _folder_parts(path: Path, *how: object) -> tuple[Images, ...]:
    """The pictures of a folder, or those to train on and those to test on."""
    if not ((path / "train").is_dir() and (path / "test").is_dir()):
        return (load_folder(path, *how),)
    return load_folder(path / "train", *how), load_folder(path / "test", *how)


def _npz_parts(path: Path) -> tuple[Images, ...]:
    arrays = [load_npz(path, part) for part in ("train", "test")]
    if None in arrays:
        arrays = [load_npz(path)]
    return tuple(load_arrays(*each) for each in arrays)


def _of_parts(path: Path, train: Images, test: Images | None = None, inverted: bool = False) -> DataSet:
    """A set of own images: of one part that is split, or of two."""
    if test is None:
        whole = str(train)
        train, test = split(train)
    else:
        # A folder is read class by class, but of images the first or the last ones are taken as a sample of all.
        train, test = map(_shuffled, _with_one_numbering(train, test))
        test = test.labeled() if len(test.labeled()) else test
        whole = str(train)
    if train.shape != test.shape:
        shapes = f"expected test images of {in_words(train.shape)}, found {in_words(test.shape)}"
        raise ShapeError(f"{shapes}: give a size, or gray")
    source = f"{path.name}: {whole}; {len(train):,} to train, {len(test):,} to test"
    return DataSet(
        train, test, source, sha256_of(train, test), str(path.resolve()), train.shape, len(train.class_names), inverted
    )


def _shuffled(images: Images) -> Images:
    """The images in another order, the same one at each call."""
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))]


def _with_one_numbering(train: Images, test: Images) -> tuple[Images, Images]:
    """Both parts with the classes of the first."""
    if unknown := set(test.class_names) - set(train.class_names):
        others = ", ".join(sorted(unknown)[:3])
        raise DataError(
            f"expected test images of the classes to train on, found {others} as well: rename or remove them"
        )
    numbers = torch.tensor([train.class_names.index(name) for name in test.class_names] + [-1])
    return train, replace(test, labels=numbers[test.labels], class_names=train.class_names)


def _as_asked(found: DataSet, size: int | tuple[int, int] | None, gray: bool | None, invert: bool) -> DataSet:
    """The same images in this size, gray or in color, and inverted."""
    if size is None and gray is None and not invert:
        return found
    if not found.shape:
        raise ShapeError(f"{found.name}: expected pictures, found a table: leave out size, gray and invert")

    def changed(part: Images) -> Images:
        pictures = resized(unflattened(part.images, part.shape), size, gray, invert)
        return replace(part, images=pictures.flatten(1).contiguous(), shape=tuple(pictures.shape[1:]))

    train, test = changed(found.train), changed(found.test)
    here = f"; here as {in_words(train.shape)}" * (train.shape != found.shape) + ", inverted" * invert
    return replace(found, train=train, test=test, source=found.source + here, shape=train.shape, inverted=invert)
