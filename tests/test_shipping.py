"""From a finished run to what ships."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import with_tiny_networks

from aae_lib.data import DataSet
from aae_lib.errors import StorageError, UnknownNameError
from aae_lib.experiments import EXPERIMENTS, evidence_path, find, load_evidence, load_trained, ship, train_experiment
from aae_lib.storage import read_file, write_file
from aae_lib.training import Cosine, Recipe


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of what ships."""
    pretrained = tmp_path / "pretrained"
    for module in ("shipping", "trained"):
        monkeypatch.setattr(f"aae_lib.experiments.{module}.PRETRAINED", pretrained)
        monkeypatch.setattr(f"aae_lib.experiments.{module}.EVIDENCE", pretrained / "evidence")
    monkeypatch.chdir(tmp_path)
    return pretrained


@pytest.fixture
def finish(shop: Path, digits: DataSet, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Trains an experiment of tiny networks, five steps and the sample digits to its end."""
    with_tiny_networks(monkeypatch)

    def make(name: str, seed: int = 0) -> Path:
        recipe = Recipe(find(name).recipe.optimizers, 5, Cosine(2, 5))
        monkeypatch.setitem(EXPERIMENTS, name, replace(find(name), recipe=recipe, data="MNIST-sample"))
        folder = Path("runs") / f"{name}-seed-{seed}"
        list(train_experiment(find(name), digits, folder, seed=seed, device="cpu", progress=False))
        return folder

    return make


def test_a_finished_run_ships(shop: Path, finish: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of many numbers ship beside the weights alone; the weights' seed is replaced together with its evidence."""
    monkeypatch.setattr("aae_lib.experiments.shipping.MANY_CODES", 1000 * 20)
    folders = [finish("semi-100", seed) for seed in (0, 1)]
    evidence = [shop / "evidence" / f"semi-100-seed-{seed}.safetensors.gz" for seed in (0, 1)]
    weights = shop / "semi-100.safetensors.gz"
    assert ship("semi-100", 1) == [evidence[1]] and "codes" not in load_evidence("semi-100", 1).tensors
    assert ship("semi-100", 0, source=folders[0], weights=True) == [weights, evidence[0]]
    assert load_evidence("semi-100").codes.shape == (1000, 20) and load_trained("semi-100").header["seed"] == 0
    for path in (weights, evidence[0]):
        shipped, left = read_file(path), read_file(folders[0] / path.name)
        assert shipped[1] == left[1] and shipped[0].keys() == left[0].keys()
        assert all(tensor.equal(left[0][name]) for name, tensor in shipped[0].items())
    assert ship("semi-100", 0) == [weights, evidence[0]] and ship("semi-100", 1) == [evidence[1]]


def test_a_model_that_nothing_encodes_with_ships_its_decoder_alone(shop: Path, finish: Callable[..., Path]) -> None:
    left = load_trained(finish("likelihood") / "likelihood.safetensors.gz").model
    weights, _ = ship("likelihood", 0, weights=True)
    assert {name.partition(".")[0] for name in read_file(weights)[0]} == {"decoder"}
    shipped, codes = load_trained("likelihood").model, left.prior.sample(3)
    assert torch.equal(shipped.decode(codes), left.decode(codes)) and hasattr(left, "encoder")
    with pytest.raises(NotImplementedError, match="no encoder"):
        shipped.encode(torch.rand(3, 784))
    assert load_evidence("likelihood").squared_errors.shape == (1000,), "measured before"


def test_what_does_not_ship_is_told_in_one_sentence(shop: Path, finish: Callable[..., Path]) -> None:
    with pytest.raises(UnknownNameError):
        ship("nothing", 0)
    with pytest.raises(StorageError, match="python -m aae_lib train autoencoder --seed 0"):
        ship("autoencoder", 0)
    path = evidence_path(find("autoencoder"), 0, finish("autoencoder"))
    tensors, header = read_file(path)
    refused = {
        "'vae-gaussian', not of 'autoencoder'": {"experiment": "vae-gaussian"},
        "seed 1, not of seed 0": {"seed": 1},
        "started from other weights": {"init": {"experiment": "autoencoder"}},
        "3 steps, not of a finished run of 5": {"steps": 3},
        "another recipe,": {"recipe": {**header["recipe"], "steps": 6}},
        "another settings and prior,": {"settings": {}, "prior": {"kind": "Ring"}},
        "on CIFAR10, not on MNIST-sample": {"data_name": "CIFAR10"},
        "changed images": {"inverted": True},
        "validation images, not on the test images": {"evaluated_on": "validation"},
    }
    for words, change in refused.items():
        write_file(path, tensors, {**header, **change})
        with pytest.raises(StorageError, match=words):
            ship("autoencoder", 0, weights=True)
    write_file(path, tensors, {**header, "revision": "another"})
    with pytest.raises(StorageError, match="different runs"):
        ship("autoencoder", 0, weights=True)
    assert not shop.exists()
