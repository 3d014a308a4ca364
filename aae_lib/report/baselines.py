"""Other methods on the same images: clusters and maps without an adversary, and Parzen windows of many samples.

    python -m aae_lib compare
    python -m aae_lib likelihoods

Both take some minutes, so their results are computed once and shipped: they are *recorded*. Numbers and pictures are
made anew from the records, as from the evidence of an experiment.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.mixture import GaussianMixture
from torch import Tensor

from aae_lib.data import DataSet, Images
from aae_lib.experiments import EVIDENCE, JUDGED, TRUSTED, decoded_samples, load_trained, test_set
from aae_lib.metrics import (
    choose_bandwidth,
    error_percent,
    majority_names,
    neighbor_accuracy,
    neighborhoods_kept,
    parzen_log_likelihood,
)
from aae_lib.models import Model
from aae_lib.storage import read_file, write_file

COMPARISONS = EVIDENCE / "comparisons.safetensors.gz"
LIKELIHOODS = EVIDENCE / "likelihoods.safetensors.gz"
COMPONENTS = 50  # principal components of the pixels, where a method is too slow on all pixels
SEED = 0
SAMPLE_COUNTS = (10_000, 100_000, 1_000_000)
CHUNK = 50_000  # samples in memory at once: 160 MB
VALIDATED = 1_000  # images that choose the bandwidth of many samples


@dataclass(frozen=True)
class Comparison:
    """One method's clusters or map of the test images; what it does not make is empty.

    Attributes:
        name: method, its input, and the number of clusters.
        seconds: of fit and prediction on the machine of the record, without the principal components.
        clusters: ``[n]``, uint8.
        names: ``[clusters]``, int8, by :func:`~aae_lib.metrics.majority_names` on the validation images.
        codes: ``[n, 2]``, float16: the map.
        trustworthiness: ``[1]``, float32, of the map of the first 2,000 images.
    """

    name: str
    seconds: float
    clusters: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))
    names: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int8))
    codes: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float16))
    trustworthiness: Tensor = field(default_factory=lambda: torch.empty(0))

    def measure(self, labels: Tensor) -> dict[str, float]:
        """``test_error_percent`` of clusters; ``neighbor_accuracy`` and ``trustworthiness`` of a map."""
        if len(self.clusters):
            return {"test_error_percent": error_percent(self.names[self.clusters.long()], labels)}
        return {
            "neighbor_accuracy": neighbor_accuracy(self.codes, labels),
            "trustworthiness": float(self.trustworthiness),
        }


def compare(data: DataSet) -> Iterator[Comparison]:
    """Run every method, the quick ones first; UMAP only if the package ``umap-learn`` is installed.

    Clusters are fitted to the training images without the last sixth, which names them; PCA as well. t-SNE and UMAP see
    the test images alone: t-SNE cannot map new ones.
    """
    fitted, naming = data.train.hold_out()
    coder = load_trained("autoencoder").model

    def pixels(images: Tensor) -> np.ndarray:
        return images.numpy()

    principal = PCA(COMPONENTS, random_state=SEED).fit(pixels(fitted.images))

    def components(images: Tensor) -> np.ndarray:
        return principal.transform(pixels(images))

    @torch.no_grad()
    def codes(images: Tensor) -> np.ndarray:
        return coder.encode(images).numpy()

    cluster = partial(_cluster, fitted=fitted.images, naming=naming, images=data.test.images)
    place = partial(_place, images=data.test.images)
    test_components = partial(components, data.test.images)
    yield place("PCA", lambda: test_components()[:, :2])
    for count in (16, 30):
        for where, view in (("pixels", pixels), ("autoencoder codes", codes)):
            method = KMeans(count, n_init=4, random_state=SEED)
            yield cluster(f"k-means, {where}, {count} clusters", method, count, view)
        for where, view in (("50 components", components), ("autoencoder codes", codes)):
            method = GaussianMixture(count, random_state=SEED)
            yield cluster(f"Gaussian mixture, {where}, {count} clusters", method, count, view)
    yield place("t-SNE", lambda: TSNE(random_state=SEED).fit_transform(test_components()))
    try:
        from umap import UMAP
    except ImportError:
        return
    yield place("UMAP", lambda: UMAP(random_state=SEED).fit_transform(test_components()))


def _cluster(
    name: str,
    method: Any,
    count: int,
    view: Callable[[Tensor], np.ndarray],
    fitted: Tensor,
    naming: Images,
    images: Tensor,
) -> Comparison:
    started = time.perf_counter()
    method.fit(view(fitted))
    of_naming, clusters = (torch.from_numpy(method.predict(view(part))) for part in (naming.images, images))
    names = majority_names(of_naming, naming.labels, count)
    return Comparison(name, round(time.perf_counter() - started, 1), clusters=clusters.byte(), names=names)


def _place(name: str, embed: Callable[[], np.ndarray], images: Tensor) -> Comparison:
    started = time.perf_counter()
    embedding = torch.from_numpy(embed()).half()
    seconds = round(time.perf_counter() - started, 1)
    kept = neighborhoods_kept(images[:TRUSTED], embedding[:TRUSTED])
    return Comparison(name, seconds, codes=embedding, trustworthiness=torch.tensor([kept]))


def save_comparisons(path: Path, comparisons: list[Comparison], header: dict[str, Any]) -> None:
    """Write comparisons, with a header that says where they come from."""
    tensors = {
        f"{comparison.name}/{part}": getattr(comparison, part)
        for comparison in comparisons
        for part in ("clusters", "names", "codes", "trustworthiness")
        if len(getattr(comparison, part))
    }
    seconds = {comparison.name: comparison.seconds for comparison in comparisons}
    write_file(path, tensors, {**header, "seconds": seconds})


def read_comparisons(path: Path = COMPARISONS) -> dict[str, Comparison]:
    """The comparisons of a record by name; by default those that ship.

    Raises:
        StorageError: if there is no such file, or it is damaged.
    """
    tensors, header = read_file(path)
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, part = key.rpartition("/")
        parts.setdefault(name, {})[part] = tensor
    return {name: Comparison(name, seconds, **parts[name]) for name, seconds in header["seconds"].items()}


@cache
def recorded_metrics() -> dict[str, dict[str, float]]:
    """The metrics of every comparison of the shipped record, by name."""
    return {name: comparison.measure(test_set()["labels"]) for name, comparison in read_comparisons().items()}


@dataclass(frozen=True)
class Likelihood:
    """The mean log-likelihood of the test images under one Parzen window.

    Attributes:
        name: where the samples come from.
        samples: how many.
        bandwidth: chosen on the validation images.
        log_likelihood: mean over the test images, in nats.
        standard_error: of that mean.
    """

    name: str
    samples: int
    bandwidth: float
    log_likelihood: float
    standard_error: float


@torch.no_grad()
def estimate(data: DataSet) -> Iterator[Likelihood]:
    """All windows of the record: samples of the AAE, training images, and their k-means centroids.

    The bandwidth of each window is the best one for the last sixth of the training images, which the model has not
    seen. For more than 10,000 samples the first thousand of those images choose it.
    """
    fitted, validation = data.train.hold_out()
    window = partial(_window, images=data.test.images, validation=validation.images)
    model = load_trained("likelihood").model
    for count in SAMPLE_COUNTS:
        yield window("AAE", count, partial(_samples_of, model, count))
    real = fitted.images[:JUDGED]
    yield window("training images", len(real), lambda: [real])
    clusters = min(JUDGED, len(fitted) // 5)
    means = MiniBatchKMeans(clusters, init="random", n_init=1, batch_size=4096, max_iter=10, random_state=0)
    centroids = torch.from_numpy(means.fit(fitted.images.numpy()).cluster_centers_)
    yield window("k-means centroids", clusters, lambda: [centroids])


def _samples_of(model: Model, count: int) -> Iterator[Tensor]:
    """Samples of the model in parts that fit into memory, the same each time."""
    for seed, start in enumerate(range(0, count, CHUNK)):
        yield decoded_samples(model, min(CHUNK, count - start), seed)


def _window(
    name: str, count: int, parts: Callable[[], Iterable[Tensor]], images: Tensor, validation: Tensor
) -> Likelihood:
    if count > JUDGED:
        validation = validation[:VALIDATED]
    bandwidth = choose_bandwidth(parts(), validation)
    of_each = parzen_log_likelihood(parts(), images, torch.tensor([bandwidth]))[0].double()
    return Likelihood(name, count, bandwidth, float(of_each.mean()), standard_error(of_each))


def standard_error(values: Tensor) -> float:
    """The standard error of the mean of ``values``, ``[n]``."""
    return float(values.std() / math.sqrt(len(values)))


def save_likelihoods(path: Path, likelihoods: list[Likelihood], header: dict[str, Any]) -> None:
    """Write windows, with a header that says where they come from."""
    write_file(path, {}, {**header, "likelihoods": [asdict(likelihood) for likelihood in likelihoods]})


def read_likelihoods(path: Path = LIKELIHOODS) -> list[Likelihood]:
    """The windows of a record; by default those that ship.

    Raises:
        StorageError: if there is no such file, or it is damaged.
    """
    _, header = read_file(path)
    return [Likelihood(**entry) for entry in header["likelihoods"]]
