"""Files of tensors: whole or refused, exact or within half a step, and free of code."""

import gzip
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from aae_lib import storage
from aae_lib.data import Images
from aae_lib.models import AdversarialAutoencoder, Classifier, Model, SemiSupervisedAutoencoder
from aae_lib.priors import Gaussian
from aae_lib.storage import StorageError, load_weights, read_file, save_weights, write_file
from aae_lib.training import TrainingError, train

HEADER = {"experiment": "aae-gaussian", "seed": 0, "history": [{"step": 600, "loss": 0.1 + 0.2}], "ü": None}


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


@pytest.mark.parametrize("compress", [False, True])
def test_what_is_written_is_read(compress: bool, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_file(path, tensors, HEADER, compress)
    found, header = read_file(path)
    assert header == HEADER
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
    assert os.listdir(path.parent) == ["file"]


def test_a_file_is_replaced(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    write_file(tmp_path / "file", tensors, {})
    write_file(tmp_path / "file", {"other": torch.ones(2)}, HEADER)
    found, header = read_file(tmp_path / "file")
    assert list(found) == ["other"] and header == HEADER


@pytest.mark.parametrize("moment", ["save_file", "fsync", "replace"])
def test_an_error_while_writing_leaves_the_old_file(
    moment: str, tmp_path: Path, tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_file(path, tensors, HEADER)
    content = path.read_bytes()

    def fail(*arguments: Any, **named: Any) -> None:
        if moment == "save_file":
            Path(arguments[1]).write_bytes(b"half of a")
        raise OSError("no space left on device")

    monkeypatch.setattr(storage if moment == "save_file" else os, moment, fail)
    with pytest.raises(OSError, match="no space"):
        write_file(path, {"new": torch.ones(1)}, {})
    assert path.read_bytes() == content
    monkeypatch.undo()
    write_file(path, {"new": torch.ones(1)}, {})  # what was left behind is not in the way
    assert list(read_file(path)[0]) == ["new"] and os.listdir(tmp_path) == ["file"]


def test_a_header_that_is_no_json_leaves_the_old_file(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    write_file(tmp_path / "file", tensors, HEADER)
    with pytest.raises(TypeError):
        write_file(tmp_path / "file", tensors, {"path": tmp_path})
    assert read_file(tmp_path / "file")[1] == HEADER


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("compress", [False, True])
def test_truncated_files_are_refused(compress: bool, share: float, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    path = tmp_path / "file"
    write_file(path, tensors, HEADER, compress)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(StorageError, match=f"{path} is damaged or no file of aae_lib"):
        read_file(path)


def test_other_files_are_refused(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    path = tmp_path / "file"
    foreign = [b"some text, longer than a header" * 10, pickle.dumps({"a": 1}), struct.pack("<Q", 2**60) + b"{}"]
    for content in foreign:
        path.write_bytes(content)
        with pytest.raises(StorageError, match=f"{path} is damaged or no file"):
            read_file(path)
    for metadata in (None, {"format": "pt"}, {"aae_lib": "{no json"}):
        safetensors.torch.save_file({"a": torch.ones(2)}, path, metadata=metadata)
        with pytest.raises(StorageError, match=f"{path} is damaged or no file"):
            read_file(path)
    with pytest.raises(StorageError, match=f"{tmp_path} is damaged or no file"):
        read_file(tmp_path)
    torch.save({"a": torch.ones(2)}, path)
    with pytest.raises(StorageError, match=f"{path} is damaged or no file"):
        read_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"there is no file {tmp_path / 'nothing'}"):
        read_file(tmp_path / "nothing")


def test_reading_executes_no_code(tmp_path: Path) -> None:
    class Malice:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(tmp_path / "executed"),))

    path = tmp_path / "file"
    for write in (lambda: path.write_bytes(pickle.dumps(Malice())), lambda: torch.save(Malice(), path)):
        write()
        with pytest.raises(StorageError):
            read_file(path)
    assert not (tmp_path / "executed").exists()
    source = Path(storage.__file__).read_text(encoding="utf-8")
    assert "pickle" not in source and "torch.load" not in source


# Weights


def test_weights_are_within_half_a_step_of_eight_bits(tmp_path: Path) -> None:
    model, loaded = network(), network()
    for tensor in loaded.state_dict().values():
        tensor.zero_()
    save_weights(tmp_path / "weights", model, HEADER)
    assert load_weights(tmp_path / "weights", loaded) == HEADER
    worst = 0.0
    for (name, before), after in zip(model.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert before.dtype == after.dtype
        if before.ndim < 2:
            assert torch.equal(before, after), name  # biases and statistics exactly
            continue
        rows, read = before.flatten(1), after.flatten(1)
        step = rows.abs().amax(1, keepdim=True) / 127
        worst = max(worst, ((read - rows).abs() / step).max().item())
        largest = rows.abs().argmax(1, keepdim=True)
        torch.testing.assert_close(read.gather(1, largest), rows.gather(1, largest))
    assert 0.3 < worst <= 0.5 + 1e-4


def test_matrices_are_stored_in_eight_bits(tmp_path: Path) -> None:
    save_weights(tmp_path / "weights", nn.Linear(1000, 100), {})
    tensors, _ = read_file(tmp_path / "weights")
    assert {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()} == {
        "weight": (torch.int8, (100, 1000)),
        "weight.scale": (torch.float32, (100, 1)),
        "bias": (torch.float32, (100,)),
    }
    assert (tmp_path / "weights").stat().st_size < 1.1 * 100_000


def test_rows_have_their_own_scale_and_zeros_stay_zero(tmp_path: Path) -> None:
    model, loaded = nn.Linear(8, 4), nn.Linear(8, 4)
    scales = torch.tensor([[0.0], [1e-6], [1.0], [1e6]])
    model.weight.data = scales * torch.randn(4, 8)
    save_weights(tmp_path / "weights", model, {})
    load_weights(tmp_path / "weights", loaded)
    assert not loaded.weight[0].any()
    torch.testing.assert_close(loaded.weight / scales.clamp_min(1e-9), model.weight / scales.clamp_min(1e-9),
                               rtol=0, atol=0.02)  # fmt: skip


def test_saving_twice_changes_nothing_more(tmp_path: Path) -> None:
    once, twice = network(), network()
    save_weights(tmp_path / "weights", network(), {})
    load_weights(tmp_path / "weights", once)
    save_weights(tmp_path / "again", once, {})
    load_weights(tmp_path / "again", twice)
    for one, other in zip(once.state_dict().values(), twice.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


def test_the_trained_model_itself_is_left_as_it_is(tmp_path: Path) -> None:
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_weights(tmp_path / "weights", model, {})
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    "other", [nn.Linear(20, 31), nn.Linear(21, 30), nn.Linear(20, 30, bias=False), nn.Sequential(nn.Linear(20, 30))]
)
def test_weights_of_another_shape_are_refused(other: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    save_weights(path, nn.Linear(20, 30), {})
    with pytest.raises(StorageError, match=f"{path} does not fit {type(other).__name__}"):
        load_weights(path, other)


# Networks that a file leaves out


def without(path: Path, prefix: str) -> None:
    """Take the tensors whose names begin with `prefix` out of a file."""
    tensors, header = read_file(path)
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}
    assert len(kept) < len(tensors)
    write_file(path, kept, header)


def test_a_network_that_the_file_leaves_out_is_gone_from_the_model(tmp_path: Path, make_model) -> None:
    path, trained, model = tmp_path / "weights", make_model(seed=1), make_model(seed=2)
    save_weights(path, trained, HEADER)
    without(path, "discriminator.")
    assert model.discriminator(torch.zeros(1, 2)).shape == (1, 1)
    assert load_weights(path, model) == HEADER
    with pytest.raises(AttributeError, match="'AdversarialAutoencoder' object has no attribute 'discriminator'"):
        model.discriminator  # noqa: B018 - to look at it is the test
    assert [name for name, _ in model.named_children()] == ["encoder", "decoder"]
    assert not any(name.startswith("discriminator") for name in model.state_dict())
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, trained.state_dict()[name], rtol=0, atol=0.002)
    with torch.no_grad():
        codes = model.encode(torch.eye(784)[:50])
        torch.testing.assert_close(codes, trained.encode(torch.eye(784)[:50]), rtol=0, atol=0.03)
        assert model.decode(model.prior.sample(3)).shape == (3, 784)


def test_a_model_without_one_of_its_networks_cannot_train(
    tmp_path: Path, images: Images, make_model, make_recipe
) -> None:
    path, model = tmp_path / "weights", make_model()
    save_weights(path, model, {})
    without(path, "discriminator.")
    load_weights(path, model)
    with pytest.raises(TrainingError, match=r"names \['discriminator'\], but its networks are \['decoder', 'enc"):
        list(train(model, images, make_recipe(model), device="cpu"))


def test_a_model_may_be_saved_as_it_was_loaded(tmp_path: Path, make_model) -> None:
    once, twice = make_model(seed=1), make_model(seed=2)
    save_weights(tmp_path / "weights", make_model(seed=3), {})
    without(tmp_path / "weights", "discriminator.")
    load_weights(tmp_path / "weights", once)
    save_weights(tmp_path / "again", once, {})
    load_weights(tmp_path / "again", twice)
    assert once.state_dict().keys() == twice.state_dict().keys()
    assert not hasattr(twice, "discriminator") and hasattr(make_model(), "discriminator")  # others keep theirs


@pytest.mark.parametrize(
    "prefix", ["discriminator.0.weight", "discriminator.0", "discriminator.2.bias", "encoder.2", "decoder.0.weight"]
)
def test_a_network_of_which_a_part_is_missing_is_refused(prefix: str, tmp_path: Path, make_model) -> None:
    path, model = tmp_path / "weights", make_model()
    save_weights(path, model, {})
    without(path, prefix)
    with pytest.raises(StorageError, match=rf"(?s){path} does not fit AdversarialAutoencoder: .*Missing key.*{prefix}"):
        load_weights(path, model)


def test_a_network_that_the_model_does_not_have_is_refused(tmp_path: Path, make_model) -> None:
    path, model = tmp_path / "weights", make_model()
    model.critic = nn.Linear(2, 1)
    save_weights(path, model, {})
    with pytest.raises(StorageError, match=r"(?s)does not fit Adversarial.*: .*Unexpected key.*critic\.weight"):
        load_weights(path, make_model())


TWO = ["label_discriminator", "style_discriminator"]


def two_adversaries() -> SemiSupervisedAutoencoder:
    return SemiSupervisedAutoencoder(hidden=(4,))


@pytest.mark.parametrize("left_out", [TWO, TWO[:1], TWO[1:]])
def test_of_two_discriminators_those_that_the_file_leaves_out_are_gone(left_out: list[str], tmp_path: Path) -> None:
    path, trained, model = tmp_path / "weights", two_adversaries(), two_adversaries()
    save_weights(path, trained, {})
    for name in left_out:
        without(path, f"{name}.")
    load_weights(path, model)
    kept = [name for name in ["encoder", "decoder", *TWO] if name not in left_out]
    assert [name for name, _ in model.named_children()] == kept
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, trained.state_dict()[name], rtol=0, atol=0.001)
    if left_out == TWO[:1]:
        assert model.style_discriminator(torch.zeros(1, 10)).shape == (1, 1)


@pytest.mark.parametrize(
    ("make", "network"),
    [(two_adversaries, "encoder"), (two_adversaries, "decoder"), (lambda: Classifier(hidden=(4,)), "encoder")],
)
def test_a_network_that_is_no_discriminator_may_not_be_left_out(
    make: Callable[[], Model], network: str, tmp_path: Path
) -> None:
    path, model = tmp_path / "weights", make()
    model.scale = nn.Linear(1, 1)  # so that there is something left in each file
    save_weights(path, model, {})
    without(path, f"{network}.")
    before = list(model.named_children())
    with pytest.raises(StorageError, match=rf"(?s)does not fit {type(model).__name__}: .*Missing key.*{network}"):
        load_weights(path, model)
    assert list(model.named_children()) == before


def test_a_refused_file_without_discriminators_leaves_them_in_place(tmp_path: Path) -> None:
    path, model = tmp_path / "weights", two_adversaries()
    save_weights(path, model, {})
    for name in (*TWO, "decoder"):
        without(path, f"{name}.")
    before, logits = list(model.named_children()), model.style_discriminator(torch.ones(1, 10))
    with pytest.raises(StorageError, match=r"(?s)does not fit SemiSupervisedAutoencoder: .*Missing key.*decoder"):
        load_weights(path, model)
    assert list(model.named_children()) == before
    assert torch.equal(model.style_discriminator(torch.ones(1, 10)), logits)


def test_networks_are_told_apart_by_their_whole_name(tmp_path: Path) -> None:
    class Two(AdversarialAutoencoder):
        def __init__(self, prior: Gaussian):
            super().__init__(prior, (4,))
            self.discriminator_of_labels = nn.Linear(10, 1)

    path, model = tmp_path / "weights", Two(Gaussian(2))
    save_weights(path, model, {})
    without(path, "discriminator.")
    load_weights(path, model)
    assert [name for name, _ in model.named_children()] == ["encoder", "decoder", "discriminator_of_labels"]


def test_layers_that_have_no_weights_stay(tmp_path: Path) -> None:
    model, loaded = (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 2)) for _ in range(2))
    save_weights(tmp_path / "weights", model, {})
    load_weights(tmp_path / "weights", loaded)
    assert [type(layer) for layer in loaded] == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]


def test_a_file_that_is_refused_takes_no_network_away(tmp_path: Path, make_model) -> None:
    path, model = tmp_path / "weights", make_model()
    before = [(name, tensor.clone()) for name, tensor in model.state_dict().items()]
    save_weights(path, nn.Linear(20, 30), {})
    with pytest.raises(StorageError, match="does not fit"):
        load_weights(path, model)
    after = list(model.state_dict().items())
    assert [name for name, _ in after] == [name for name, _ in before]
    assert all(torch.equal(one, other) for (_, one), (_, other) in zip(before, after, strict=True))


def test_damaged_weights_are_refused_and_leave_the_model_alone(tmp_path: Path) -> None:
    path, model = tmp_path / "weights", nn.Linear(20, 30)
    save_weights(path, nn.Linear(20, 30), {})
    path.write_bytes(path.read_bytes()[:-1])
    before = model.weight.clone()
    with pytest.raises(StorageError, match=f"{path} is damaged"):
        load_weights(path, model)
    assert torch.equal(model.weight, before)


def test_the_header_is_one_json_string_that_other_tools_read(tmp_path: Path) -> None:
    save_weights(tmp_path / "weights", nn.Linear(2, 2), HEADER)
    (tmp_path / "uncompressed").write_bytes(gzip.decompress((tmp_path / "weights").read_bytes()))
    with safe_open(tmp_path / "uncompressed", framework="pt") as file:
        assert json.loads(file.metadata()["aae_lib"]) == HEADER


def test_compressed_files_are_equal_where_their_content_is(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    for name in ("one", "other"):
        write_file(tmp_path / name, tensors, HEADER, compress=True)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()  # no time, no name of the file


def test_compressed_files_without_the_librarys_header_are_refused(tmp_path: Path) -> None:
    for content in (b"", b"no tensors", safetensors.torch.save({"a": torch.ones(2)})):
        (tmp_path / "file").write_bytes(gzip.compress(content))
        with pytest.raises(StorageError, match="is damaged or no file of aae_lib"):
            read_file(tmp_path / "file")
