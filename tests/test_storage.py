"""Files of tensors: whole or refused, exact or within half a step, and free of code."""

import gzip
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from aae_lib.errors import AaeError, StorageError
from aae_lib.storage import load_weights, read_file, save_weights, write_file

HEADER = {"experiment": "aae-gaussian", "seed": 0, "history": [{"step": 600, "loss": 0.1 + 0.2}], "ü": None}
NAMES = ["file.safetensors", "file.safetensors.gz"]


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "a": torch.randn(3, 4),
        "b/c": torch.arange(5, dtype=torch.uint8),
        "half": torch.randn(7).half(),
        "long": torch.tensor(2**40),
        "empty": torch.zeros(0, 3),
        "transposed": torch.randn(3, 4).T,
    }


def network() -> nn.Sequential:
    torch.manual_seed(1)
    layers = [nn.Linear(20, 30), nn.BatchNorm1d(30), nn.Conv1d(30, 4, 3), nn.Linear(8, 2)]
    for parameter in nn.Sequential(*layers).parameters():
        nn.init.normal_(parameter)
    layers[1](torch.randn(10, 30))
    return nn.Sequential(*layers)


# Files of tensors


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [Path, str])
def test_what_is_written_is_read(name: str, kind: type, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    path = tmp_path / "new" / "folder" / name
    write_file(kind(path), {"other": torch.ones(2)}, {})
    write_file(kind(path), tensors, HEADER)
    found, header = read_file(kind(path))
    assert header == HEADER and found.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert found[key].dtype == tensor.dtype and torch.equal(found[key], tensor)
    assert os.listdir(path.parent) == [name]


def test_the_ending_says_what_other_tools_find_in_a_file(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    plain, compressed = (tmp_path / name for name in NAMES)
    write_file(plain, tensors, HEADER)
    write_file(compressed, tensors, HEADER)
    write_file(tmp_path / "again.gz", tensors, HEADER)
    assert gzip.decompress(compressed.read_bytes()) == plain.read_bytes()
    assert compressed.read_bytes() == (tmp_path / "again.gz").read_bytes()  # no time, no name of the file
    with safe_open(plain, framework="pt") as file:
        assert json.loads(file.metadata()["aae_lib"]) == HEADER


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_an_error_while_writing_leaves_the_old_file(
    moment: str, tmp_path: Path, tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_file(path, tensors, HEADER)
    content = path.read_bytes()

    def fail(*arguments: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, moment, fail)
    with pytest.raises(OSError, match="no space"):
        write_file(path, {"new": torch.ones(1)}, {})
    monkeypatch.undo()
    with pytest.raises(TypeError):
        write_file(path, {"new": torch.ones(1)}, {"no JSON": path})
    assert path.read_bytes() == content
    write_file(path, {"new": torch.ones(1)}, {})  # what was left behind is not in the way
    assert list(read_file(path)[0]) == ["new"] and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.9, 0.999])
@pytest.mark.parametrize("name", NAMES)
def test_truncated_files_are_refused(name: str, share: float, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    path = tmp_path / name
    write_file(path, tensors, HEADER)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(StorageError, match=f"{path} is damaged"):
        read_file(path)


class Malice:
    """Executes code where it is unpickled."""

    def __reduce__(self) -> tuple:
        return os._exit, (1,)


def test_other_files_are_refused_and_no_code_in_them_is_executed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torch.save(Malice(), path)
    foreign = [path.read_bytes(), pickle.dumps(Malice()), b"some text, longer than a header" * 10]
    foreign += [b"", struct.pack("<Q", 2**60) + b"{}"]
    deep = "[" * 100_000 + "]" * 100_000
    foreign.append(struct.pack("<Q", len(deep)) + deep.encode())
    for metadata in (None, {"format": "pt"}, *({"aae_lib": text} for text in ("{no json", "[1, 2]", '"text"', deep))):
        foreign.append(safetensors.torch.save({"a": torch.ones(2)}, metadata=metadata))
    for content in (*foreign, *map(gzip.compress, foreign)):
        path.write_bytes(content)
        with pytest.raises(StorageError, match=f"{path} is damaged or no file"):
            read_file(path)
    with pytest.raises(StorageError, match=f"{tmp_path} is damaged or no file"):
        read_file(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="no regular file"):
        read_file(tmp_path / "pipe")
    with pytest.raises(StorageError, match=f"no file {tmp_path / 'nothing'}") as caught:
        read_file(tmp_path / "nothing")
    assert isinstance(caught.value, AaeError) and isinstance(caught.value, RuntimeError)


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aae_lib.storage.LARGEST", 2**20)
    honest = gzip.compress(bytes(2**21))
    for content, words in ((honest, "more than 1,048,576"), (honest[:-4] + bytes(4), "end"), (honest * 2, "more")):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(StorageError, match=f"damaged.*{words}"):
            read_file(tmp_path / "file")


def test_what_a_file_says_is_shown_without_control_characters_and_cut(tmp_path: Path) -> None:
    names = ["\x1b[31mred", "x" * 100_000, *map(str, range(2_000))]
    write_file(tmp_path / "file", {name: torch.zeros(1) for name in names}, {"experiment": "\x1b[2J"})
    with pytest.raises(StorageError, match="unexpected") as caught:
        load_weights(tmp_path / "file", nn.Linear(2, 2))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 600


def test_no_link_is_followed_while_writing(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "file.unfinished").symlink_to(tmp_path / "precious")
    write_file(tmp_path / "file", tensors, HEADER)
    assert (tmp_path / "precious").read_text() == "mine" and read_file(tmp_path / "file")[1] == HEADER


# Weights


def test_weights_are_within_half_a_step_of_eight_bits(tmp_path: Path) -> None:
    model, loaded, again = network(), network(), network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for tensor in loaded.state_dict().values():
        tensor.zero_()
    save_weights(str(tmp_path / "weights"), model, HEADER)
    assert load_weights(str(tmp_path / "weights"), loaded) == HEADER
    worst = 0.0
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])  # saving changes nothing
        read = loaded.state_dict()[name]
        if tensor.ndim < 2:
            assert torch.equal(tensor, read), name  # biases and statistics exactly
            continue
        rows = tensor.flatten(1)
        worst = max(worst, ((read.flatten(1) - rows).abs() / (rows.abs().amax(1, keepdim=True) / 127)).max().item())
    assert 0.3 < worst <= 0.5 + 1e-4
    save_weights(tmp_path / "again", loaded, {})
    load_weights(tmp_path / "again", again)
    for one, other in zip(loaded.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


BROKEN = {  # from the bias [30] and the scale [30, 1] of a layer, or its matrix
    "NaN": lambda t: t["bias"].fill_(torch.nan),
    "infinite scale": lambda t: t["weight.scale"].fill_(torch.inf),
    "negative scale": lambda t: t["weight.scale"].neg_(),
    "no scale": lambda t: t.pop("weight.scale"),
    "flat scale": lambda t: t.update({"weight.scale": t["weight.scale"].flatten()}),
    "scale of columns": lambda t: t.update({"weight.scale": torch.ones(1, 20)}),
    "one scale": lambda t: t.update({"weight.scale": torch.tensor(1.0)}),
    "double scale": lambda t: t.update({"weight.scale": t["weight.scale"].double()}),
    "scale of a bias": lambda t: t.update({"bias.scale": torch.ones(1)}),
    "scale of numbers that are whole": lambda t: t.update({"weight": t["weight"].float()}),
    "other bytes": lambda t: t.update({"weight": t["weight"].to(torch.uint8)}),
    **{str(kind): lambda t, kind=kind: t.update({"bias": t["bias"].to(kind)})
       for kind in (torch.int32, torch.int8, torch.half, torch.double, torch.complex64)},
}  # fmt: skip


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN.keys())
def test_numbers_that_are_no_weights_are_refused(damage: Callable, tmp_path: Path) -> None:
    save_weights(tmp_path / "weights", nn.Linear(20, 30), HEADER)
    tensors, header = read_file(tmp_path / "weights")
    damage(tensors)
    write_file(tmp_path / "weights", tensors, header)
    model = nn.Linear(20, 30)
    before = model.weight.clone(), model.bias.clone()
    with pytest.raises(StorageError, match=r"weights.*damaged.*: (weight|bias): train again"):
        load_weights(tmp_path / "weights", model)
    assert torch.equal(model.weight, before[0]) and torch.equal(model.bias, before[1])


def test_rows_have_their_own_scale_and_zeros_stay_zero(tmp_path: Path) -> None:
    model, loaded = nn.Linear(8, 4), nn.Linear(8, 4)
    scales = torch.tensor([[0.0], [1e-6], [1.0], [1e6]])
    model.weight.data = scales * torch.randn(4, 8)
    save_weights(tmp_path / "weights", model, {})
    tensors, _ = read_file(tmp_path / "weights")
    kinds = {name: (tensor.dtype, list(tensor.shape)) for name, tensor in tensors.items()}
    matrix = {"weight": (torch.int8, [4, 8]), "weight.scale": (torch.float32, [4, 1])}
    assert kinds == matrix | {"bias": (torch.float32, [4])}
    load_weights(tmp_path / "weights", loaded)
    assert not loaded.weight[0].any()
    divisor = scales.clamp_min(1e-9)
    torch.testing.assert_close(loaded.weight / divisor, model.weight / divisor, rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (nn.Linear(20, 31), r"missing: bias \[31\], weight \[31, 20\]; unexpected: bias \[30\], weight"),
        (nn.Linear(20, 30, bias=False), "unexpected: bias"),
        (nn.Sequential(nn.Linear(20, 30)), "missing: 0.bias.*, 0.weight.*; unexpected: bias.*, weight"),
        (nn.Sequential(*(nn.Linear(2, 2) for _ in range(3))), "missing: .* and 3 more"),
    ],
)
def test_weights_of_another_model_are_refused(other: nn.Module, words: str, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    save_weights(path, nn.Linear(20, 30), {"experiment": "mine"})
    with pytest.raises(StorageError, match=f"{path}.*'mine'.*does not fit {type(other).__name__}: .*{words}"):
        load_weights(path, other)


# Networks that a file leaves out


class Game(nn.Module):
    """Two networks that make codes and images, and two that judge while training."""

    adversaries: ClassVar[tuple[str, ...]] = ("critic", "judge")

    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.encoder, self.decoder = nn.Linear(4, 2), nn.Linear(2, 4)
        self.critic, self.judge = nn.Linear(2, 1), nn.Linear(3, 1)
        self.judge_of_style = nn.ReLU()  # has no weights


@pytest.mark.parametrize("left_out", [(), ("critic",), ("critic", "judge")])
def test_adversaries_that_a_file_leaves_out_are_gone_from_the_model(left_out: tuple[str, ...], tmp_path: Path) -> None:
    trained, model, again = Game(1), Game(2), Game(3)
    save_weights(tmp_path / "weights", trained, HEADER, leave_out=left_out)
    assert load_weights(tmp_path / "weights", model) == HEADER
    kept = [name for name, _ in trained.named_children() if name not in left_out]
    assert [name for name, _ in model.named_children()] == kept
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, trained.state_dict()[name], rtol=0, atol=0.01)
    save_weights(tmp_path / "again", model, {})
    load_weights(tmp_path / "again", again)
    load_weights(tmp_path / "again", model)  # a model without its adversaries takes such files as well
    assert [name for name, _ in again.named_children()] == kept == [name for name, _ in model.named_children()]


@pytest.mark.parametrize("left_out", ["encoder", "decoder.bias", "judge.weight"])
def test_other_networks_and_parts_of_them_may_not_be_missing(left_out: str, tmp_path: Path) -> None:
    path, model = tmp_path / "weights", Game(1)
    save_weights(path, Game(2), {})
    tensors, header = read_file(path)
    write_file(path, {name: tensor for name, tensor in tensors.items() if not name.startswith(left_out)}, header)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(StorageError, match=f"does not fit Game: missing: {left_out}"):
        load_weights(path, model)
    after = model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
