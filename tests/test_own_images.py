"""Experiments on images of one's own: in color and of many sizes, of forty classes, half labeled."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from support import with_tiny_networks

from aae_lib import __main__ as command_line
from aae_lib.data import load_images
from aae_lib.experiments import load_trained

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
    (folder / "kind 00").rename(folder / "another")
    with pytest.raises(SystemExit, match="expected the classes.*kind 00"):
        call(monkeypatch, "evaluate", "aae-gaussian", "--weights", weights)
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(SystemExit, match="trained on it.*--data"):
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


def test_training_on_the_same_folder_is_the_same_run(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "shapes", 3, 12, (20, 40), "jpg", 0.5)
    first, second = (load_images(folder, size=16) for _ in range(2))
    assert first.sha256 == second.sha256 and torch.equal(first.test.labels, second.test.labels)
    assert (first.test.labels >= 0).all() and first.classes == 3
