"""Experiments on images of one's own: in color and of many sizes, of forty classes, half labeled."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets as sets
from PIL import Image, ImageDraw
from support import with_tiny_networks
from torch import nn

from aae_lib import __main__ as command_line
from aae_lib.data import load_arrays, load_folder, load_images
from aae_lib.errors import AaeError, DataError
from aae_lib.experiments import load_trained
from aae_lib.losses import unbounded_squared_error
from aae_lib.models import Autoencoder
from aae_lib.training import Adam, Recipe, train

STEPS = 3


def draw_folder(
    folder: Path, classes: int, each: int, side: tuple[int, int], ending: str, labeled: float = 1.0
) -> Path:
    """Pictures of polygons: a class is the number of corners and a color; those without a label lie beside."""
    random = np.random.default_rng(0)
    for number in range(classes * each):
        label = number % classes
        size = random.integers(*side, 2).tolist() if side[0] < side[1] else [side[0]] * 2
        picture = Image.new("RGB" if ending == "jpg" else "L", size, "white")
        color = "black" if ending == "png" else f"hsl({360 * label // classes}, 80%, 50%)"
        pen = ImageDraw.Draw(picture)
        place = (size[0] / 2, size[1] / 2, min(size) / 3)
        pen.regular_polygon(place, 3 + label % 8, rotation=9 * (label // 8), fill=color)
        place = folder / f"kind {label:02d}" if random.random() < labeled else folder
        place.mkdir(parents=True, exist_ok=True)
        picture.save(place / f"{number}.{ending}")
    return folder


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["aae_lib", *map(str, arguments)])
    command_line.main()


def test_color_photographs_of_many_sizes_are_trained_on_and_measured(tmp_path: Path, monkeypatch, capsys) -> None:
    with_tiny_networks(monkeypatch)
    monkeypatch.chdir(tmp_path)
    folder = draw_folder(tmp_path / "shapes", 4, 60, (20, 60), "jpg")
    call(monkeypatch, "train", "aae-gaussian", "--data", folder, "--size", 32, "--steps", STEPS, "--device", "cpu")
    said = capsys.readouterr().out
    assert "240 images of 32 x 32 color pixels" in said and "4 classes" in said and "reconstruction_error" in said
    weights = tmp_path / "runs" / "aae-gaussian-shapes-seed-0" / "aae-gaussian.safetensors.gz"
    header = load_trained(weights).header
    assert (header["shape"], header["class_names"][0]) == ([3, 32, 32], "kind 00")
    call(monkeypatch, "evaluate", "aae-gaussian", "--weights", weights, "--json")
    assert json.loads(capsys.readouterr().out)["metrics"]["reconstruction_error"] > 0
    more = next((folder / "kind 00").iterdir()).rename(folder / "kind 01" / "more.jpg")
    with pytest.raises(SystemExit, match="expected the images.*--data"):
        call(monkeypatch, "evaluate", "aae-gaussian", "--weights", weights)
    call(monkeypatch, "evaluate", "aae-gaussian", "--weights", weights, "--data", folder)
    more.unlink()
    (folder / "kind 00").rename(folder / "another")
    with pytest.raises(SystemExit, match="expected the images.*kind 00.*another.*--data"):
        call(monkeypatch, "evaluate", "aae-gaussian", "--weights", weights)
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(SystemExit, match="trained on images from .*shapes', where there are none now.*--data"):
        call(monkeypatch, "evaluate", "aae-gaussian", "--weights", weights)
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(SystemExit, match="one size.*--size"):
        call(monkeypatch, "train", "aae-gaussian", "--data", ".")


@pytest.mark.parametrize("name", ["supervised", "semi-100", "cluster-16", "reduce-2d-100", "labels-100", "m2-100"])
def test_forty_classes_of_64_pixels(name: str, tmp_path: Path, monkeypatch, capsys) -> None:
    with_tiny_networks(monkeypatch)
    labeled = 1.0 if name == "supervised" else 0.2
    folder = draw_folder(tmp_path / "glyphs", 40, 20, (64, 64), "png", labeled)
    options = ["--steps", STEPS, "--out", tmp_path / "run", "--set", "recipe.batch_size=50"]
    call(monkeypatch, "train", name, "--data", folder, "--invert", *options)
    said = capsys.readouterr().out
    assert "40 classes" in said and "wrote" in said
    if name in ("semi-100", "cluster-16", "reduce-2d-100"):
        assert "test_error_percent" in said
    weights = tmp_path / "run" / f"{name}.safetensors.gz"
    assert load_trained(weights).header["inverted"]
    call(monkeypatch, "evaluate", name, "--weights", weights)
    assert "inverted" not in said and "64 x 64 gray pixels" in capsys.readouterr().out


def test_images_without_any_label_are_clustered_and_reconstructed(tmp_path: Path, monkeypatch, capsys) -> None:
    with_tiny_networks(monkeypatch)
    np.savez(tmp_path / "own.npz", images=np.random.default_rng(0).integers(0, 256, (150, 16, 20), np.uint8))
    for name in ("aae-gaussian", "cluster-16", "reduce-2d-unsupervised"):
        call(monkeypatch, "train", name, "--data", tmp_path / "own.npz", "--steps", STEPS, "--out", tmp_path / name)
        said = capsys.readouterr().out
        assert "no labels" in said and "reconstruction_error" in said and "test_error" not in said
    for name in ("supervised", "semi-100"):
        with pytest.raises(SystemExit, match="label"):
            call(monkeypatch, "train", name, "--data", tmp_path / "own.npz", "--out", tmp_path / name)


FEW = {  # labels of the images to train on, and of those to test on; None: a part of the first
    "a dozen images": ([0, 1] * 6, None),
    "a class with one image": ([0] * 29 + [1], None),
    "a class that is missing in the test": ([0, 1, 2] * 20, [0, 1] * 10),
    "more classes than clusters": (list(range(30)) * 2, None),
}


@pytest.mark.parametrize("name", ["aae-gaussian", "supervised", "cluster-16", "reduce-2d-unsupervised", "labels-100"])
@pytest.mark.parametrize(("labels", "of_test"), FEW.values(), ids=FEW.keys())
def test_sets_that_are_small_or_uneven(name: str, labels: list, of_test: list | None, tmp_path, monkeypatch, capsys):
    with_tiny_networks(monkeypatch)
    random = np.random.default_rng(0)
    counts = {"x_train": len(labels)} | ({"x_test": len(of_test)} if of_test else {})
    arrays = {key: random.integers(0, 256, (count, 8, 8), np.uint8) for key, count in counts.items()}
    arrays |= {"y_train": labels} | ({"y_test": of_test} if of_test else {})
    arrays = arrays if of_test else {"images": arrays["x_train"], "labels": labels}
    np.savez(tmp_path / "own.npz", **arrays)
    options = ["--steps", STEPS, "--out", tmp_path / "run", "--set", "recipe.batch_size=4"]
    if name == "labels-100":  # of each class some images are to be labeled: here are not as many
        with pytest.raises(SystemExit, match="expected .* images of each class, to draw 100, found .*label"):
            call(monkeypatch, "train", name, "--data", tmp_path / "own.npz", *options)
    else:
        call(monkeypatch, "train", name, "--data", tmp_path / "own.npz", *options)
        assert "reconstruction_error" in capsys.readouterr().out


def test_training_on_the_same_folder_is_the_same_run(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "shapes", 3, 12, (20, 40), "jpg", 0.5)
    first, second = (load_images(folder, size=16) for _ in range(2))
    assert first.sha256 == second.sha256 and torch.equal(first.test.labels, second.test.labels)
    assert (first.test.labels >= 0).all() and first.classes == 3


def test_a_set_of_two_parts_is_not_left_in_the_order_of_its_classes(tmp_path: Path) -> None:
    labels = np.repeat([3, 5, 8], 40)
    arrays = {"x_train": np.zeros((120, 8, 8), np.uint8), "y_train": labels, "x_test": np.zeros((120, 8, 8), np.uint8)}
    np.savez(tmp_path / "own.npz", **arrays, y_test=list(labels))
    found = load_images(tmp_path / "own.npz")
    for part in (*found.train.hold_out(), found.test[:30]):
        assert set(part.labels.tolist()) == {0, 1, 2}
    assert torch.equal(load_arrays(arrays["x_train"], list(labels)).labels, found.train.labels.sort().values)


@pytest.mark.parametrize("columns", [4, 30])
def test_a_table_of_any_numbers_is_trained_on_with_the_loss_for_it(columns: int) -> None:
    table = load_arrays(np.random.default_rng(0).normal(size=(100, columns)))
    model = Autoencoder(nn.Linear(columns, 2), nn.Linear(2, columns), unbounded_squared_error)
    (report,) = train(model, table, Recipe({"reconstruction": Adam(1e-3)}, 2, batch_size=50), device="cpu")
    assert table.shape == () and report.step == 2
    bounded = Autoencoder(nn.Linear(columns, 2), nn.Linear(2, columns))
    with pytest.raises(DataError, match="must lie in.*loss for any numbers"):
        train(bounded, table, Recipe({"reconstruction": Adam(1e-3)}, 2, batch_size=50))


def test_integers_names_and_layouts_are_taken_as_they_are_meant() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 9, 3), np.uint8)
    pixels[0, 0, 0] = 255
    first = load_arrays(pixels, ["b", None, "a", float("nan")])
    assert (first.shape, first.class_names, first.labels.tolist()) == ((3, 8, 9), ("a", "b"), [1, -1, 0, -1])
    same = [pixels.transpose(0, 3, 1, 2), torch.from_numpy(pixels), pixels.tolist(), pixels / np.float32(255)]
    deep = (pixels.astype(np.uint16) * 257).astype(np.uint16)
    for each in (*same, deep):
        torch.testing.assert_close(load_arrays(each).images, first.images)
    masks = pixels[..., 0] > 128
    assert load_arrays(masks).images.equal(load_arrays(masks.astype(np.uint8)).images)
    transparent = load_arrays(np.concatenate([pixels, np.zeros_like(pixels[..., :1])], 3))
    assert (transparent.images == 1).all()
    assert load_arrays(masks, [3, 7, -1, 3]).class_names == ("3", "7")
    assert load_arrays(masks, [[3.0], [7.0], [float("nan")], [3.0]]).labels.tolist() == [0, 1, -1, 0]
    assert load_arrays(masks, invert=True).images.equal(1 - load_arrays(masks).images)
    assert load_arrays(pixels, size=4, gray=True).shape == (1, 4, 4)
    assert str(first) == "4 images of 8 x 9 color pixels from 0 to 1, 2 classes (a, b), 50 % without a label"


def test_pictures_of_all_kinds_are_read(tmp_path: Path) -> None:
    gray = (np.arange(64).reshape(8, 8) * 4).astype(np.uint8)
    Image.fromarray(gray).save(tmp_path / "8.png")
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(gray).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(gray).convert("RGBA").save(tmp_path / "alpha.webp", lossless=True)
    found = load_folder(tmp_path)
    assert found.shape == (1, 8, 8) and (found.labels == -1).all()
    expected = torch.from_numpy(gray).flatten().expand(4, -1) / 255
    torch.testing.assert_close(found.images, expected, atol=1e-3, rtol=0)


def test_sets_of_torchvision_that_are_files_are_taken_in_the_size_asked_for(tmp_path: Path, monkeypatch) -> None:
    class Photographs(sets.VisionDataset):
        classes = ["rose", "tulip"]

        def __init__(self, root: Path, split: str = "train", download: bool = False) -> None:
            self.count = {"train": 12, "test": 4}[split]

        def __len__(self) -> int:
            return self.count

        def __getitem__(self, index: int) -> tuple[Image.Image, int]:
            if index >= self.count:
                raise IndexError
            return Image.new("RGB", (20 + index, 30), "red"), index % 2

    monkeypatch.setattr(sets, "Photographs", Photographs, raising=False)
    found = load_images("Photographs", tmp_path, size=16)
    assert (found.shape, len(found.train), found.train.class_names) == ((3, 16, 16), 12, ("rose", "tulip"))
    with pytest.raises(AaeError, match="one size"):
        load_images("Photographs", tmp_path)
