"""The registry, and a training run from its name to its files, on the sample digits and a tiny budget."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aae_lib import experiments
from aae_lib.data import Digits
from aae_lib.experiments import (
    EXPERIMENTS,
    Evidence,
    Experiment,
    build,
    evidence_path,
    examine,
    find,
    load_trained,
    measure,
    save_evidence,
    train_experiment,
    weights_path,
)
from aae_lib.losses import half_squared_error
from aae_lib.metrics import match, neighbor_accuracy
from aae_lib.models import AdversarialAutoencoder, Autoencoder, Model, VariationalAutoencoder
from aae_lib.priors import Gaussian
from aae_lib.storage import StorageError, read_file
from aae_lib.training import TrainingError

STEPS = 20
TINY = {
    "autoencoder": lambda: Autoencoder(2, (32,)),
    "aae-gaussian": lambda: AdversarialAutoencoder(Gaussian(2), (32,)),
    "vae-gaussian": lambda: VariationalAutoencoder(Gaussian(2), 1.0, (32,)),
    "vae-gaussian-0.5": lambda: VariationalAutoencoder(Gaussian(2), 0.5, (32,)),
}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, Experiment]:
    """Some experiments with networks of 32 units in the place of those of 1000."""
    for name, make in TINY.items():
        monkeypatch.setitem(EXPERIMENTS, name, replace(EXPERIMENTS[name], build=make))
    return EXPERIMENTS


def go(experiment: Experiment, digits: Digits, out: Path, **arguments: Any) -> list:
    arguments = {"steps": STEPS, "device": "cpu", "progress": False, **arguments}
    return list(train_experiment(experiment, digits, out, **arguments))


def evidence_in(path: Path, labels: Tensor) -> Evidence:
    tensors, header = read_file(path)
    return Evidence(tensors["codes"], tensors["squared_errors"], labels, header)


def same(one: Model, other: Model) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


# The registry


def test_names_are_those_of_the_registry() -> None:
    assert {"autoencoder", "aae-gaussian", "vae-gaussian"} <= EXPERIMENTS.keys()
    for name, experiment in EXPERIMENTS.items():
        assert experiment.name == name and find(name) is experiment
        assert experiment.title and experiment.figure and experiment.source


def test_an_unknown_name_is_answered_with_those_that_exist() -> None:
    with pytest.raises(KeyError) as error:
        find("aae-gausian")
    assert "'aae-gausian'" in str(error.value) and all(name in str(error.value) for name in EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_recipes_fit_their_models(name: str) -> None:
    experiment = EXPERIMENTS[name]
    model = build(experiment, 0)
    assert set(experiment.recipe.optimizers) == set(model.moves)
    assert experiment.recipe.schedule(0) == 1 > experiment.recipe.schedule(experiment.recipe.steps)


def test_the_curve_of_the_vae_differs_in_its_kl_weight_alone() -> None:
    weights = {}
    for name in EXPERIMENTS:
        model = build(find(name), 0)
        if isinstance(model, VariationalAutoencoder):
            weights[name] = model.kl_weight
            assert find(name).recipe == find("vae-gaussian").recipe
    assert weights["vae-gaussian"] == 1 and len(set(weights.values())) == len(weights) == 5
    assert all(float(name.rpartition("-")[2]) == weight for name, weight in weights.items() if weight != 1)


def test_gaussian_experiments_are_the_papers() -> None:
    """AAE, appendix A.2.1: half squared error, rates 0.01 and 0.1, momenta 0.9 and 0.1, 2 x 1000 units, batch 100."""
    experiment = find("aae-gaussian")
    model = build(experiment, 0)
    rates = {name: (sgd.learning_rate, sgd.momentum) for name, sgd in experiment.recipe.optimizers.items()}
    assert rates == {"reconstruction": (0.01, 0.9), "discriminator": (0.1, 0.1), "generator": (0.1, 0.1)}
    assert experiment.recipe.batch_size == 100 and model.reconstruction_loss is half_squared_error
    assert model.prior.dimensions == 2 and model.prior.standard_deviation == 1
    shapes = [tuple(parameter.shape) for parameter in model.encoder.parameters() if parameter.ndim == 2]
    assert shapes == [(1000, 784), (1000, 1000), (2, 1000)]


def test_initial_weights_are_those_of_the_seed(tiny: dict[str, Experiment]) -> None:
    state = torch.get_rng_state()
    one, again, other = (build(find("aae-gaussian"), seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert same(one, again) and not same(one, other)


# From the name to the files


def test_a_real_run_leaves_weights_evidence_and_state(digits: Digits, tmp_path: Path) -> None:
    """With the real networks: what is measured on the file's weights is what the evidence holds, bit by bit."""
    out = tmp_path / "new" / "folder"
    experiment = find("aae-gaussian")
    (report,) = go(experiment, digits, out)
    assert report.step == STEPS
    names = ["aae-gaussian-seed-0.safetensors", "aae-gaussian.safetensors", "state.safetensors"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert weights_path(experiment, out).name == names[1] and evidence_path(experiment, 0, out).name == names[0]

    trained = load_trained("aae-gaussian", weights_path(experiment, out))
    assert trained.experiment is experiment and not trained.model.training
    stored = evidence_in(evidence_path(experiment, 0, out), digits.test.labels)
    again = examine(trained.model, digits.test, trained.header)
    assert stored.codes.dtype == torch.float16 and stored.codes.shape == (1000, 2)
    assert stored.squared_errors.dtype == torch.float32 and stored.squared_errors.shape == (1000,)
    assert torch.equal(again.codes, stored.codes) and torch.equal(again.squared_errors, stored.squared_errors)
    assert stored.header == trained.header

    header = trained.header
    assert json.loads(json.dumps(header)) == header
    assert (header["experiment"], header["seed"], header["steps"]) == ("aae-gaussian", 0, STEPS)
    assert header["data"] == digits.source and header["data_sha256"] == digits.sha256
    assert (header["trained_on"], header["evaluated_on"]) == (4000, "test")
    assert header["recipe"] == repr(experiment.recipe) and header["source"] == experiment.source
    assert header["versions"]["torch"] == torch.__version__ and header["precision"] in ("float32", "bfloat16")
    (entry,) = header["history"]
    assert entry["step"] == STEPS and entry.keys() == {"step", "reconstruction", "discriminator", "generator"}
    assert entry["reconstruction"] == pytest.approx(report.losses["reconstruction"], abs=1e-4)

    shipped, whole = trained.model.state_dict(), read_file(out / "state.safetensors")[0]
    for name, tensor in shipped.items():  # eight bits per row of the trained float32 weights
        step = whole[f"weights/{name}"].abs().amax() / 127
        assert (tensor - whole[f"weights/{name}"]).abs().max() <= 0.51 * step


@pytest.mark.parametrize("name", ["autoencoder", "aae-gaussian", "vae-gaussian"])
def test_measures_have_their_names_and_are_had_again(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment = find(name)
    go(experiment, digits, tmp_path)
    trained = load_trained(name, weights_path(experiment, tmp_path))
    stored = evidence_in(evidence_path(experiment, 0, tmp_path), digits.test.labels)
    metrics = measure(experiment, stored)
    assert metrics == measure(experiment, examine(trained.model, digits.test, trained.header))
    of_prior = {"prior_coverage", "sliced_wasserstein"} if name != "autoencoder" else set()
    assert metrics.keys() == {"reconstruction_error", "neighbor_accuracy"} | of_prior
    # Each against its definition, on the model.
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)  # a stochastic encoder's codes in the evidence are those of seed 0
        codes = trained.model.encode(digits.test.images)
        errors = 0.5 * (trained.model.decode(codes) - digits.test.images).square().sum(1)
    assert metrics["reconstruction_error"] == pytest.approx(errors.mean().item(), rel=1e-4)
    assert metrics["neighbor_accuracy"] == pytest.approx(neighbor_accuracy(codes.half(), digits.test.labels))
    if of_prior:
        assert {key: metrics[key] for key in of_prior} == match(codes.half(), Gaussian(2))


def test_examining_leaves_random_numbers_alone(digits: Digits) -> None:
    model, state = TINY["vae-gaussian"](), torch.get_rng_state()
    one, other = (examine(model, digits.test[:50], {}) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(one.codes, other.codes)
    assert not one.codes.requires_grad


def test_evidence_goes_around(digits: Digits, tmp_path: Path) -> None:
    evidence = examine(TINY["autoencoder"](), digits.test, {"experiment": "autoencoder"})
    save_evidence(tmp_path / "evidence", evidence)
    found = evidence_in(tmp_path / "evidence", digits.test.labels)
    assert torch.equal(found.codes, evidence.codes) and torch.equal(found.squared_errors, evidence.squared_errors)
    assert found.header == evidence.header
    assert "labels" not in read_file(tmp_path / "evidence")[0]


def test_equal_seeds_give_equal_bits_and_others_do_not(
    digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    contents = []
    for run, seed in enumerate((3, 3, 4)):
        out = tmp_path / str(run)
        torch.manual_seed(run)
        go(find("aae-gaussian"), digits, out, seed=seed)
        weights, _ = read_file(weights_path(find("aae-gaussian"), out))
        evidence, header = read_file(evidence_path(find("aae-gaussian"), seed, out))
        assert header["seed"] == seed
        contents.append(weights | evidence)
    first, second, other = contents
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert not any(torch.equal(tensor, other[name]) for name, tensor in first.items() if name.endswith("weight"))
    assert not torch.equal(first["codes"], other["codes"])


def test_validation_holds_out_the_last_sixth(digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    experiment = find("autoencoder")
    go(experiment, digits, tmp_path, validation=True)
    kept, held_out = digits.hold_out()
    header = load_trained("autoencoder", weights_path(experiment, tmp_path)).header
    assert (header["trained_on"], header["evaluated_on"]) == (len(kept), "validation") == (3334, "validation")
    stored = evidence_in(evidence_path(experiment, 0, tmp_path), held_out.labels)
    model = load_trained("autoencoder", weights_path(experiment, tmp_path)).model
    assert torch.equal(stored.codes, examine(model, held_out, {}).codes)

    # The held-out images were not trained on: without them, and with others in their place, the bits are the same.
    images = digits.train.images.clone()
    images[len(kept) :] = 0.5
    spoiled = replace(digits, train=replace(digits.train, images=images))
    go(experiment, spoiled, tmp_path / "spoiled", validation=True)
    assert same(load_trained("autoencoder", weights_path(experiment, tmp_path / "spoiled")).model, model)


def test_test_images_are_not_trained_on(digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    experiment = find("autoencoder")
    go(experiment, digits, tmp_path / "one")
    spoiled = replace(digits, test=replace(digits.test, images=torch.zeros_like(digits.test.images)))
    go(experiment, spoiled, tmp_path / "other")
    one, other = (load_trained("autoencoder", weights_path(experiment, tmp_path / run)) for run in ("one", "other"))
    assert same(one.model, other.model)


def test_a_run_goes_on_where_it_stopped(digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    experiment = find("aae-gaussian")
    go(experiment, digits, tmp_path / "unbroken", steps=24)
    go(experiment, digits, tmp_path / "resumed", steps=8)
    reports = go(experiment, digits, tmp_path / "resumed", steps=24)
    assert reports[-1].step == 24
    one, other = (load_trained("aae-gaussian", weights_path(experiment, tmp_path / r)) for r in ("unbroken", "resumed"))
    assert same(one.model, other.model) and other.header["steps"] == 24


def test_no_steps_are_refused(digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    with pytest.raises(TrainingError, match="nothing to do: 0 steps"):
        go(find("autoencoder"), digits, tmp_path, steps=0)
    assert not list(tmp_path.iterdir())


def test_a_state_of_another_seed_or_experiment_is_refused(
    digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    go(find("vae-gaussian"), digits, tmp_path)
    for name, arguments in {"vae-gaussian": {"seed": 1}, "aae-gaussian": {}}.items():
        with pytest.raises(TrainingError, match="state of another run"):
            go(find(name), digits, tmp_path, **arguments)


def test_a_state_of_another_kl_weight_is_refused(digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    go(find("vae-gaussian"), digits, tmp_path)
    with pytest.raises(TrainingError, match="state of another run"):
        go(find("vae-gaussian-0.5"), digits, tmp_path)


# Weights that do not fit


def test_weights_of_another_experiment_are_refused(
    digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    go(find("vae-gaussian"), digits, tmp_path)
    path = weights_path(find("vae-gaussian"), tmp_path)
    assert load_trained("vae-gaussian", path).header["experiment"] == "vae-gaussian"
    with pytest.raises(StorageError, match=f"{path} holds weights of 'vae-gaussian', not of 'vae-gaussian-0.5'"):
        load_trained("vae-gaussian-0.5", path)  # the networks would fit
    with pytest.raises(StorageError, match=f"{path} does not fit AdversarialAutoencoder"):
        load_trained("aae-gaussian", path)
    with pytest.raises(StorageError, match="does not fit VariationalAutoencoder"):
        load_trained("vae-gaussian", evidence_path(find("vae-gaussian"), 0, tmp_path))


def test_what_is_not_shipped_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "PRETRAINED", tmp_path)
    monkeypatch.setattr(experiments, "EVIDENCE", tmp_path / "evidence")
    with pytest.raises(StorageError, match="no weights of 'aae-gaussian' are shipped; .*aae_lib train aae-gaussian"):
        load_trained("aae-gaussian")
    with pytest.raises(StorageError, match="there is no file .*aae-gaussian-seed-7"):
        experiments.load_evidence("aae-gaussian", 7)
    with pytest.raises(StorageError, match="there is no file"):
        load_trained("aae-gaussian", tmp_path / "nothing")
    assert experiments.shipped_seeds("aae-gaussian") == []


def test_shipped_seeds_are_listed_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "EVIDENCE", tmp_path)
    for name in ("vae-gaussian-seed-10", "vae-gaussian-seed-2", "vae-gaussian-0.5-seed-3", "aae-gaussian-seed-4"):
        (tmp_path / f"{name}.safetensors").touch()
    assert experiments.shipped_seeds("vae-gaussian") == [2, 10]
    assert experiments.shipped_seeds("vae-gaussian-0.5") == [3]
