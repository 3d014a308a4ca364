"""Bad images, labels and weights, by their kind, through each door: arrays, files, training, explorers, commands.

Each ends in one sentence that says what was expected and found, never in silence and never in an error of PyTorch.
"""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import sets_of, tiny

from aae_lib import __main__ as command_line
from aae_lib.data import DataSet, Images, load_arrays, load_folder, load_images
from aae_lib.data.points import draw_points
from aae_lib.errors import AaeError, StorageError
from aae_lib.experiments import examine, find, load_trained
from aae_lib.explore import GameExplorer, LatentExplorer, ModelsExplorer, TurningMap
from aae_lib.storage import write_file
from aae_lib.training import Adam, Recipe, train

COUNT = 30
PIXELS = torch.rand(COUNT, 784, generator=torch.Generator().manual_seed(0))
PIXELS[0, :2] = torch.tensor([0.0, 1.0])
LABELS = torch.arange(COUNT) % 10
PICTURES = PIXELS.view(COUNT, 28, 28).numpy()
ENDLESS = float("inf")


def with_one(value: float) -> torch.Tensor:
    images = PIXELS.clone()
    images[7, 100] = value
    return images


ARRAYS = {
    "bytes as floats": ((255 * PICTURES, None), {}, "0 to 255.*divide by 255"),
    "from -1 to 1": ((2 * PICTURES - 1, None), {}, r"-1 to 1.*\+ 1"),
    "standardized": ((3 * (PICTURES - 0.5) / 0.3, None), {}, "scale them"),
    "divided twice": ((PICTURES / 255, None), {}, "twice"),
    "NaN": ((with_one(float("nan")).view(-1, 28, 28), None), {}, "image 7 holds NaN"),
    "infinite": ((with_one(-ENDLESS).view(-1, 28, 28), None), {}, "image 7 holds an infinite"),
    "a table with NaN": ((with_one(float("nan")), None), {}, "image 7 holds NaN"),
    "negative integers": ((np.full((4, 8, 8), -5), None), {}, "found -5"),
    "integers above 255": ((np.full((4, 8, 8), 300), None), {}, "found 300"),
    "complex": ((PICTURES.astype(complex), None), {}, "real numbers"),
    "text": ((["a", "b"], None), {}, "numbers"),
    "a number": ((3, None), {}, "found a int"),
    "None": ((None, None), {}, "found a NoneType"),
    "nothing": (([], None), {}, "at least one image"),
    "ragged": (([np.zeros((4, 4)), np.zeros((5, 4))], None), {}, "one size"),
    "one dimension": ((np.zeros(9), None), {}, r"found \[9\]"),
    "five dimensions": ((np.zeros((2, 1, 3, 4, 4)), None), {}, r"found \[2, 1, 3, 4, 4\]"),
    "seven channels": ((np.zeros((2, 7, 8, 8)), None), {}, "channels"),
    "channels on both sides": ((np.zeros((2, 3, 8, 3)), None), {}, "channels"),
    "no pixels": ((np.zeros((2, 0, 8)), None), {}, "pixels"),
    "another shape": ((PIXELS, None), {"shape": (1, 27, 28)}, "784"),
    "a size of 0": ((PICTURES, None), {"size": 0}, "size"),
    "a size of three": ((PICTURES, None), {"size": (3, 28, 28)}, "size"),
    "a size in text": ((PICTURES, None), {"size": "28"}, "size"),
    "a table inverted": ((PIXELS, None), {"invert": True}, "table"),
    "too few labels": ((PICTURES, LABELS[1:]), {}, "30 labels.*found 29"),
    "one-hot labels": ((PICTURES, np.eye(10)[LABELS]), {}, "argmax"),
    "broken labels": ((PICTURES, LABELS + 0.5), {}, "found 0.5"),
    "labels of -100": ((PICTURES, torch.where(LABELS == 3, -100, LABELS)), {}, "found -100"),
    "infinite labels": ((PICTURES, [ENDLESS] * COUNT), {}, "found inf"),
    "names and numbers": ((PICTURES, ["a", *range(1, COUNT)]), {}, "found both"),
    "sets as labels": ((PICTURES, [{1}] * COUNT), {}, r"found \{1\}"),
}


@pytest.mark.parametrize(("arguments", "how", "words"), ARRAYS.values(), ids=ARRAYS.keys())
def test_arrays(arguments, how, words: str) -> None:
    with pytest.raises(AaeError, match=words):
        load_arrays(*arguments, **how)


MADE = {
    "numpy": ((PICTURES.reshape(COUNT, -1), LABELS), "load_arrays"),
    "labels in a list": ((PIXELS, LABELS.tolist()), "load_arrays"),
    "float64": ((PIXELS.double(), LABELS), "load_arrays"),
    "float labels": ((PIXELS, LABELS.float()), "load_arrays"),
    "pictures": ((PIXELS.view(-1, 1, 28, 28), LABELS), "load_arrays"),
    "too few labels": ((PIXELS, LABELS[1:]), "label for each"),
    "another shape": ((PIXELS, LABELS, (3, 28, 28)), "784"),
}


@pytest.mark.parametrize(("arguments", "words"), MADE.values(), ids=MADE.keys())
def test_images_made_by_hand(arguments, words: str) -> None:
    with pytest.raises(AaeError, match=f"expected.*found.*{words}"):
        Images(*arguments)


USED = {  # what training, measuring and the explorers refuse alike
    "bytes": (Images(255 * PIXELS, LABELS), "0 to 255.*divide by 255"),
    "from -1 to 1": (Images(2 * PIXELS - 1, LABELS), r"\+ 1"),
    "divided twice": (Images(PIXELS / 255, LABELS), "twice"),
    "NaN": (Images(with_one(float("nan")), LABELS), "image 7 holds NaN"),
    "infinite": (Images(with_one(ENDLESS), LABELS), "image 7 holds an infinite"),
    "other size": (Images(torch.rand(COUNT, 4096), LABELS), "takes images of 784.*64 x 64 gray"),
    "color": (Images(torch.rand(COUNT, 3072), LABELS), "takes images of 784.*32 x 32 color"),
    "a table": (Images(torch.rand(COUNT, 30), LABELS), "784.*30 numbers"),
    "none": (Images(PIXELS[:0], LABELS[:0]), "at least"),
    "labels of -100": (Images(PIXELS, LABELS - 100), "found -100"),
    "a tensor": (PIXELS, "found a Tensor.*load_arrays"),
    "an array": (PICTURES, "found a ndarray.*load_arrays"),
    "a data set": (
        DataSet(Images(PIXELS, LABELS), Images(PIXELS, LABELS), "", "", "", (1, 28, 28), 10), "found a DataSet.*train"
    ),
}  # fmt: skip


@pytest.mark.parametrize("door", ["train", "evaluate", "explore"])
@pytest.mark.parametrize(("images", "words"), USED.values(), ids=USED.keys())
def test_images_that_a_model_cannot_use(images, words: str, door: str) -> None:
    model = tiny("adversarial")
    with pytest.raises(AaeError, match=words):
        if door == "explore":
            LatentExplorer(model, images)
        elif door == "evaluate":
            examine(find("aae-gaussian"), model, images, {})
        else:
            train(model, images, Recipe(dict.fromkeys(model.moves, Adam(1e-3)), 2, batch_size=10))


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
@pytest.mark.parametrize("door", ["train", "evaluate", "explore"])
def test_models_of_another_type_of_number(door: str, kind: torch.dtype) -> None:
    model, images = tiny("adversarial").to(kind), Images(PIXELS, LABELS)
    doors = {
        "train": lambda: train(model, images, Recipe(dict.fromkeys(model.moves, Adam(1e-3)), 2, batch_size=10)),
        "evaluate": lambda: examine(find("aae-gaussian"), model, images, {}),
        "explore": lambda: LatentExplorer(model, images),
    }
    with pytest.raises(AaeError, match=r"torch.float32.*torch.float(64|16).*model.float\(\)"):
        doors[door]()


TOLD = {  # to models that are told labels
    "a class too many": (torch.where(LABELS == 9, 10, LABELS), "from 0 to 9.*found 10"),
    "26 classes": (torch.arange(COUNT) % 26, "from 0 to 9.*found 25"),
    "some without": (torch.where(LABELS == 9, -1, LABELS), "3 of 30 without.*unlabeled_and_labeled"),
    "all without": (torch.full_like(LABELS, -1), "30 of 30 without"),
    "labels of -100": (torch.where(LABELS == 3, -100, LABELS), "found -100"),
}


@pytest.mark.parametrize("name", ["supervised", "semi-supervised", "M2", "M1 + M2", "label-informed", "classifier"])
@pytest.mark.parametrize(("labels", "words"), TOLD.values(), ids=TOLD.keys())
def test_labels_that_a_model_cannot_use(labels, words: str, name: str) -> None:
    model, images = tiny(name), Images(PIXELS, labels)
    unlabeled = images if name == "supervised" else images.without_labels()
    with pytest.raises(AaeError, match=words):
        recipe = Recipe(dict.fromkeys(model.moves, Adam(1e-3)), 2, batch_size=10)
        train(model, sets_of(model, unlabeled, images), recipe)


@pytest.mark.parametrize("name", ["supervised", "semi-100", "labels-100", "m2-100", "aae-mixture-labels"])
def test_labels_of_other_classes_are_not_counted_as_errors(name: str) -> None:
    system = {"semi-100": "semi-supervised", "labels-100": "classifier", "m2-100": "M2"}.get(name, "label-informed")
    model, images = tiny("supervised" if name == "supervised" else system), Images(PIXELS, torch.arange(COUNT) % 26)
    with pytest.raises(AaeError, match="from 0 to 9.*found 25"):
        examine(find(name), model, images, {})


def test_labels_of_other_classes_are_not_explored_as_the_last_one() -> None:
    with pytest.raises(AaeError, match="from 0 to 9.*found 25"):
        LatentExplorer(tiny("supervised"), Images(PIXELS, torch.arange(COUNT) % 26))


EXPLORED = {
    "no model": (lambda _: LatentExplorer(torch.nn.Linear(2, 2)), "Model with a decoder, found a Linear"),
    "a file of weights": (lambda _: LatentExplorer("aae-gaussian"), "Model with a decoder, found a str"),
    "a classifier": (lambda _: LatentExplorer(tiny("classifier")), "decoder, found a Classifier"),
    "models without titles": (lambda _: ModelsExplorer([tiny("adversarial")]), "by their titles"),
    "a curve of one axis": (lambda _: ModelsExplorer({"a": tiny("adversarial")}, curve={"x": [1]}), "two quantities"),
    "a short curve": (lambda _: ModelsExplorer({"a": tiny("adversarial")}, curve={"x": [1], "y": []}), "y must be 1"),
    "a map of a plane": (lambda _: TurningMap(PIXELS[:, :2], LABELS, PIXELS[:, :3]), r"found \[30, 2\]"),
    "a map in lists": (lambda _: TurningMap([[1, 2, 3]], [1], [[1, 2, 3]]), "expected tensors"),
    "a game of no model": (lambda _: GameExplorer(torch.nn.Linear(2, 2)), "Linear"),
    "a game of pictures": (lambda _: GameExplorer(tiny("GAN"), Images(PIXELS, LABELS), Recipe({}, 1)), "optimizers"),
    "a game without a recipe": (lambda _: GameExplorer(tiny("adversarial"), Images(PIXELS, LABELS)), "Recipe"),
    "a game of a list": (lambda _: GameExplorer(images=[[0.0, 1.0]]), "found a list"),
    "a point in text": (lambda explorer: setattr(explorer, "z", "12"), "'z'"),
    "a point of three": (lambda explorer: setattr(explorer, "z", (1.0, 2.0, 3.0)), "'z'"),
    "a way that is none": (lambda explorer: setattr(explorer, "way", "detour"), "'way'.*walk"),
    "a layer that is none": (lambda explorer: setattr(explorer, "layers", ["code"]), "'layers'"),
    "a label in text": (lambda explorer: setattr(explorer, "label", "one"), "'label'"),
    "one pin": (lambda explorer: setattr(explorer, "pins", [1]), "'pins'"),
    "a pin of three": (lambda explorer: setattr(explorer, "pins", [[1.0, 2.0, 3.0], None]), "a pin must be 2"),
    "a pin at no image": (lambda explorer: setattr(explorer, "pins", [30, None]), "0 to 29"),
    "a code in text": (lambda explorer: setattr(explorer, "code", "far"), "a code must be 2"),
    "a share in text": (lambda explorer: explorer.walk("half"), "a share of the way"),
    "no file": (lambda explorer: explorer.add("nothing.png"), "expected a picture"),
    "no picture": (lambda explorer: explorer.add(None), "expected a picture"),
    "an image by its name": (lambda explorer: explorer.encode_digit("7"), "0 to 29"),
}


@pytest.mark.parametrize(("act", "words"), EXPLORED.values(), ids=EXPLORED.keys())
def test_explorers(act, words: str) -> None:
    explorer = LatentExplorer(tiny("adversarial"), Images(PIXELS, LABELS))
    with pytest.raises(AaeError, match=words):
        act(explorer)


@pytest.mark.parametrize("strokes", [[], [[]], [[(0.1,)]], [[(0.1, float("nan"))]], [[(2.0, 0.5)]], 3, [["ab"]]])
def test_strokes(strokes) -> None:
    with pytest.raises(AaeError, match="expected strokes"):
        draw_points(strokes)


def picture(path: Path, size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(path)
    return path


def cut(path: Path) -> None:
    content = picture(path, (64, 64)).read_bytes()
    path.write_bytes(content[: len(content) // 2])


FOLDERS = {
    "nothing": (lambda folder: None, "nothing"),
    "empty": (lambda folder: folder.mkdir(), "found none"),
    "a file": (lambda folder: picture(folder.with_suffix(".png")).rename(folder), "a file"),
    "no pictures": (lambda folder: (folder.mkdir(), (folder / "notes.txt").write_text("x")), "found none"),
    "an empty class": (lambda folder: (picture(folder / "a" / "1.png"), (folder / "b").mkdir()), "b: expected pict"),
    "folders in folders": (lambda folder: picture(folder / "a" / "b" / "1.png"), "found folders"),
    "two sizes": (lambda folder: (picture(folder / "1.png"), picture(folder / "2.png", (9, 8))), "8 x 8.*--size 32"),
    "half a picture": (lambda folder: cut(folder / "1.png"), "1.png: expected a picture"),
    "text as a picture": (lambda folder: picture(folder / "1.png").write_text("no"), "1.png: expected a picture"),
    "an empty picture": (lambda folder: picture(folder / "1.jpg").write_bytes(b""), "1.jpg: expected a picture"),
}


@pytest.mark.parametrize(("make", "words"), FOLDERS.values(), ids=FOLDERS.keys())
def test_folders(make, words: str, tmp_path: Path) -> None:
    make(tmp_path / "own")
    with pytest.raises(AaeError, match=words):
        load_folder(tmp_path / "own")


ARCHIVES = {
    "other names": (lambda path: np.savez(path, a=PICTURES), "found a"),
    "pickled names": (lambda path: np.savez(path, images=PICTURES, labels=np.array([None])), "plain arrays"),
    "no archive": (lambda path: path.write_text("no"), "expected an .npz"),
    "packed": (lambda path: path.write_bytes(gzip.compress(b"no")), "expected an .npz"),
    "bytes as floats": (lambda path: np.savez(path, images=255 * PICTURES), "divide by 255"),
    "too few labels": (lambda path: np.savez(path, images=PICTURES, labels=LABELS[1:]), "found 29"),
    "one image": (lambda path: np.savez(path, images=PICTURES[:1]), "two images"),
    "a class for the test alone": (
        lambda path: np.savez(path, x_train=PICTURES, y_train=LABELS, x_test=PICTURES, y_test=LABELS + 1), "found 10"
    ),
    "other test images": (lambda path: np.savez(path, x_train=PICTURES, x_test=PICTURES[:, :20]), "20 x 28"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "words"), ARCHIVES.values(), ids=ARCHIVES.keys())
@pytest.mark.parametrize("door", ["load_images", "command line"])
def test_archives(make, words: str, door: str, tmp_path: Path, monkeypatch) -> None:
    make(tmp_path / "own.npz")
    monkeypatch.chdir(tmp_path)
    if door == "load_images":
        with pytest.raises(AaeError, match=words):
            load_images(tmp_path / "own.npz")
    else:
        assert words.split(".*")[0] in called(monkeypatch, "train", "aae-gaussian", "--data", "own.npz")


def test_a_table_is_no_picture(tmp_path: Path, monkeypatch) -> None:
    np.savez(tmp_path / "own.npz", images=PIXELS)
    assert load_images(tmp_path / "own.npz").shape == ()
    monkeypatch.chdir(tmp_path)
    assert "takes pictures, found a table" in called(monkeypatch, "train", "aae-gaussian", "--data", "own.npz")


def called(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """The one line that the command line ends in; nothing is made on the way."""
    monkeypatch.setattr("sys.argv", ["aae_lib", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        command_line.main()
    assert not Path("runs").exists() and str(stopped.value).startswith("error: ")
    return str(stopped.value)


COMMANDS = {
    "no such name": (["--data", "Nonsense"], "a folder of pictures or an .npz file"),
    "no such path": (["--data", "../../x"], "a folder of pictures or an .npz file"),
    "no name": (["--data", ""], "a folder of pictures or an .npz file"),
    "no split": (["--data", "EMNIST"], "EMNIST/letters"),
    "no such split": (["--data", "EMNIST/nonsense"], "EMNIST/letters"),
    "no such user": (["--data", "~nosuchuser/pictures"], "expected a path"),
    "a name beyond all names": (["--data", "a" * 5000], "expected a path"),
    "a size of 0": (["--data", "MNIST-sample", "--size", "0"], "size"),
    "a negative size": (["--data", "MNIST-sample", "--size", "-3"], "size"),
    "a huge size": (["--data", "MNIST-sample", "--size", "99999"], "size"),
}


@pytest.mark.parametrize(("options", "words"), COMMANDS.values(), ids=COMMANDS.keys())
def test_the_command_line(options, words: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AAE_DATA", str(tmp_path / "data"))
    assert words in called(monkeypatch, "train", "aae-gaussian", *options)


WRITTEN = [
    ("explore", "--out"), ("game", "--out"), ("sample", "aae-gaussian", "--out"), ("collect", "--csv"),
    ("collect", "--plot", "test_error_percent", "model.label_weight"),
]  # fmt: skip


@pytest.mark.parametrize("command", WRITTEN, ids=str)
def test_files_of_another_kind_are_not_overwritten(command, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thesis.docx").write_text("mine")
    assert "ends in ." in called(monkeypatch, *command, "thesis.docx")
    assert (tmp_path / "thesis.docx").read_text() == "mine"


HEADERS = {
    "another version": ({"format": [1] * 1000}, "expected a file of format 2"),
    "no text": ({"data_name": 5}, "data_name"),
    "a shape in text": ({"shape": "28"}, "shape"),
    "a negative shape": ({"shape": [1, -28, -28]}, "shape"),
    "a broken shape": ({"shape": [1, 28.5, 28]}, "shape"),
    "a shape beyond memory": ({"shape": [1, 10**6, 10**6]}, "does not fit"),
    "negative classes": ({"classes": -1}, "classes"),
    "names of classes": ({"class_names": [1, 2]}, "class_names"),
    "no list of names": ({"class_names": 5}, "class_names"),
    "another prior": ({"prior": {"kind": "Other"}}, "prior"),
    "no prior": ({"prior": [1]}, "prior"),
    "a prior in text": ({"prior": {"kind": "Gaussian", "dimensions": "2", "standard_deviation": 1.0}}, "settings"),
    "units in text": ({"settings": {"hidden": "many"}}, "settings"),
    "units beyond memory": ({"settings": {"hidden": [10**9, 10**9]}}, "does not fit"),
    "another setting": ({"settings": {"\x1b[31m": 1}}, r"\\x1b"),
    "another experiment": ({"experiment": "vae-gaussian"}, "vae-gaussian"),
}


@pytest.mark.parametrize(("changes", "words"), HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.parametrize("door", ["load_trained", "evaluate"])
def test_headers_of_weights(changes, words: str, door: str, tmp_path: Path, monkeypatch) -> None:
    about = {"seed": 0, "steps": 1, "shape": [1, 28, 28], "classes": 10, "data_name": "MNIST", "evaluated_on": "test"}
    header = find("aae-gaussian").as_data() | {"format": 2} | about | changes
    write_file(tmp_path / "weights", {"encoder.0.bias": torch.zeros(1000)}, header)
    monkeypatch.chdir(tmp_path)
    if door == "load_trained":
        with pytest.raises(StorageError, match=words):
            load_trained("aae-gaussian", tmp_path / "weights")
    else:
        message = called(monkeypatch, "evaluate", "aae-gaussian", "--weights", "weights")
        assert words.replace("\\\\", "\\") in message and len(message) < 600 and message.isprintable()
