"""The evidence and the weights that ship."""

import pytest
import torch

from aae_lib import experiments
from aae_lib.data import DataSet, load_mnist
from aae_lib.experiments import (
    EXPERIMENTS,
    PRETRAINED,
    examine,
    find,
    generators,
    load_evidence,
    load_trained,
    measure,
    shipped_seeds,
    weights_path,
)
from aae_lib.experiments.evidence import BATCH
from aae_lib.metrics import sharpness

SHIPPED = [name for name, experiment in EXPERIMENTS.items() if weights_path(experiment, PRETRAINED).exists()]
FLOATS = (
    "squared_errors", "heads", "trustworthiness", "fid", "bandwidth", "log_likelihoods", "feature_coverage",
    "class_score", "spectra", "nearest_distances", "code_distance", "code_neighbors", "label_information",
)  # fmt: skip
BYTES = ("predictions", "from_style", "clusters", "sample_digits", "sample_classes", "reconstructed_classes", "samples",
         "reconstructions", "k_means_clusters")  # fmt: skip
OTHERS = {"names": torch.int8, "k_means_names": torch.int8, "nearest": torch.int32}


@pytest.fixture(scope="module")
def mnist() -> DataSet:
    data = load_mnist()
    if data.name != "MNIST":
        pytest.skip("needs all of MNIST (AAE_DATA)")
    return data


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if shipped_seeds(name)])
def test_shipped_evidence_is_that_of_whole_registered_runs(name: str) -> None:
    experiment = find(name)
    for seed in shipped_seeds(name):
        evidence = load_evidence(name, seed)
        header = evidence.header
        assert experiment.as_data().items() <= header.items() and header["seed"] == seed
        assert header["steps"] == experiment.recipe.steps == header["history"][-1]["step"]
        assert (header["data_name"], header["evaluated_on"]) == (experiment.data, "test")
        assert not header["revision"].endswith("+") and len(evidence.labels) == 10_000
        for entry, tensor in evidence.tensors.items():
            kind = torch.float32 if entry in FLOATS else torch.uint8 if entry in BYTES else torch.float16
            assert tensor.dtype == OTHERS.get(entry, kind) and tensor.isfinite().all()
        for reported in (found for found in experiment.chapter.measures if found.at_reports):
            final = measure(experiment, evidence).get(reported.name)
            if final is not None and reported.name in header["history"][-1]:
                assert header["history"][-1][reported.name] == pytest.approx(final, abs=0.6), "of float32 weights"
    if name in SHIPPED:
        of_weights = load_trained(name).header
        assert of_weights == load_evidence(name, of_weights["seed"]).header


def test_what_is_kept_of_the_test_images_is_theirs() -> None:
    kept = experiments.test_set()
    assert kept["labels"].bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    data = load_mnist()
    if data.name != "MNIST":
        pytest.skip("needs all of MNIST (AAE_DATA)")
    assert torch.equal(kept["labels"], data.test.labels)
    assert torch.allclose(kept["sharpness"].float(), sharpness(data.test.images), rtol=1e-3)


@pytest.mark.parametrize("name", [name for name in SHIPPED if find(name).data == "MNIST"])
def test_with_mnist_the_evidence_follows_from_the_shipped_weights(
    name: str, mnist: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first thousand test images, and of as many samples; numbers of all images together are left out."""
    data, experiment, trained = mnist, find(name), load_trained(name)
    monkeypatch.setattr(generators, "JUDGED", BATCH)
    stored = load_evidence(name, trained.header["seed"]).tensors
    # The classifier of styles learns for half a minute. Clusters are named by all images that the model has not seen; a
    # thousand of these choose a bandwidth as well.
    training = None if "from_style" in stored else data.train if "names" in stored else data.train[-6 * BATCH :]
    found = examine(experiment, trained.model, data.test[:BATCH], trained.header, training).tensors
    missing = {"from_style"} if hasattr(trained.model, "encoder") else {"codes", "squared_errors"}  # only its decoder
    assert found.keys() == stored.keys() - missing
    for entry in found:
        if stored[entry].numel() == 1 and entry != "bandwidth":  # of all images together
            continue
        part = slice(-BATCH, None) if name == "digit-classifier" and entry == "sample_digits" else slice(BATCH)
        expected, ours = stored[entry][part], found[entry][:BATCH]
        if entry == "repeated":  # random codes of ten images
            assert torch.allclose(ours.float().mean(1), expected.float().mean(1), atol=0.2)
        elif entry in BYTES:
            assert (ours != expected).sum() <= 1, entry
        else:
            atol = {"squared_errors": 0.05, "sharpness": 1e-3}.get(entry, 0.02)
            assert torch.allclose(ours.float(), expected.float(), atol=atol, rtol=0.01), entry
