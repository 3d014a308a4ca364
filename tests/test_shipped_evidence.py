"""The evidence and the weights that ship."""

import pytest
import torch

from aae_lib import experiments
from aae_lib.data import load_mnist
from aae_lib.experiments import (
    EXPERIMENTS,
    PRETRAINED,
    examine,
    find,
    load_evidence,
    load_trained,
    measure,
    shipped_seeds,
    weights_path,
)
from aae_lib.metrics import sharpness

SHIPPED = [name for name, experiment in EXPERIMENTS.items() if weights_path(experiment, PRETRAINED).exists()]
FLOATS = (
    "squared_errors", "heads", "trustworthiness", "fid", "bandwidth", "log_likelihoods", "feature_coverage",
    "class_score", "spectra", "nearest_distances", "code_distance", "code_neighbors",
)  # fmt: skip
BYTES = ("predictions", "from_style", "clusters", "sample_digits", "sample_classes", "reconstructed_classes", "samples",
         "k_means_clusters")  # fmt: skip
OTHERS = {"names": torch.int8, "k_means_names": torch.int8, "nearest": torch.int32}


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
def test_with_mnist_the_evidence_follows_from_the_shipped_weights(name: str) -> None:
    data, experiment, trained = load_mnist(), find(name), load_trained(name)
    if data.name != "MNIST":
        pytest.skip("needs all of MNIST (AAE_DATA)")
    stored = load_evidence(name, trained.header["seed"])
    # The classifier of styles learns on all 60,000 for half a minute; above it has a test of its own.
    slow = stored.tensors.pop("from_style", None) is not None
    found = examine(experiment, trained.model, data.test, trained.header, None if slow else data.train)
    if not hasattr(trained.model, "encoder") and "squared_errors" in stored.tensors:  # its decoder alone ships
        for entry in ("codes", "squared_errors"):
            del stored.tensors[entry]
    assert found.tensors.keys() == stored.tensors.keys()
    for entry, tensor in stored.tensors.items():
        if entry in BYTES:
            assert (found.tensors[entry] != tensor).sum() <= 3
        else:
            atol = {"squared_errors": 0.05, "sharpness": 1e-3}.get(entry, 0.02)
            assert torch.allclose(found.tensors[entry].float(), tensor.float(), atol=atol, rtol=0.01)
    ours, theirs = measure(experiment, found), measure(experiment, stored)
    error = theirs.pop("test_error_percent", 0.0)
    assert ours.pop("test_error_percent", 0.0) == pytest.approx(error, abs=0.03)
    assert ours == pytest.approx(theirs, abs=2e-3, rel=2e-3)
