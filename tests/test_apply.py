"""Trained models used on pictures: shipped weights and small models, on digits and shapes that the tests draw."""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from support import tiny

from aae_lib import __main__ as command_line
from aae_lib.errors import AaeError, DataError, PriorError, SettingError, ShapeError, StorageError, TrainingError
from aae_lib.experiments import load_trained
from aae_lib.experiments.apply import encode_pictures, load_pictures, sample_images, walk_between

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> list[Path]:
    """A three, dark on light and off the center; a seven, light on dark; and a zero in color."""
    folder = tmp_path_factory.mktemp("drawn")
    font = ImageFont.truetype(str(FONT), 90)
    for digit, ink, paper in (("3", "black", "white"), ("7", "white", "navy"), ("0", "#722", "#eee")):
        picture = Image.new("RGB", (150, 200), paper)
        ImageDraw.Draw(picture).text((60, 70), digit, font=font, fill=ink)
        picture.save(folder / f"{digit}.png")
    return [folder / f"{digit}.png" for digit in "370"]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["aae_lib", *map(str, arguments)])
    command_line.main()


@pytest.mark.parametrize(
    "name, is_certain", [("semi-100-augmented", True), ("digit-classifier", True), ("reduce-2d-100", True),
                         ("supervised", False), ("aae-mixture-labels", False)],
)  # fmt: skip
def test_digits_of_any_ink_are_read(name: str, is_certain: bool, drawn: list[Path]) -> None:
    found = encode_pictures(load_trained(name), drawn)
    assert found.images.labels.tolist() == [3, 7, 0]
    assert (found.probabilities is not None) == is_certain and (not is_certain or (found.probabilities > 0.9).all())
    assert (found.codes.shape[1] == 0) == (name == "digit-classifier") == (found.reconstructions is None)


@pytest.mark.parametrize("name", ["aae-gaussian", "supervised", "age", "vae-gaussian", "cluster-16"])
def test_codes_decode_to_what_is_like_the_picture(name: str, drawn: list[Path]) -> None:
    trained = load_trained(name)
    found = encode_pictures(trained, drawn)
    with torch.no_grad():
        assert torch.equal(trained.model.decode(found.codes), found.reconstructions)
    errors = torch.cdist(found.reconstructions, found.images.images)
    assert errors.argmin(1).tolist() == [0, 1, 2]
    assert torch.equal(encode_pictures(trained, drawn).codes, found.codes)
    ends = [drawn[0], str(drawn[2])]
    walk, expected = walk_between(trained, *ends, 7), encode_pictures(trained, ends).reconstructions
    assert walk.shape == (7, 784) and torch.allclose(walk[[0, -1]], expected, atol=1e-4)


def test_clusters_are_no_classes(drawn: list[Path]) -> None:
    found = encode_pictures(load_trained("cluster-16"), drawn)
    assert all(found.images.name_of(label).startswith("cluster ") for label in found.images.labels.tolist())
    assert encode_pictures(load_trained("aae-gaussian"), drawn).images.labels.tolist() == [-1, -1, -1]


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("shape", [(3, 20, 30), (1, 20, 30)], ids=str)
def test_pictures_come_in_the_shape_and_the_light_of_the_training(shape, inverted: bool, tmp_path: Path) -> None:
    header = {"data_name": "own", "shape": list(shape), "class_names": ["a", "b"], "inverted": inverted}
    trained = replace(load_trained("vae-gaussian"), model=tiny("variational", shape).eval(), header=header)
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30] = 255
    Image.fromarray(pixels).save(tmp_path / "half.png")
    images = load_pictures(trained, [tmp_path / "half.png"])
    bright, dark = (images.images.unflatten(1, shape)[..., part].mean() for part in (slice(0, 14), slice(16, 30)))
    assert (images.shape, images.class_names, bright > dark) == (shape, ("a", "b"), not inverted)
    assert encode_pictures(trained, [tmp_path / "half.png"]).reconstructions.shape == images.images.shape
    assert sample_images(trained, 4).shape == (2, 2, images.images.shape[1])


def test_each_label_and_each_cluster_has_a_row_of_samples() -> None:
    for name, rows in (("supervised", 10), ("cluster-16", 16), ("reduce-2d-100", 10), ("aae-gaussian", 5)):
        samples = sample_images(load_trained(name), 25)
        assert samples.shape[0] == rows and 25 <= samples.shape[0] * samples.shape[1] < 25 + rows
        assert torch.equal(samples, sample_images(load_trained(name), 25))
        assert not torch.equal(samples, sample_images(load_trained(name), 25, seed=1))
    samples = sample_images(load_trained("reduce-2d-100"), 50).flatten(0, 1)
    read = load_trained("digit-classifier").model.classify(samples).argmax(1)
    assert (read == torch.arange(10).repeat_interleave(5)).float().mean() > 0.8


def test_the_commands_write_tables_and_pictures(drawn: list[Path], tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    call(monkeypatch, "encode", "supervised", *drawn)
    with open("encoded/codes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["3", "7", "0"] and rows[0]["file"] == str(drawn[0])
    assert rows[0]["y_3"] == "1" and len(rows[0]) == 3 + 10 + 15
    assert Image.open("encoded/pictures.png").size == (2 * 84, 3 * 84)
    call(monkeypatch, "encode", "digit-classifier", drawn[0], "--out", "new/folder")
    assert [path.name for path in Path("new/folder").iterdir()] == ["codes.csv"]
    call(monkeypatch, "sample", "aae-gaussian", "--count", 12, "--out", "new/grid.png")
    assert Image.open("new/grid.png").size == (4 * 84, 3 * 84)
    call(monkeypatch, "sample", "age", "--from", drawn[0], "--to", drawn[1])
    walk = Image.open("walk.gif")
    assert walk.size == (84, 84) and walk.n_frames > 60 and walk.info["loop"] == 0
    assert "wrote walk.gif" in capsys.readouterr().out


def test_bad_inputs_are_named(drawn: list[Path], tmp_path: Path, monkeypatch) -> None:
    trained = load_trained("aae-gaussian")
    (tmp_path / "no.png").write_text("no picture")
    Image.new("L", (50, 50), "white").save(tmp_path / "empty.png")
    table = replace(trained, header=trained.header | {"shape": []})
    broken = load_trained("aae-gaussian")
    next(broken.model.decoder.parameters()).data.fill_(torch.nan)
    for error, named, wrong in (
        (DataError, "no.png", lambda: encode_pictures(trained, [drawn[0], tmp_path / "no.png"])),
        (DataError, "missing.png", lambda: encode_pictures(trained, [tmp_path / "missing.png"])),
        (DataError, "picture", lambda: encode_pictures(trained, [tmp_path])),
        (DataError, "none", lambda: encode_pictures(trained, [])),
        (ShapeError, "empty.png.*ink", lambda: encode_pictures(trained, [tmp_path / "empty.png"])),
        (ShapeError, "table", lambda: encode_pictures(table, drawn)),
        (ShapeError, "table", lambda: sample_images(table)),
        (StorageError, "not finite", lambda: encode_pictures(broken, drawn)),
        (StorageError, "not finite", lambda: sample_images(broken)),
        (AaeError, "no encoder", lambda: encode_pictures(load_trained("dcgan"), drawn)),
        (AaeError, "decode", lambda: walk_between(load_trained("digit-classifier"), *drawn[:2])),
        (PriorError, "no prior", lambda: sample_images(load_trained("autoencoder"))),
        (TrainingError, "seed", lambda: sample_images(trained, seed=-1)),
        *((SettingError, "count", lambda count=count: sample_images(trained, count)) for count in (0, -1, 10**9, 2.5)),
    ):
        with pytest.raises(error, match=named):
            wrong()
    (tmp_path / "file").write_text("")
    for named, *arguments in (
        ("aae-gaussian", "encode", "aae-gausian", *drawn),
        ("no file", "encode", "aae-gaussian", drawn[0], "--weights", tmp_path / "nothing.safetensors"),
        ("--out", "encode", "aae-gaussian", drawn[0], "--out", tmp_path / "file" / "out"),
        ("--to", "sample", "aae-gaussian", "--from", drawn[0]),
        (r"\.gif", "sample", "aae-gaussian", "--from", drawn[0], "--to", drawn[1], "--out", "walk.png"),
        (r"\.png", "sample", "aae-gaussian", "--out", "samples.jpg"),
        ("--out", "sample", "aae-gaussian", "--out", tmp_path / "file" / "samples.png"),
    ):
        with pytest.raises(SystemExit, match=named) as found:
            call(monkeypatch, *arguments)
        assert str(found.value.code).startswith("error: ")
