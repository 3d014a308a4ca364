"""Images from files: a folder of pictures with a subfolder for each class, and arrays in .npz files."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from aae_lib.data.arrays import as_labels, resized
from aae_lib.data.images import Images
from aae_lib.errors import DataError, ShapeError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
IMAGE_KEYS = ("images", "x", "X", "data")
LABEL_KEYS = ("labels", "y", "Y", "targets")


def load_folder(
    path: str | Path,
    size: int | tuple[int, int] | None = None,
    gray: bool | None = None,
    invert: bool = False,
) -> Images:
    """The pictures of a folder: those in a subfolder are of the class of its name, those beside have no label.

    Pictures are PNG, JPEG, WebP or what else Pillow reads, of 8 or 16 bits, with a palette or without. Transparent ones
    lie on white; what the camera says of their orientation is heeded. Other files are left out. ``print`` of the result
    says what was made.

    Args:
        size, gray, invert: as for :func:`load_arrays`. Pictures in color stay so, unless all of them are gray.

    Raises:
        DataError: there is no such folder, or no picture in it or in one of its subfolders; a picture cannot be read.
        ShapeError: pictures of several sizes, and no size is asked for.
    """
    files, names = _files_in(expanded(path))
    pictures: list[Tensor] = []
    for file in files:
        picture = resized(read_picture(file)[None], size, None, False)[0]
        if pictures and picture.shape != pictures[0].shape:
            (_, *first), (_, *other) = pictures[0].shape, picture.shape
            raise ShapeError(
                f"expected pictures of one size, found {first[0]} x {first[1]} ({files[0].name}) and {other[0]} x "
                f"{other[1]} ({file.name}): ask for one with size=32 or --size 32"
            )
        pictures.append(picture)
    together = torch.stack(pictures)
    if gray is None:
        gray = all(torch.equal(picture[0], picture[1]) and torch.equal(picture[0], picture[2]) for picture in pictures)
    together = resized(together, None, gray or None, invert)
    labels, class_names = as_labels(names, len(files))
    return Images(together.flatten(1), labels, tuple(together.shape[1:]), class_names)


def expanded(path: str | Path) -> Path:
    """The path, with ~ for the home of a user; a DataError if there can be none such."""
    try:
        found = Path(path).expanduser()
        found.exists()
        return found
    except (RuntimeError, OSError) as error:
        raise DataError(f"expected a path, found {str(path)!r:.200} ({str(error):.80}): name another one") from error


def read_picture(path: str | Path | Image.Image) -> Tensor:
    """A picture as color on white, float32 ``[3, height, width]`` in [0, 1]; a DataError if it cannot be read."""
    try:
        with nullcontext(path) if isinstance(path, Image.Image) else Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith(("I", "F")):  # Pillow would clip 16 bits to 8
                numbers = np.asarray(picture, np.float32)
                numbers = numbers / 65_535 if picture.mode.startswith("I") else numbers
                if not (numbers.min() >= 0 and numbers.max() <= 1):
                    raise ValueError(f"numbers from {numbers.min():g} to {numbers.max():g}, not in [0, 1]")
                return torch.from_numpy(numbers).expand(3, -1, -1)
            picture = picture.convert("RGBA")
            paper = Image.new("RGBA", picture.size, "white")
            color = np.asarray(Image.alpha_composite(paper, picture).convert("RGB"), np.float32) / 255
            return torch.from_numpy(color).movedim(2, 0)
    except (OSError, ValueError, AttributeError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: expected a picture, found '{str(error):.120}': repair or remove it") from error


def load_npz(path: str | Path, part: str = "") -> tuple[np.ndarray, np.ndarray | None] | None:
    """The arrays of images and labels in a .npz file: ``images`` and ``labels``, or ``x`` and ``y``.

    Args:
        part: "train" or "test": those of that part, ``train_images`` or ``x_train``; None if there are none such.

    Raises:
        DataError: the file cannot be read, or has no such arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = [name for keys in (IMAGE_KEYS, LABEL_KEYS) for name in [_key(stored.files, keys, part)]]
            if found[0] is None:
                if part:
                    return None
                names = ", ".join(stored.files[:8]) or "nothing"
                raise DataError(f"{path}: expected the arrays images and labels, found {names}: rename them")
            images, labels = (None if name is None else stored[name] for name in found)
            return images, labels
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise DataError(
            f"{path}: expected an .npz file of plain arrays, found '{str(error):.120}': write it by numpy.savez(path, "
            "images=..., labels=...), names as an array of strings"
        ) from error


def _key(present: list[str], keys: tuple[str, ...], part: str) -> str | None:
    spellings = [form for key in keys for form in ((f"{part}_{key}", f"{key}_{part}") if part else (key,))]
    return next((name for name in spellings if name in present), None)


def _files_in(folder: Path) -> tuple[list[Path], list[str | None]]:
    """The pictures in a folder and its subfolders, in the order of their names, and the name of each one's class."""
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of pictures, found {'a file' if folder.exists() else 'nothing'}")
    found: list[tuple[Path, str | None]] = [(file, None) for file in _pictures(folder)]
    for each in sorted(_visible(folder)):
        if each.is_dir():
            files = list(_pictures(each))
            if not files:
                inside = "folders" if any(inner.is_dir() for inner in _visible(each)) else "none"
                raise DataError(
                    f"{each}: expected pictures in each subfolder, one of which is a class, found {inside}: remove it, "
                    "or name the folder whose subfolders are the classes"
                )
            found += [(file, each.name) for file in files]
    if not found:
        raise DataError(f"{folder}: expected pictures ({' '.join(ENDINGS[:4])} ...), found none: name their folder")
    files, names = zip(*found, strict=True)
    return list(files), list(names)


def _pictures(folder: Path) -> Iterator[Path]:
    return (each for each in sorted(_visible(folder)) if each.suffix.lower() in ENDINGS and each.is_file())


def _visible(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder) if not name.startswith((".", "__MACOSX"))]
    except OSError as error:
        raise DataError(f"{folder}: expected a folder that can be read, found '{error.strerror}'") from error
