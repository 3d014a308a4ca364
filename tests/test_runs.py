"""A training run from its name to its files, on the sample digits and a tiny budget."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import OF_FEW, OF_LABELS, STEPS, TINY_CLUSTERS, TINY_WITH_LABELS, agree, go, same, with_tiny_networks

from aae_lib import experiments
from aae_lib.data import Digits, Images
from aae_lib.experiments import (
    EXPERIMENTS,
    Experiment,
    evidence_path,
    examine,
    examined_topic,
    find,
    load_trained,
    measure,
    read_evidence,
    weights_path,
)
from aae_lib.models import AdversarialAutoencoder, AdversarialGeneratorEncoder, Model
from aae_lib.networks import OntoSphere, convolutional_decoder, convolutional_encoder
from aae_lib.priors import Gaussian, UniformSphere
from aae_lib.storage import StorageError, read_file
from aae_lib.training import TrainingError


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, Experiment]:
    return with_tiny_networks(monkeypatch)


# Which labels a run reads


@pytest.mark.parametrize("name", [name for name in OF_FEW if name in TINY_WITH_LABELS])
def test_a_run_on_few_labels_reads_no_other_label(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    """The same bits where all others are missing from the start; other bits where those that were drawn are wrong."""
    experiment, labels = find(name), digits.train.labels
    drawn = experiment.select(Images(torch.arange(4000)[:, None], labels), 2)[-1].images[:, 0]
    known = torch.full((4000,), -1)
    known[drawn] = labels[drawn]

    def spoil(images: Images, seed: int) -> tuple[Images, ...]:
        *others, labeled = experiment.select(images, seed)
        return *others, replace(labeled, labels=9 - labeled.labels)

    few, spoiled = replace(digits, train=replace(digits.train, labels=known)), replace(experiment, select=spoil)
    runs = {"all": (experiment, digits), "few": (experiment, few), "wrong": (spoiled, digits)}
    found = {}
    for run, (variant, images) in runs.items():
        go(variant, images, tmp_path / run, seed=2, steps=5)
        found[run] = load_trained(name, weights_path(experiment, tmp_path / run))
        assert found[run].header["trained_on"] == (100 if name == "labels-100" else 4100)
    assert same(found["all"].model, found["few"].model) and not same(found["all"].model, found["wrong"].model)


@pytest.mark.parametrize("name", OF_LABELS)
def test_a_run_reads_the_labels_that_were_drawn_and_no_others(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment = find(name)

    def spoil(which: int) -> Experiment:
        def select(images: Images, seed: int) -> tuple[Images, ...]:
            parts = list(experiment.select(images, seed))
            parts[which] = replace(parts[which], labels=9 - parts[which].labels)
            return tuple(parts)

        return replace(experiment, select=select)

    found = []
    for run, variant in enumerate((experiment, spoil(0), spoil(1))):
        go(variant, digits, tmp_path / str(run))
        found.append(load_trained(name, weights_path(experiment, tmp_path / str(run))))
        assert found[-1].header["trained_on"] == 4000
    assert same(found[0].model, found[1].model) and not same(found[0].model, found[2].model)


def test_images_are_selected_with_the_seed_of_the_run(
    digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment, asked = find("aae-mixture-labels"), []

    def select(images: Images, seed: int) -> tuple[Images, ...]:
        asked.append((len(images), seed))
        return experiment.select(images, seed)

    go(replace(experiment, select=select), digits, tmp_path / "final", seed=5)
    go(replace(experiment, select=select), digits, tmp_path / "validation", seed=6, validation=True)
    assert asked == [(4000, 5), (3334, 6)]


@pytest.mark.parametrize("name", TINY_CLUSTERS)
def test_a_run_that_finds_clusters_reads_no_label_but_those_that_name_them(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment, train_set = find(name), digits.train[:600]
    hidden = train_set.labels.clone()
    hidden[:500] = -1
    renamed = hidden.clone()
    renamed[500:] = 9 - hidden[500:]
    found = []
    for run, labels in enumerate((train_set.labels, hidden, renamed)):
        go(experiment, replace(digits, train=replace(train_set, labels=labels)), tmp_path / str(run), steps=5)
        model = load_trained(name, weights_path(experiment, tmp_path / str(run))).model
        path = evidence_path(experiment, 0, tmp_path / str(run))
        found.append((model, read_evidence(path, digits.test.labels)))
    (model, evidence), (other, same_evidence), (third, renamed_evidence) = found
    assert same(model, other) and same(model, third) and agree(evidence, same_evidence)
    assert torch.equal(renamed_evidence.names[1], 9 - evidence.names[1])
    assert torch.equal(renamed_evidence.clusters, evidence.clusters)


# From the name to the files


def test_an_experiment_of_one_s_own_is_measured_as_what_it_is(digits: Digits, tmp_path: Path) -> None:
    """Not as the registered one of its name, of which it may have none."""
    own = replace(find("aae-gaussian"), name="own", build=lambda: AdversarialAutoencoder(Gaussian(3, 5.0), (16,)))
    go(own, digits, tmp_path)
    stored = read_evidence(evidence_path(own, 0, tmp_path), digits.test.labels)
    assert stored.codes.shape == (1000, 3) and stored.header["experiment"] == "own"


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
    stored = read_evidence(evidence_path(experiment, 0, out), digits.test.labels)
    again = examine(trained.model, digits.test, trained.header)
    assert stored.codes.dtype == torch.float16 and stored.codes.shape == (1000, 2)
    assert stored.squared_errors.dtype == torch.float32 and stored.squared_errors.shape == (1000,)
    assert stored.sharpness.shape == stored.changes.shape == (2000,) and stored.repeated.shape == (10, 200, 2)
    assert {stored.sharpness.dtype, stored.changes.dtype, stored.repeated.dtype} == {torch.float16}
    assert agree(again, stored) and stored.header == trained.header

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
    for name in ("codes", "sharpness", "changes", "repeated"):
        assert not torch.equal(first[name], other[name])


def test_validation_holds_out_the_last_sixth(digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    experiment = find("autoencoder")
    go(experiment, digits, tmp_path, validation=True)
    kept, held_out = digits.train.hold_out()
    header = load_trained("autoencoder", weights_path(experiment, tmp_path)).header
    assert (header["trained_on"], header["evaluated_on"]) == (len(kept), "validation") == (3334, "validation")
    stored = read_evidence(evidence_path(experiment, 0, tmp_path), held_out.labels)
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
    whose = r"\(it holds weights of 'vae-gaussian'\)"
    with pytest.raises(StorageError, match=f"{path} does not fit AdversarialAutoencoder {whose}"):
        load_trained("aae-gaussian", path)
    with pytest.raises(StorageError, match="does not fit VariationalAutoencoder"):
        load_trained("vae-gaussian", evidence_path(find("vae-gaussian"), 0, tmp_path))


def test_what_is_not_shipped_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aae_lib.experiments.trained.PRETRAINED", tmp_path)
    monkeypatch.setattr("aae_lib.experiments.evidence.EVIDENCE", tmp_path / "evidence")
    with pytest.raises(StorageError, match="no weights of 'aae-gaussian' are shipped; .*aae_lib train aae-gaussian"):
        load_trained("aae-gaussian")
    with pytest.raises(StorageError, match="there is no file .*aae-gaussian-seed-7"):
        experiments.load_evidence("aae-gaussian", 7)
    with pytest.raises(StorageError, match="there is no file"):
        load_trained("aae-gaussian", tmp_path / "nothing")
    assert experiments.shipped_seeds("aae-gaussian") == []


# Images of another shape than MNIST's


@pytest.fixture
def colored() -> Digits:
    """Random images of CIFAR-10's shape, of each class as many."""
    generator = torch.Generator().manual_seed(0)
    train_set, test_set = (
        Images(torch.rand(count, 3 * 32 * 32, generator=generator), torch.arange(count) % 10) for count in (200, 60)
    )
    return Digits(train_set, test_set, "random colors", "0" * 64, is_full=False)


def tiny_colored() -> Model:
    """The model of age-cifar10, with networks of four base channels and codes of eight numbers."""
    encoder = torch.nn.Sequential(*convolutional_encoder(8, 4, (3, 32, 32)), OntoSphere())
    return AdversarialGeneratorEncoder(UniformSphere(8), encoder, convolutional_decoder(8, 4, (3, 32, 32)))


def test_a_run_on_colored_images_leaves_weights_and_evidence_without_what_is_of_digits(
    colored: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither FID, for which a classifier of digits gives the features, nor sharpness; in no report either."""
    experiment = replace(find("age-cifar10"), build=tiny_colored)
    monkeypatch.setitem(EXPERIMENTS, "age-cifar10", experiment)
    (report,) = go(experiment, colored, tmp_path, steps=2)
    assert report.measures == {} and report.losses.keys() == {"encoder", "generator"}
    names = ["age-cifar10-seed-0.safetensors", "age-cifar10.safetensors", "state.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    trained = load_trained("age-cifar10", weights_path(experiment, tmp_path))
    assert trained.header["data"] == "random colors" and trained.header["steps"] == 2
    stored = read_evidence(evidence_path(experiment, 0, tmp_path), colored.test.labels)
    assert stored.tensors.keys() == {"codes", "squared_errors"}
    assert stored.codes.shape == (60, 8) and stored.squared_errors.shape == (60,)
    topic = examined_topic(experiment, colored)
    again = examine(trained.model, colored.test, trained.header, training=colored.train, topic=topic)
    metrics = measure(experiment, stored)
    assert agree(again, stored) and metrics == measure(experiment, again)
    assert metrics.keys() == {"reconstruction_error", "neighbor_accuracy", "prior_coverage", "sliced_wasserstein"}
    assert all(np.isfinite(value) for value in metrics.values())
