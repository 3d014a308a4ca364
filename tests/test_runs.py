"""A training run from its name to its files, on the sample digits and a tiny budget."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from support import with_tiny_networks

from aae_lib.data import DataSet, Images
from aae_lib.errors import StorageError, TrainingError, UnknownNameError
from aae_lib.experiments import (
    AUGMENTED,
    Experiment,
    Starts,
    Trained,
    evidence_path,
    examine,
    find,
    load_evidence,
    load_trained,
    measure,
    origin,
    read_evidence,
    runs,
    train_experiment,
    weights_path,
)
from aae_lib.experiments.settings import changes_of, with_settings
from aae_lib.models import Model
from aae_lib.storage import read_file, write_file
from aae_lib.training import Report

STEPS = 20
OF_FEW = {"semi-100" + AUGMENTED: 4100, "labels-100": 100, "m2-100": 4100, "m1-m2-100": 4100}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, Experiment]:
    return with_tiny_networks(monkeypatch)


def go(experiment: Experiment, data: DataSet, out: Path, **arguments: Any) -> list[Report]:
    """Train for a few steps on the CPU, with the files in the folder `out`."""
    arguments = {"steps": STEPS, "device": "cpu", "progress": False, **arguments}
    return list(train_experiment(experiment, data, out, **arguments))


def left(experiment: Experiment, out: Path) -> Trained:
    """The model that a run left."""
    return load_trained(experiment, weights_path(experiment, out))


def same(one: Model, other: Model) -> bool:
    """Whether all parameters are the same, bit by bit."""
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


# Which labels a run reads


def spoiled(experiment: Experiment, which: int) -> Experiment:
    """With wrong labels in one of the sets of images."""

    def select(images: Images, seed: int) -> tuple[Images, ...]:
        parts = list(experiment.select(images, seed))
        parts[which] = replace(parts[which], labels=9 - parts[which].labels)
        return tuple(parts)

    return replace(experiment, select=select)


@pytest.mark.parametrize("name", OF_FEW)
def test_a_run_on_few_labels_reads_no_other_label(
    name: str, digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    """The same bits where all others are missing from the start; other bits where those that were drawn are wrong."""
    experiment, labels = find(name), digits.train.labels
    drawn = experiment.select(Images(torch.arange(4000.0)[:, None], labels), 2)[-1].images[:, 0].long()
    known = torch.full((4000,), -1)
    known[drawn] = labels[drawn]
    few = replace(digits, train=replace(digits.train, labels=known))
    variants = {"all": (experiment, digits), "few": (experiment, few), "wrong": (spoiled(experiment, -1), digits)}
    found = {}
    for run, (variant, images) in variants.items():
        go(variant, images, tmp_path / run, seed=2, steps=5)
        found[run] = left(experiment, tmp_path / run)
        assert found[run].header["trained_on"] == OF_FEW[name]
    assert same(found["all"].model, found["few"].model) and not same(found["all"].model, found["wrong"].model)


def test_a_run_reads_the_labels_that_were_drawn_and_no_others(
    digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment = find("aae-mixture-labels")
    models = []
    for run, variant in enumerate((experiment, spoiled(experiment, 0), spoiled(experiment, 1))):
        go(variant, digits, tmp_path / str(run))
        models.append(left(experiment, tmp_path / str(run)).model)
    assert same(models[0], models[1]) and not same(models[0], models[2])


def test_a_run_that_finds_clusters_reads_no_label_but_those_that_name_them(
    digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment, train_set = find("cluster-16"), digits.train[:600]
    hidden = train_set.labels.clone()
    hidden[:500] = -1
    renamed = torch.cat([hidden[:500], 9 - hidden[500:]])
    found = []
    for run, labels in enumerate((train_set.labels, hidden, renamed)):
        out = tmp_path / str(run)
        go(experiment, replace(digits, train=replace(train_set, labels=labels)), out, steps=5)
        found.append((left(experiment, out).model, read_evidence(evidence_path(experiment, 0, out))))
    (model, evidence), (other, of_hidden), (third, of_renamed) = found
    assert same(model, other) and same(model, third) and torch.equal(evidence.names, of_hidden.names)
    assert torch.equal(of_renamed.names[1], 9 - evidence.names[1])


# From the name to the files


def test_a_run_leaves_weights_evidence_and_state(
    digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    """What is measured on the file's weights is what the evidence holds, bit by bit."""
    out, experiment = tmp_path / "new" / "folder", find("aae-gaussian")
    (report,) = go(experiment, digits, str(out))
    names = ["aae-gaussian-seed-0.safetensors.gz", "aae-gaussian.safetensors.gz", "state.safetensors"]
    assert report.step == STEPS and sorted(path.name for path in out.iterdir()) == names

    trained, stored = load_trained(out / names[1]), read_evidence(out / names[0])
    assert list(trained.experiment.settings["hidden"]) == [32] and not trained.model.training
    again = examine(experiment, trained.model, digits.test, trained.header, digits.train)
    assert stored.header == trained.header and again.tensors.keys() == stored.tensors.keys()
    assert all(torch.equal(tensor, again.tensors[name]) for name, tensor in stored.tensors.items())
    assert measure(experiment, stored) == measure(experiment, again)

    header = trained.header
    assert json.loads(json.dumps(header)) == header and experiment.as_data().items() <= header.items()
    about = ("format", "seed", "steps", "data", "data_name", "data_sha256", "shape", "classes", "trained_on")
    expected = [2, 0, STEPS, digits.source, "MNIST-sample", digits.sha256, [1, 28, 28], 10, 4000]
    assert [header[name] for name in about] == expected and header["evaluated_on"] == "test"
    assert header["versions"]["torch"] == torch.__version__ and header["precision"] in ("float32", "bfloat16")
    (entry,) = header["history"]
    assert entry.keys() == {"step", *report.losses}
    assert entry["reconstruction"] == pytest.approx(report.losses["reconstruction"], abs=1e-4)

    whole = read_file(out / "state.safetensors")[0]
    for name, tensor in trained.model.state_dict().items():  # eight bits per row of the trained float32 weights
        step = whole[f"weights/{name}"].abs().amax() / 127
        assert (tensor - whole[f"weights/{name}"]).abs().max() <= 0.51 * step


def test_networks_that_only_judge_are_left_out_of_the_weights_unless_wanted(
    digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    for name, kept in (("aae-gaussian", True), ("aae-mixture", False), ("semi-100", False)):
        go(find(name), digits, tmp_path / name, steps=1)
        networks = {key.partition(".")[0] for key in read_file(weights_path(find(name), tmp_path / name))[0]}
        assert any("discriminator" in network for network in networks) == kept and {"encoder", "decoder"} <= networks
        load_trained(find(name), weights_path(find(name), tmp_path / name))


def test_equal_seeds_give_equal_bits_and_others_do_not(
    digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment, contents, asked = find("aae-mixture-labels"), [], []

    def select(images: Images, seed: int) -> tuple[Images, ...]:
        asked.append((len(images), seed))
        return experiment.select(images, seed)

    for run, seed in enumerate((3, 3, 4)):
        torch.manual_seed(run)
        go(replace(experiment, select=select), digits, tmp_path / str(run), seed=seed, validation=True)
        weights, _ = read_file(weights_path(experiment, tmp_path / str(run)))
        contents.append(weights | read_evidence(evidence_path(experiment, seed, tmp_path / str(run))).tensors)
    first, second, other = contents
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert not any(torch.equal(tensor, other[name]) for name, tensor in first.items() if tensor.dtype == torch.int8)
    assert not torch.equal(first["codes"], other["codes"]) and asked == [(3334, 3), (3334, 3), (3334, 4)]


def test_held_out_images_are_not_trained_on(digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    experiment = find("autoencoder")
    kept, held_out = digits.train.hold_out()
    gray = torch.cat([kept.images, torch.full_like(held_out.images, 0.5)])
    other_train = replace(digits, train=replace(digits.train, images=gray))
    other_test = replace(digits, test=replace(digits.test, images=torch.zeros_like(digits.test.images)))
    for validation, other in ((True, other_train), (False, other_test)):
        models = []
        for run, data in enumerate((digits, other)):
            out = tmp_path / f"{validation}-{run}"
            go(experiment, data, out, validation=validation)
            models.append(left(experiment, out))
        assert same(models[0].model, models[1].model)
    header = left(experiment, tmp_path / "True-0").header
    assert (header["trained_on"], header["evaluated_on"]) == (3334, "validation")
    stored = read_evidence(evidence_path(experiment, 0, tmp_path / "True-0"))
    assert torch.equal(stored.labels, held_out.labels)


@pytest.mark.parametrize("name", [*OF_FEW, "cluster-16", "dcgan", "digit-classifier", "autoencoder"])
def test_the_history_has_the_measures_of_the_model_of_each_report(
    name: str, digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aae_lib.experiments.generators.JUDGED", 100)
    data = replace(digits, train=digits.train[:1200], test=digits.test[::5])
    experiment = find(name)
    (report,) = go(experiment, data, tmp_path, steps=2)
    (entry,) = left(experiment, tmp_path).header["history"]
    reported = {measure.name for measure in experiment.chapter.measures if measure.at_reports}
    expected = {"dcgan": {"fid"}, "digit-classifier": {"fid", "test_error_percent"}, "autoencoder": set()}
    assert report.measures.keys() == expected.get(name, {"test_error_percent"}) <= reported
    assert entry == pytest.approx({"step": 2, **report.losses, **report.measures}, abs=1e-4)
    # Of the trained float32 weights, before they are rounded for the file.
    model = experiment.model(0)
    state = read_file(tmp_path / "state.safetensors")[0]
    model.load_state_dict({key: state.get(f"weights/{key}", value) for key, value in model.state_dict().items()})
    if name in OF_FEW:
        evidence = examine(experiment, model, data.test, {"data_name": data.name}, data.train)
        assert report.measures == pytest.approx(
            {"test_error_percent": measure(experiment, evidence)["test_error_percent"]}
        )


def test_a_run_goes_on_where_it_stopped(digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    experiment = find("aae-gaussian")
    go(experiment, digits, tmp_path / "unbroken", steps=24)
    go(experiment, digits, tmp_path / "resumed", steps=8)
    assert go(experiment, digits, tmp_path / "resumed", steps=24)[-1].step == 24
    one, other = (left(experiment, tmp_path / run) for run in ("unbroken", "resumed"))
    assert same(one.model, other.model) and other.header["steps"] == 24


def test_of_several_starts_the_half_whose_labels_keep_most_goes_on(
    digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    """With the bits of a run with that seed alone, and also when it is stopped during any of the starts."""
    data = replace(digits, train=digits.train[:1200], test=digits.test[::5])
    single = replace(find("cluster-30-augmented"), starts=None, report_every=4)
    experiment = replace(single, starts=Starts(4, 4, "label_information"))
    steps = [report.step for report in go(experiment, data, tmp_path / "run", seed=1)]
    assert steps == [4, 4, 4, 4, 8, 8, 12, 16, 20]
    one = left(experiment, tmp_path / "run")
    histories = {start["seed"]: start["history"] for start in one.header["dropped"]}
    histories[one.header["start"]] = one.header["history"]
    assert sorted(histories) == [4, 5, 6, 7] and one.header["seed"] == 1
    better = sorted(histories, key=lambda seed: histories[seed][0]["label_information"])[2:]
    assert all((len(history) > 1) == (seed in better) for seed, history in histories.items())
    assert one.header["start"] == max(better, key=lambda seed: histories[seed][1]["label_information"])
    go(single, data, tmp_path / "single", seed=one.header["start"])
    other = left(single, tmp_path / "single")
    assert same(one.model, other.model) and one.header["history"] == other.header["history"]

    for count in (1, 3, 5, 8):
        reports = train_experiment(experiment, data, tmp_path / "stopped", seed=1, steps=STEPS, progress=False)
        for _ in range(count):
            next(reports)
        reports.close()
    go(experiment, data, tmp_path / "stopped", seed=1)
    stopped = left(experiment, tmp_path / "stopped")
    assert same(one.model, stopped.model) and stopped.header["dropped"] == one.header["dropped"]

    for wrong in ({"starts.count": 0}, {"starts.steps": 0}):
        with pytest.raises(TrainingError, match="at least 1"):
            with_settings(experiment, wrong)
    unmoved = with_settings(experiment, {"model.label_motion": ()})
    with pytest.raises(TrainingError, match="starts.count=1"):
        go(unmoved, data, tmp_path / "unmoved")
    go(with_settings(unmoved, {"starts.count": 1}), data, tmp_path / "alone")


# What is refused, at the call


def test_a_folder_of_another_run_is_refused(digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    experiment = find("vae-gaussian")
    for arguments in ({"steps": 0}, {"seed": 4294}, {"device": "mps"}):
        with pytest.raises(TrainingError, match=next(iter(arguments))):
            train_experiment(experiment, digits, tmp_path, **arguments)
    assert not list(tmp_path.iterdir())
    go(experiment, digits, tmp_path)
    for other, arguments in ((experiment, {"seed": 1}), (find("vae-gaussian-0.5"), {}), (find("aae-gaussian"), {})):
        with pytest.raises(TrainingError, match="another run"):
            train_experiment(other, digits, tmp_path, **arguments)
    (tmp_path / "state.safetensors").unlink()
    with pytest.raises(TrainingError, match="earlier run"):
        train_experiment(experiment, digits, tmp_path)


def test_two_runs_do_not_write_to_one_folder(digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    """The lock names its owner. It is free again after a run that was closed, and after a process that has died."""
    experiment, lock = find("autoencoder"), tmp_path / ".lock"
    reports = train_experiment(experiment, digits, tmp_path, steps=5, device="cpu", progress=False)
    with pytest.raises(TrainingError, match=f"process {os.getpid()} .*{tmp_path}"):
        train_experiment(experiment, digits, tmp_path)
    next(reports)
    reports.close()
    assert not lock.exists()
    code = f"import os, filelock; lock = filelock.SoftFileLock({str(lock)!r}); lock.acquire(); os._exit(0)"
    dead = subprocess.Popen([sys.executable, "-c", code])  # nobody waits for it: it stays in the list of processes
    while psutil.Process(dead.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert lock.exists()
    go(experiment, digits, tmp_path, steps=5)
    assert not lock.exists()
    dead.wait()


def test_the_revision_is_that_of_the_package_s_own_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository around the package is not asked, a hook is not run, a git that hangs is not waited for."""
    assert "threads" in origin()["device"]

    def git(*command: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *identity, "-C", str(tmp_path), *command], check=True, capture_output=True)

    git("init")
    (tmp_path / "aae_lib").mkdir()
    (tmp_path / "aae_lib" / "file.py").write_text("1")
    git("add", ".")
    git("commit", "-m", "one")
    git("config", "core.fsmonitor", f"touch {tmp_path / 'hooked'};")
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    revision = origin()["revision"]
    assert len(revision) == 12 and int(revision, 16) >= 0 and not (tmp_path / "hooked").exists()
    (tmp_path / "aae_lib" / "file.py").write_text("2")
    assert origin()["revision"] == revision + "+"
    monkeypatch.setattr(runs, "ROOT", tmp_path / "aae_lib")
    assert origin()["revision"] == "unknown"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text("#!/bin/sh\nsleep 60\n")
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    monkeypatch.setattr(runs, "GIT_SECONDS", 0.2)
    assert origin()["revision"] == "unknown"


# Weights from files


def test_weights_are_loaded_with_the_settings_that_they_were_trained_with(digits: DataSet, tmp_path: Path) -> None:
    experiment = replace(find("likelihood"), settings={**find("likelihood").settings, "hidden": (16,)})
    go(replace(experiment, prior=type(experiment.prior)(3, 2.0)), digits, tmp_path, steps=1)
    trained = load_trained(weights_path(experiment, tmp_path))
    assert trained.experiment.settings["hidden"] == [16] and trained.experiment.prior.standard_deviation == 2
    assert trained.model.encode(digits.test.images[:2]).shape == (2, 3) and find("likelihood").prior.dimensions == 8


def test_weights_that_are_missing_or_of_others_are_refused(
    digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    go(find("vae-gaussian"), digits, tmp_path, steps=1)
    path, evidence = weights_path(find("vae-gaussian"), tmp_path), evidence_path(find("vae-gaussian"), 0, tmp_path)
    assert load_trained("vae-gaussian", str(path)).header["experiment"] == load_trained(path).experiment.name
    for name in ("vae-gaussian-0.5", "aae-gaussian"):
        with pytest.raises(StorageError, match=f"'vae-gaussian', not of '{name}'"):
            load_trained(name, path)
    tensors, header = read_file(path)
    refused = {"version": {"format": 3}, "settings": {"settings": {"nonsense": 1}}, "prior": {"prior": None}}
    for word, change in refused.items():
        write_file(tmp_path / "other.safetensors.gz", tensors, {**header, **change})
        with pytest.raises(StorageError, match=word):
            load_trained("vae-gaussian", tmp_path / "other.safetensors.gz")
    with pytest.raises(StorageError, match="fit"):
        load_trained("vae-gaussian", evidence)
    with pytest.raises(StorageError, match="no file"):
        load_trained("vae-gaussian", tmp_path / "nothing")
    with pytest.raises(UnknownNameError):
        load_trained("nothing")
    for module in ("trained.PRETRAINED", "trained.EVIDENCE"):
        monkeypatch.setattr(f"aae_lib.experiments.{module}", tmp_path / "pretrained")
    with pytest.raises(StorageError, match="python -m aae_lib train aae-gaussian"):
        load_trained("aae-gaussian")
    with pytest.raises(StorageError, match="no file .*aae-gaussian-seed-7"):
        load_evidence("aae-gaussian", 7)


def test_a_run_on_images_of_another_shape(tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    """Its evidence has its own labels, and nothing that a classifier of other images would say."""
    generator = torch.Generator().manual_seed(0)
    parts = [Images(torch.rand(n, 3072, generator=generator), torch.arange(n) % 20) for n in (200, 60)]
    data = DataSet(*parts, "random colors", "0" * 64, "CIFAR", (3, 32, 32), 20)
    experiment = find("age-cifar10")
    (report,) = go(experiment, data, tmp_path, steps=2)
    assert report.measures == {} and left(experiment, tmp_path).header["shape"] == [3, 32, 32]
    stored = read_evidence(evidence_path(experiment, 0, tmp_path))
    assert stored.tensors.keys() == {
        "squared_errors", "code_distance", "code_neighbors", "samples", "reconstructions", "spectra", "nearest",
        "nearest_distances",
    }  # fmt: skip
    assert torch.equal(stored.labels, parts[1].labels)
    assert all(torch.tensor(value).isfinite() for value in measure(experiment, stored).values())


# Weights to start from


def test_a_run_starts_from_weights_that_fit(digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    """Adversaries that the file lacks are those of the seed; the header and the checkpoint know of it."""
    experiment = find("semi-100")
    go(experiment, digits, tmp_path / "first", steps=4)
    first = weights_path(experiment, tmp_path / "first")
    started, fresh = experiment.model(0), experiment.model(0)
    about = runs._start_from(first, started)
    loaded = load_trained(first).model.state_dict()
    for name, tensor in started.state_dict().items():
        assert torch.equal(tensor, loaded[name] if name in loaded else fresh.state_dict()[name])
    assert set(started.state_dict()) == set(fresh.state_dict()) > set(loaded)

    go(experiment, digits, tmp_path / "second", steps=2, init=str(first))
    header = left(experiment, tmp_path / "second").header
    assert header["init"] == about and (about["experiment"], about["seed"], about["steps"]) == ("semi-100", 0, 4)
    assert changes_of(experiment, header)["init.sha256"] == about["sha256"], "it is not one of the other runs"
    for init in (None, weights_path(experiment, tmp_path / "second")):
        with pytest.raises(TrainingError, match="another run"):
            go(experiment, digits, tmp_path / "second", steps=3, init=init)
    assert go(experiment, digits, tmp_path / "second", steps=3, init=first)[-1].step == 3


def test_shipped_weights_are_tuned_by_their_name(digits: DataSet, tmp_path: Path) -> None:
    experiment = find("aae-gaussian")
    shipped, tuned = (tmp_path / name for name in ("from nothing", "tuned"))
    go(experiment, digits, shipped, steps=1)
    go(experiment, digits, tuned, steps=1, init="aae-gaussian")
    measured = [measure(experiment, read_evidence(evidence_path(experiment, 0, out))) for out in (shipped, tuned)]
    assert measured[1]["reconstruction_error"] < 0.8 * measured[0]["reconstruction_error"]


def test_weights_to_start_from_that_do_not_fit_are_refused(
    digits: DataSet, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    (tmp_path / "file").write_text("no weights")
    for init, named in (("vae-gaussian", "fit"), ("nothing", "no file"), (tmp_path / "file", "damaged")):
        with pytest.raises(StorageError, match=named):
            go(find("aae-gaussian"), digits, tmp_path / "run", init=init)
    assert not (tmp_path / "run").exists()
