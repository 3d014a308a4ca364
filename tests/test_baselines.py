"""Other methods on the same digits: computed on a few of them, and the records that ship."""

import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import sem
from sklearn.cluster import KMeans, MiniBatchKMeans
from support import small
from torch import Tensor

from aae_lib.data import DataSet, Images
from aae_lib.errors import StorageError
from aae_lib.experiments import Trained, find, load_evidence
from aae_lib.experiments import test_set as load_test_set
from aae_lib.metrics import (
    choose_bandwidth,
    error_percent,
    neighbor_accuracy,
    neighborhoods_kept,
    parzen_log_likelihood,
    prior_samples,
)
from aae_lib.models import Model
from aae_lib.report import baselines
from aae_lib.report.baselines import (
    Comparison,
    estimate,
    measured,
    read_comparisons,
    read_likelihoods,
    record_comparisons,
    record_likelihoods,
    recorded_metrics,
)
from aae_lib.storage import read_file

CODES = [f"{method}, 10-D {kind}" for method in ("k-means", "Gaussian mixture")
         for kind in ("autoencoder codes", "augmented autoencoder codes")]
METHODS = ["k-means, pixels", "k-means, 2-D autoencoder codes", "Gaussian mixture, 50 components",
           "Gaussian mixture, 2-D autoencoder codes"]  # fmt: skip
OF_CLUSTERS = {f"{method}, {count} clusters": count for count in (16, 30) for method in METHODS}
OF_CODES = {f"{method}, {count} clusters": count for count in (16, 30) for method in CODES}
PROVENANCE = {"data", "data_sha256", "device", "versions", "revision"}

# Clusters and maps


def recorded(digits: DataSet, path: Path) -> tuple[dict[str, Comparison], list[str]]:
    """The record of some digits, from its file, and the lines that were printed meanwhile."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(action="ignore"):
        patch.setattr(baselines, "load_mnist", lambda: digits)
        patch.setattr(baselines, "COMPONENTS", 8)
        patch.setattr(baselines, "TRUSTED", 40)
        patch.setattr(baselines, "CODERS", 1)
        short = replace(find("autoencoder"), recipe=replace(find("autoencoder").recipe, steps=2))
        patch.setattr(baselines, "find", lambda name: short if name == "autoencoder" else find(name))
        patch.setitem(sys.modules, "umap", None)
        lines = list(record_comparisons(path))
    return read_comparisons(path), lines


@pytest.fixture(scope="module")
def few(digits: DataSet) -> DataSet:
    """360 training images, of which the last 60 name the clusters, and 60 test images."""
    return replace(digits, train=digits.train[:360], test=digits.test[:60])


@pytest.fixture(scope="module")
def record(few: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("record") / "comparisons.safetensors.gz"


@pytest.fixture(scope="module")
def found(few: DataSet, record: Path) -> dict[str, Comparison]:
    comparisons, lines = recorded(few, record)
    assert all(line.startswith(name) for line, name in zip(lines, comparisons, strict=True))
    return comparisons


def test_every_method_makes_clusters_or_a_map_and_a_missing_umap_is_skipped(
    found: dict[str, Comparison], few: DataSet, record: Path
) -> None:
    sizes = OF_CLUSTERS | {f"{name}, seed 0": count for name, count in OF_CODES.items()}
    assert sorted(found) == sorted(["PCA", *sizes, "t-SNE"])
    header = read_file(record)[1]
    assert header["data"] == few.source and header.keys() >= PROVENANCE and list(header["seconds"]) == list(found)
    for name, one in found.items():
        metrics = measured(one, few.test.labels)
        if name in sizes:
            assert one["clusters"].shape == (60,) and one["clusters"].dtype == torch.uint8
            assert one["names"].shape == (sizes[name],) and one["names"].dtype == torch.int8
            error = error_percent(one["names"][one["clusters"].long()], few.test.labels)
            assert metrics == {"test_error_percent": error} and 0 < error < 95
        else:
            codes = one["codes"]
            assert codes.shape == (60, 2) and codes.dtype == torch.float16 and codes.isfinite().all()
            kept = neighborhoods_kept(few.test.images[:40], codes[:40])
            expected = {"neighbor_accuracy": neighbor_accuracy(codes, few.test.labels), "trustworthiness": kept}
            assert metrics == pytest.approx(expected)


def test_clusters_are_fitted_without_the_last_sixth_which_names_them(
    found: dict[str, Comparison], few: DataSet, tmp_path: Path
) -> None:
    method = KMeans(16, n_init=4, random_state=0).fit(few.train.images[:300].numpy())
    one, naming = found["k-means, pixels, 16 clusters"], few.train[300:]
    assert one["clusters"].tolist() == method.predict(few.test.images.numpy()).tolist()
    clusters = method.predict(naming.images.numpy())
    for cluster, name in enumerate(one["names"].tolist()):
        own = naming.labels.numpy()[clusters == cluster]
        assert name == (np.bincount(own).argmax() if len(own) else -1)
    hidden = replace(few, train=replace(few.train, labels=few.train.labels.index_fill(0, torch.arange(300), -1)))
    again, _ = recorded(hidden, tmp_path / "record")
    assert all(torch.equal(again[name]["names"], found[name]["names"]) for name in OF_CLUSTERS)


def test_the_shipped_comparisons_are_of_every_method_and_of_all_test_images() -> None:
    record, labels = read_comparisons(), load_test_set()["labels"]
    of_seeds = [f"{name}, seed {seed}" for name in OF_CODES for seed in range(3)]
    assert sorted(record) == sorted([*OF_CLUSTERS, *of_seeds, "PCA", "t-SNE", "UMAP"])
    metrics = recorded_metrics()
    for name, one in record.items():
        assert len(one.get("clusters", one.get("codes"))) == len(labels)
        assert 5 < metrics[name].get("test_error_percent", 10) < 60
    assert metrics["t-SNE"]["neighbor_accuracy"] > 0.9 > metrics["PCA"]["neighbor_accuracy"]
    assert read_file(baselines.COMPARISONS)[1].keys() >= PROVENANCE


# Likelihoods

JUDGED, MANY, VALIDATED, CHUNK = 30, 70, 25, 20  # in the place of 10,000, a million, 1,000 and 50,000


@pytest.fixture(scope="module")
def model() -> Model:
    """The model of the experiment with 32 hidden units, and weights by which samples differ."""
    experiment = find("likelihood")
    model = replace(experiment, settings={**experiment.settings, **small(experiment.build)}).model(0)
    for number, parameter in enumerate(model.decoder.parameters()):
        torch.nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(number))
    return model.eval()


@torch.no_grad()
def samples_of(model: Model, count: int) -> Tensor:
    """Samples in parts of at most `CHUNK`, each with the next seed."""
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    return torch.cat([model.decode(prior_samples(model.prior, size, seed)) for seed, size in enumerate(sizes)])


@pytest.fixture
def small_windows(digits: DataSet, model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataSet]:
    """Windows of 30 and 70 samples of a tiny model; 300 images that are fitted, 60 that choose, and 40 test images.

    Those that choose lie around samples of the model, so that their best bandwidth is none at the ends.
    """
    monkeypatch.setattr(baselines, "load_trained", lambda name: Trained(find(name), model, {}))
    monkeypatch.setattr(baselines, "SAMPLE_COUNTS", (JUDGED, MANY))
    for name, value in (("JUDGED", JUDGED), ("VALIDATED", VALIDATED), ("CHUNK", CHUNK)):
        monkeypatch.setattr(baselines, name, value)
    noise = torch.randn(60, 784, generator=torch.Generator().manual_seed(0))
    near = samples_of(model, JUDGED).repeat(2, 1) + 0.15 * noise
    train = Images(torch.cat([digits.train.images[:300], near]), digits.train.labels[:360])
    return replace(digits, train=train.without_labels(), test=digits.test[:40].without_labels())


def test_windows_are_those_of_their_samples(small_windows: DataSet, model: Model) -> None:
    """The bandwidth is that of the validation images: of all, or of the first of them where samples are many."""
    images, test = small_windows.train.images, small_windows.test.images
    means = MiniBatchKMeans(JUDGED, init="random", n_init=1, batch_size=4096, max_iter=10, random_state=0)
    centroids = torch.from_numpy(means.fit(images[:300].numpy()).cluster_centers_)
    expected = [
        ("AAE", samples_of(model, JUDGED), images[300:]),
        ("AAE", samples_of(model, MANY), images[300 : 300 + VALIDATED]),
        ("training images", images[:JUDGED], images[300:]),
        ("k-means centroids", centroids, images[300:]),
    ]
    for window, (name, samples, choosing) in zip(estimate(small_windows), expected, strict=True):
        best = choose_bandwidth(samples, choosing)
        of_each = parzen_log_likelihood(samples, test, torch.tensor([best]))[0].double().numpy()
        assert (window.name, window.samples, window.bandwidth) == (name, len(samples), best)
        assert window.log_likelihood == pytest.approx(of_each.mean(), rel=1e-4, abs=0.05)
        assert window.standard_error == pytest.approx(sem(of_each), rel=1e-3)


def test_the_record_holds_every_window_and_what_is_missing_or_damaged_is_refused(
    small_windows: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "load_mnist", lambda: small_windows)
    lines = list(record_likelihoods(tmp_path / "windows"))
    windows = read_likelihoods(tmp_path / "windows")
    assert windows == list(estimate(small_windows))
    assert all(f"{window.log_likelihood:.1f}" in line for window, line in zip(windows, lines, strict=True))
    header = read_file(tmp_path / "windows")[1]
    assert header["data"] == small_windows.source and header.keys() >= PROVENANCE
    (tmp_path / "damaged").write_bytes(b"no record")
    for read in (read_likelihoods, read_comparisons):
        for name in ("nothing", "damaged"):
            with pytest.raises(StorageError, match=name):
                read(tmp_path / name)


def test_the_shipped_likelihoods_begin_with_the_window_of_the_evidence() -> None:
    record, evidence = read_likelihoods(), load_evidence("likelihood")
    counts = [("AAE", 10_000), ("AAE", 100_000), ("AAE", 1_000_000)]
    controls = [("training images", 10_000), ("k-means centroids", 10_000)]
    assert [(window.name, window.samples) for window in record] == counts + controls
    of_each = evidence.log_likelihoods.double().numpy()
    assert record[0].bandwidth == pytest.approx(evidence.bandwidth.item())
    assert record[0].log_likelihood == pytest.approx(of_each.mean(), abs=0.05)
    assert record[0].standard_error == pytest.approx(sem(of_each), abs=0.01)
    assert record[0].log_likelihood < record[1].log_likelihood < record[2].log_likelihood, "more samples lie nearer"
    header = read_file(baselines.LIKELIHOODS)[1]
    assert header.keys() >= PROVENANCE and header["data_sha256"] == evidence.header["data_sha256"]
