"""Evidence: what is collected from models of tiny networks, its measures, and its files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.manifold import trustworthiness
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from support import with_large_weights, with_tiny_networks

from aae_lib.data import DataSet, Images
from aae_lib.errors import StorageError
from aae_lib.experiments import (
    EXPERIMENTS,
    GENERATORS,
    PRETRAINED,
    Evidence,
    Experiment,
    digit_classifier,
    examine,
    find,
    label_probabilities,
    measure,
    read_evidence,
    save_evidence,
    shipped_seeds,
)
from aae_lib.metrics import (
    BANDWIDTHS,
    class_shares,
    frechet_distance,
    image_change,
    labels_from_codes,
    match,
    neighbor_accuracy,
    own_class,
    prior_samples,
    sharpness,
    steepest_tenth,
)
from aae_lib.models import Model
from aae_lib.networks import RandomAffine
from aae_lib.seeding import seeded
from aae_lib.storage import read_file, write_file

JUDGED, KEPT = 300, 40
ON_DIGITS = {"data_name": "MNIST-sample"}

# What is measured of which experiment
OF_STYLE = {"reconstruction_error", "prior_coverage", "sliced_wasserstein", "inside_prior"}
OF_PLANE = OF_STYLE | {"neighbor_accuracy", "sample_sharpness", "image_change", "steepest_tenth"}
OF_CLASSES = {"smallest_class", "largest_class"}
OF_CLUSTERS = {
    "adjusted_rand_index", "normalized_mutual_information", "empty_clusters", "test_error_percent",
    "test_error_percent_most_confident",
}  # fmt: skip
OF_MAP = {"reconstruction_error", "neighbor_accuracy", "trustworthiness", "test_error_percent"}
OF_GENERATOR = {"fid", "rarest_digit", "sample_sharpness"}
OF_WIDE_CODES = OF_GENERATOR | {"reconstruction_error", "neighbor_accuracy", "sliced_wasserstein"}
MEASURED = {
    "autoencoder": {"reconstruction_error", "neighbor_accuracy"},
    "vae-gaussian": OF_PLANE,
    "aae-mixture": OF_PLANE | OF_CLASSES,
    "aae-mixture-labels": OF_PLANE | OF_CLASSES | {"own_class"},
    "aae-swissroll-labels": (OF_PLANE | OF_CLASSES | {"own_class"}) - {"inside_prior"},
    "aae-gaussian-posterior": OF_PLANE,
    "aae-universal-posterior": OF_PLANE,
    "supervised-2d": OF_STYLE | {"label_from_style_percent"},
    "semi-100-augmented": OF_STYLE | {"test_error_percent"},
    "labels-100": {"test_error_percent"},
    "m2-100": OF_STYLE | {"test_error_percent"},
    "m1-m2-100": OF_STYLE | {"test_error_percent"},
    "cluster-16": OF_STYLE | OF_CLUSTERS,
    "cluster-16-augmented": OF_STYLE | OF_CLUSTERS | {"label_information"},
    "reduce-2d-unsupervised": OF_MAP | OF_CLUSTERS,
    "reduce-10d-100": OF_MAP,
    "likelihood": OF_STYLE | {"neighbor_accuracy", "sample_sharpness", "parzen_log_likelihood_10k", "bandwidth"},
    "age": OF_WIDE_CODES,  # no coverage in many dimensions, and no density of the sphere
    "dcgan": OF_GENERATOR,
    "ali": OF_WIDE_CODES | {"inside_prior"},
    "vae-conv": OF_WIDE_CODES | {"inside_prior", "prior_coverage"},
    "digit-classifier": {"fid", "rarest_digit", "test_error_percent"},
}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, Experiment]:
    """Experiments with tiny networks, of which 300 samples are judged and 40 codes compared."""
    for module in ("generators", "likelihood"):
        monkeypatch.setattr(f"aae_lib.experiments.{module}.JUDGED", JUDGED)
    experiments = with_tiny_networks(monkeypatch)
    chapter = replace(GENERATORS, compared_codes=KEPT)
    for name, experiment in experiments.items():
        if experiment.chapter is GENERATORS:
            monkeypatch.setitem(EXPERIMENTS, name, replace(experiment, chapter=chapter))
    return experiments


@pytest.fixture
def trained(tiny: dict[str, Experiment]) -> Callable[[str], tuple[Experiment, Model]]:
    """Makes an experiment's tiny model with weights by which images differ."""

    def make(name: str) -> tuple[Experiment, Model]:
        with seeded(1):
            return tiny[name], with_large_weights(tiny[name].model(0)).eval()

    return make


def agree(one: Evidence, other: Evidence) -> bool:
    """Whether all that the files hold is the same, bit by bit."""
    return one.tensors.keys() == other.tensors.keys() and all(
        torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items()
    )


def percent(right: torch.Tensor) -> float:
    return 100 * right.double().mean().item()


# Measures, each against its definition


@pytest.mark.parametrize("name", MEASURED)
@torch.no_grad()
def test_measures_are_what_their_definitions_say(name: str, trained: Callable, digits: DataSet, tmp_path: Path) -> None:
    experiment, model = trained(name)
    training, some = digits.train[:600], digits.test[::4]
    evidence = examine(experiment, model, some, {**ON_DIGITS, "seed": 3}, training)
    found, prior, labels = measure(experiment, evidence), experiment.prior, some.labels
    assert found.keys() == MEASURED[name]
    assert agree(evidence, examine(experiment, model, some, ON_DIGITS, training))

    expected = {}
    if hasattr(model, "encoder"):
        with seeded(0):
            codes = model.code_of(some)
        errors = 0.5 * (model.decode(codes) - some.images).square().sum(1)
        kept = codes.half()[: experiment.chapter.compared_codes]
        assert torch.equal(256 * evidence.squared_errors, (256 * evidence.squared_errors).round())
        assert torch.equal(evidence.codes, kept if codes.shape[1] > 20 else codes.half())
        expected["reconstruction_error"] = errors.mean().item()
        expected["neighbor_accuracy"] = neighbor_accuracy(kept, labels[: len(kept)])
        if prior is not None:
            expected |= match(kept[:, -prior.dimensions :], prior)
    if hasattr(prior, "nearest_class"):
        shares = class_shares(kept, prior).tolist()
        expected |= {"smallest_class": min(shares), "largest_class": max(shares)}
        expected["own_class"] = own_class(kept, labels, prior)
    if "sample_sharpness" in found:
        samples = prior_samples(prior, 2000)
        expected["sample_sharpness"] = sharpness(model.decode(samples)).mean().item()
        if "image_change" in found:
            changes = image_change(model.decode, samples)
            expected |= {"image_change": changes.mean().item(), "steepest_tenth": steepest_tenth(changes)}
    if "label_from_style_percent" in found:
        read = labels_from_codes(model.encode(training.images), training.labels, model.encode(some.images))
        expected["label_from_style_percent"] = percent(read == labels)
    if hasattr(model, "classify"):
        expected["test_error_percent"] = percent(model.classify(some.images).argmax(1) != labels)
    if "trustworthiness" in found:
        expected["trustworthiness"] = trustworthiness(some.images, codes.half().float(), n_neighbors=10)
    if "fid" in found:
        judge = model if name == "digit-classifier" else digit_classifier()
        samples = training.images[500:] if judge is model else model.decode(prior_samples(prior, JUDGED))
        shares = judge.classify(samples).argmax(1).bincount(minlength=10) / len(samples)
        distance = frechet_distance(judge.features(samples), judge.features(some.images))
        expected |= {"fid": distance, "rarest_digit": shares.min().item()}
    # These have tests of their own.
    compared = found.keys() - OF_CLUSTERS - {"parzen_log_likelihood_10k", "bandwidth", "label_information"}
    assert {key: found[key] for key in compared} == pytest.approx({key: expected[key] for key in compared}, rel=2e-3)

    save_evidence(tmp_path / "file.safetensors.gz", replace(evidence, header=header_of(experiment)))
    stored = read_evidence(tmp_path / "file.safetensors.gz")
    assert agree(stored, evidence) and measure(experiment, stored) == found
    assert torch.equal(stored.labels, labels) and stored.labels.dtype == torch.int64


def header_of(experiment: Experiment, **changes: object) -> dict[str, object]:
    return {
        "format": 2, **experiment.as_data(), "seed": 0, "steps": 3, "shape": [1, 28, 28], "classes": 10,
        "data_name": "MNIST-sample", "evaluated_on": "test", **changes,
    }  # fmt: skip


def test_what_is_not_there_is_not_measured(trained: Callable, digits: DataSet) -> None:
    for name in MEASURED:
        experiment, model = trained(name)
        assert measure(experiment, Evidence({}, torch.arange(10), {})) == {}
        without = examine(experiment, model, digits.test[:50], ON_DIGITS)
        missing = {
            "supervised-2d": {"from_style"}, "cluster-16": {"names"},
            "cluster-16-augmented": {"names", "label_information"}, "reduce-2d-unsupervised": {"names"},
            "likelihood": {"bandwidth", "log_likelihoods"}, "digit-classifier": {"fid", "sample_digits"},
        }  # fmt: skip
        training = digits.train[:300]
        full = examine(experiment, model, digits.test[:50], ON_DIGITS, training)
        assert full.tensors.keys() - without.tensors.keys() == missing.get(name, set())
    evidence = Evidence({}, torch.arange(10), {"predictions": torch.arange(10).byte()})
    with pytest.raises(AttributeError, match="'codes'.*predictions"):
        _ = evidence.codes
    assert measure(find("semi-100"), evidence) == {"test_error_percent": 0}


def test_examining_leaves_random_numbers_alone_and_reads_no_label_of_held_out_images(
    trained: Callable, digits: DataSet
) -> None:
    for name in ("vae-gaussian", "m2-100", "cluster-16", "digit-classifier"):
        experiment, model = trained(name)
        some, training = digits.test[:50], digits.train[:300]
        state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
        one = examine(experiment, model, some, ON_DIGITS, training)
        assert torch.equal(torch.get_rng_state(), state) and (np.random.get_state()[1] == numpy_state).all()
        other = examine(experiment, model, replace(some, labels=9 - some.labels), ON_DIGITS, training)
        assert agree(one, other) and not any(tensor.requires_grad for tensor in one.tensors.values())


# Clouds, clusters, windows, generators


@pytest.mark.parametrize("name", ["autoencoder", "aae-mixture", "vae-gaussian", "aae-gaussian-posterior"])
def test_repeated_codes_are_a_cloud_of_the_posterior(name: str, trained: Callable, digits: DataSet) -> None:
    experiment, model = trained(name)
    evidence = examine(experiment, model, digits.test[:50], ON_DIGITS)
    clouds = evidence.repeated.float()
    assert evidence.codes.shape == (50, 2) and clouds.shape == (10, 200, 2)
    if name in ("autoencoder", "aae-mixture"):
        assert (clouds == clouds[:, :1]).all()
        assert torch.allclose(clouds[:, 0], evidence.codes[:10].float(), atol=2e-3, rtol=2e-3)
        return
    posterior = model.posterior if name == "vae-gaussian" else model.encoder.posterior
    with torch.no_grad():
        mean, log_variance = posterior(digits.test.images[:10])
    deviation = (0.5 * log_variance).exp()
    assert ((clouds.mean(1) - mean).abs() < 4 * deviation / 200**0.5 + 2e-3 * mean.abs()).all()
    assert torch.allclose(clouds.std(1), deviation, rtol=0.25)


@pytest.mark.parametrize("name", ["cluster-16", "reduce-2d-unsupervised"])
def test_clusters_are_named_by_both_rules_on_the_last_sixth(name: str, trained: Callable, digits: DataSet) -> None:
    experiment, model = trained(name)
    some, training = digits.test[::2], digits.train[:1200]
    evidence = examine(experiment, model, some, ON_DIGITS, training)
    (trained_on,) = experiment.select(training, 0)
    naming = training[len(trained_on) :]
    by_most, by_surest = evidence.names.tolist()
    probabilities = label_probabilities(model, naming)
    for cluster in range(probabilities.shape[1]):
        own = naming.labels[probabilities.argmax(1) == cluster]
        assert by_most[cluster] == (int(own.bincount().argmax()) if len(own) else -1)
        assert by_surest[cluster] == int(naming.labels[probabilities[:, cluster].argmax()])
    assert torch.equal(evidence.clusters.long(), label_probabilities(model, some).argmax(1))
    assert len(evidence.clusters.unique()) > 3
    hidden = torch.cat([-torch.ones_like(trained_on.labels), naming.labels])
    assert agree(examine(experiment, model, some, ON_DIGITS, replace(training, labels=hidden)), evidence)
    if name != "cluster-16":
        label, style = model.encoder(some.images).detach().split([20, 2], dim=1)
        expected = label.softmax(1) @ evidence.heads + style
        torch.testing.assert_close(evidence.codes.float(), expected, rtol=2e-3, atol=2e-3)


def test_label_information_is_that_of_clusters_and_falls_as_augmentation_moves_images(
    trained: Callable, digits: DataSet
) -> None:
    experiment, model = trained("cluster-16-augmented")
    training = digits.train[:1200]
    clusters = label_probabilities(model, training.hold_out()[1]).argmax(1)
    shares = clusters.bincount() / len(clusters)
    found = []
    for largest_shift in (0.0, 0.5, 8.0):
        model.augmentation = RandomAffine(largest_shift, shape=digits.shape)
        found.append(float(examine(experiment, model, digits.test[:50], ON_DIGITS, training).label_information))
    assert found[0] == pytest.approx(float(torch.special.entr(shares).sum()), rel=1e-5), "each copy is its image"
    assert found[0] > found[1] > found[2] >= 0


def test_clusters_are_measured_by_scikit_learn_and_by_their_names() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (500,), generator=generator)
    clusters = (labels + 5 * (torch.rand(500, generator=generator) < 0.4)) % 16
    clusters[clusters == 3] = 0
    names = torch.arange(32).reshape(2, 16) % 10
    names[0, 11:], names[0, 5] = -1, -1
    evidence = Evidence({}, labels, {"clusters": clusters.byte(), "names": names.to(torch.int8)})
    sizes = clusters.bincount(minlength=16)
    assert measure(find("cluster-16"), evidence) == pytest.approx(
        {
            "adjusted_rand_index": adjusted_rand_score(labels, clusters),
            "normalized_mutual_information": normalized_mutual_info_score(labels, clusters),
            "empty_clusters": int((sizes < 500 / 16 / 10).sum()),
            "test_error_percent": percent(names[0][clusters] != labels),
            "test_error_percent_most_confident": percent(names[1][clusters] != labels),
        }
    )
    assert torch.equal(evidence.digits_of_clusters.long(), names[0][clusters])


def test_the_bandwidth_is_chosen_on_the_last_sixth_of_the_training_images(trained: Callable, digits: DataSet) -> None:
    """Never on test images, nor on those that the model is trained on, which would have other bandwidths."""
    experiment, model = trained("likelihood")
    some = digits.test[:40]
    with torch.no_grad():
        samples = model.decode(prior_samples(experiment.prior, JUDGED))
    noise = torch.randn(50, 784, generator=torch.Generator().manual_seed(0))

    def found_with(validation: torch.Tensor, fitted: torch.Tensor, test: Images = some) -> Evidence:
        training = Images(torch.cat([fitted, validation]), digits.train.labels[:300])
        return examine(experiment, model, test, ON_DIGITS, training)

    def by_hand(images: torch.Tensor, bandwidth: float) -> np.ndarray:
        squares = torch.cdist(images.double(), samples.double()).square().numpy()
        of_each = np.logaddexp.reduce(-squares / (2 * bandwidth**2), axis=1) - np.log(JUDGED)
        return of_each - 784 * np.log(bandwidth * np.sqrt(2 * np.pi))

    near, fitted = samples[:50] + 0.15 * noise, digits.train.images[:250]
    evidence = found_with(near, fitted)
    best = max(BANDWIDTHS.tolist(), key=lambda bandwidth: by_hand(near, bandwidth).mean())
    assert BANDWIDTHS[0] < best < BANDWIDTHS[-1] and evidence.bandwidth.item() == pytest.approx(best, rel=1e-6)
    np.testing.assert_allclose(evidence.log_likelihoods, by_hand(some.images, best), rtol=1e-4, atol=0.05)
    metrics = measure(experiment, evidence)
    assert metrics["bandwidth"] == pytest.approx(best)
    assert metrics["parzen_log_likelihood_10k"] == pytest.approx(by_hand(some.images, best).mean(), rel=1e-4)
    others = found_with(near, fitted, Images(samples[:40], some.labels))
    assert torch.equal(others.bandwidth, evidence.bandwidth), "test images choose nothing"
    assert agree(found_with(near, samples[:250]), evidence), "images that are trained on choose nothing"
    assert found_with(samples[:50] + 0.1 * noise, fitted).bandwidth < evidence.bandwidth


def test_only_digits_are_judged_by_the_classifier_of_digits(trained: Callable, digits: DataSet) -> None:
    experiment, model = trained("dcgan")
    assert examine(experiment, model, digits.test[:50], {"data_name": "FashionMNIST"}).tensors.keys() == {"sharpness"}
    large = experiment.model(0, (1, 32, 32))
    some = Images(torch.rand(20, 1024), torch.zeros(20).long())
    assert examine(experiment, large, some, ON_DIGITS).tensors.keys() == {"sharpness"}
    drawn = torch.tensor([0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).byte()
    evidence = Evidence({}, torch.arange(10), {"sample_digits": drawn, "fid": torch.tensor([2.5])})
    assert measure(experiment, evidence) == {"fid": 2.5, "rarest_digit": 0}


# Files


def test_evidence_is_refused_if_it_is_damaged_of_another_version_or_none(tmp_path: Path) -> None:
    path, experiment = tmp_path / "file.safetensors.gz", find("semi-100")
    labels = torch.arange(10)

    def write(tensors: dict[str, torch.Tensor], **changes: object) -> Path:
        write_file(path, tensors, header_of(experiment, **changes))
        return path

    save_evidence(path, Evidence(header_of(experiment), labels, {"predictions": labels.byte()}))
    assert read_file(path)[0].keys() == {"labels", "predictions"} and torch.equal(read_evidence(path).labels, labels)
    path.write_bytes(path.read_bytes()[:-1])
    refused = {"damaged": path, "there is no file": tmp_path / "nothing"}
    for word, damaged in refused.items():
        with pytest.raises(StorageError, match=word):
            read_evidence(damaged)
    for word, changes in {"version": {"format": 1}, "seed": {"seed": "0"}, "steps": {"steps": None}}.items():
        with pytest.raises(StorageError, match=word):
            read_evidence(write({"predictions": labels.byte(), "labels": labels}, **changes))
    with pytest.raises(StorageError, match="9 predictions and 10 labels"):
        read_evidence(write({"predictions": labels[1:].byte(), "labels": labels}))
    with pytest.raises(StorageError, match="10000"):
        read_evidence(write({"predictions": labels.byte()}, data_name="MNIST"))
    for other in (write({"encoder.0.weight": torch.zeros(2)}), PRETRAINED / "evidence" / "test-set.safetensors.gz"):
        with pytest.raises(StorageError, match="no evidence"):
            read_evidence(other)


def test_seeds_of_an_experiment_are_listed_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aae_lib.experiments.trained.EVIDENCE", tmp_path)
    for name in ("vae-gaussian-seed-10", "vae-gaussian-seed-2", "vae-gaussian-0.5-seed-3", "aae-gaussian-seed-4"):
        (tmp_path / f"{name}.safetensors.gz").touch()
    assert (shipped_seeds("vae-gaussian"), shipped_seeds("vae-gaussian-0.5")) == ([2, 10], [3])
