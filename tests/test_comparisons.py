"""What other methods make of the digits: computed on a few of them, and the record that ships."""

import sys
import warnings
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier

from aae_lib import comparisons
from aae_lib.comparisons import Comparison, compare, read_record, recorded_metrics, save_record
from aae_lib.data import Digits
from aae_lib.experiments import test_set as load_test_set
from aae_lib.storage import StorageError, read_file, write_file

OF_CLUSTERS = [
    f"{method}, {count} clusters"
    for count in (16, 30)
    for method in (
        "k-means, pixels",
        "k-means, autoencoder codes",
        "Gaussian mixture, 50 components",
        "Gaussian mixture, autoencoder codes",
    )
]
COMPONENTS, TRUSTED = 8, 40


def equal(one: Comparison, other: Comparison) -> bool:
    """Whether all is the same, bit by bit."""
    parts = [(getattr(one, part.name), getattr(other, part.name)) for part in fields(Comparison)]
    return all(
        a.dtype == b.dtype and torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in parts
    )


@pytest.fixture(scope="module")
def few(digits: Digits) -> Digits:
    """360 training images, of which the last 60 name the clusters, and 60 test images."""
    return replace(digits, train=digits.train[:360], test=digits.test[:60])


def compared(few: Digits) -> dict[str, Comparison]:
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(action="ignore"):
        patch.setattr(comparisons, "COMPONENTS", COMPONENTS)
        patch.setattr(comparisons, "TRUSTED", TRUSTED)
        patch.setitem(sys.modules, "umap", None)
        found = list(compare(few))
    assert len({comparison.name for comparison in found}) == len(found)
    return {comparison.name: comparison for comparison in found}


@pytest.fixture(scope="module")
def found(few: Digits) -> dict[str, Comparison]:
    return compared(few)


def test_every_method_makes_clusters_or_a_map_and_a_missing_umap_is_skipped(found: dict[str, Comparison]) -> None:
    assert list(found) == ["PCA", *OF_CLUSTERS, "t-SNE"]
    for name, one in found.items():
        assert one.name == name and one.seconds >= 0
        if name in OF_CLUSTERS:
            count = int(name.split()[-2])
            assert one.clusters.shape == (60,) and one.clusters.dtype == torch.uint8 and one.clusters.max() < count
            assert one.names.shape == (count,) and one.names.dtype == torch.int8 and one.names.min() >= -1
            assert not len(one.codes) and not len(one.trustworthiness)
        else:
            assert one.codes.shape == (60, 2) and one.codes.dtype == torch.float16 and one.codes.isfinite().all()
            assert one.trustworthiness.shape == (1,) and one.trustworthiness.dtype == torch.float32
            assert not len(one.clusters) and not len(one.names)


def test_clusters_have_an_error_and_maps_have_neighbors(found: dict[str, Comparison], few: Digits) -> None:
    labels = few.test.labels
    for name, one in found.items():
        metrics = one.measure(labels)
        if name in OF_CLUSTERS:
            wrong = sum(one.names.numpy()[one.clusters.numpy()] != labels.numpy())
            assert metrics == pytest.approx({"test_error_percent": 100 * wrong / 60})
            assert 0 < metrics["test_error_percent"] < 85  # 90 by chance
        else:
            assert metrics.keys() == {"neighbor_accuracy", "trustworthiness"}
            codes = one.codes.float().numpy()
            right = 0
            for left_out in range(60):
                others = np.arange(60) != left_out
                voters = KNeighborsClassifier(10).fit(codes[others], labels[others])
                right += int(voters.predict(codes[[left_out]])[0]) == labels[left_out]
            assert metrics["neighbor_accuracy"] == pytest.approx(right / 60)
            kept = trustworthiness(few.test.images[:TRUSTED].numpy(), codes[:TRUSTED], n_neighbors=10)
            assert metrics["trustworthiness"] == pytest.approx(kept, abs=1e-6)


def test_clusters_are_fitted_without_the_last_sixth_which_names_them(found: dict[str, Comparison], few: Digits) -> None:
    fitted, naming = few.train[:300], few.train[300:]
    for count in (16, 30):
        method = KMeans(count, n_init=4, random_state=0).fit(fitted.images.numpy())
        one = found[f"k-means, pixels, {count} clusters"]
        assert one.clusters.tolist() == method.predict(few.test.images.numpy()).tolist()
        clusters = method.predict(naming.images.numpy())
        for cluster, name in enumerate(one.names.tolist()):
            own = naming.labels.numpy()[clusters == cluster]
            assert name == (np.bincount(own).argmax() if len(own) else -1)


def test_principal_components_are_those_of_the_images_that_clusters_are_fitted_to(
    found: dict[str, Comparison], few: Digits
) -> None:
    method = PCA(COMPONENTS, random_state=0).fit(few.train.images[:300].numpy())
    expected = method.transform(few.test.images.numpy())[:, :2]
    np.testing.assert_allclose(found["PCA"].codes, expected, rtol=2e-3, atol=5e-3)


def test_labels_name_clusters_and_are_read_for_nothing_else(found: dict[str, Comparison], few: Digits) -> None:
    labels = few.train.labels.clone()
    labels[:300] = -1
    labels[300:] = 9 - labels[300:]
    renamed = replace(few, train=replace(few.train, labels=labels), test=few.test.without_labels())
    other = compared(renamed)
    assert other.keys() == found.keys()
    for name, one in found.items():
        assert torch.equal(other[name].clusters, one.clusters) and torch.equal(other[name].codes, one.codes)
        assert torch.equal(other[name].names == -1, one.names == -1)
        assert not len(one.names) or not torch.equal(other[name].names, one.names)


# Records


def test_a_record_goes_around(found: dict[str, Comparison], tmp_path: Path) -> None:
    save_record(tmp_path / "record", list(found.values()), {"data": "some digits"})
    again = read_record(tmp_path / "record")
    assert list(again) == list(found)
    assert all(equal(again[name], one) for name, one in found.items())
    tensors, header = read_file(tmp_path / "record")
    assert header == {"data": "some digits", "seconds": {name: one.seconds for name, one in found.items()}}
    assert {f"{OF_CLUSTERS[0]}/clusters", "PCA/codes"} <= tensors.keys()
    assert all(len(tensor) for tensor in tensors.values())


def test_a_record_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no file"):
        read_record(tmp_path / "nothing")
    write_file(tmp_path / "record", {}, {"seconds": {}})
    assert read_record(tmp_path / "record") == {}
    (tmp_path / "record").write_bytes(b"no record")
    with pytest.raises(StorageError, match="is damaged or no file of aae_lib"):
        read_record(tmp_path / "record")


def test_the_record_that_ships_has_every_method_on_all_test_images() -> None:
    record = read_record()
    assert sorted(record) == sorted([*OF_CLUSTERS, "PCA", "t-SNE", "UMAP"])
    for name, one in record.items():
        assert one.name == name and one.seconds >= 0
        if name in OF_CLUSTERS:
            count = int(name.split()[-2])
            assert one.clusters.shape == (10_000,) and one.clusters.dtype == torch.uint8 and one.clusters.max() < count
            assert one.names.shape == (count,) and set(one.names.tolist()) <= set(range(10))
        else:
            assert one.codes.shape == (10_000, 2) and one.codes.dtype == torch.float16 and one.codes.isfinite().all()
            assert 0.5 < one.trustworthiness.item() < 1
    _, header = read_file(comparisons.RECORD)
    assert {"data", "data_sha256", "device", "versions", "revision", "seconds"} <= header.keys()


def test_the_metrics_that_are_recorded_are_those_of_the_record_and_the_test_set() -> None:
    labels = load_test_set()["labels"].numpy()
    metrics = recorded_metrics()
    for name, one in read_record().items():
        if name in OF_CLUSTERS:
            wrong = 100 * (one.names.numpy()[one.clusters.numpy()] != labels).mean()
            assert metrics[name] == pytest.approx({"test_error_percent": wrong}) and 5 < wrong < 60
        else:
            assert metrics[name]["trustworthiness"] == one.trustworthiness.item()
            assert 0.3 < metrics[name]["neighbor_accuracy"] < 1
    assert metrics["t-SNE"]["neighbor_accuracy"] > 0.9 > metrics["PCA"]["neighbor_accuracy"]
