"""Other methods on the same images: clusters and maps without an adversary, and Parzen windows of many samples.

They take half an hour on one core, so their results ship: they are *recorded*. Tables and figures are made from the
records.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aae_lib import metrics
from aae_lib.data import DataSet, Images, load_mnist
from aae_lib.experiments import EVIDENCE, JUDGED, TRUSTED, decoded_samples, find, load_trained, origin, test_set
from aae_lib.experiments.semi_supervised import MOTION
from aae_lib.models import Model
from aae_lib.networks import RandomAffine
from aae_lib.storage import read_file, write_file
from aae_lib.training import train

COMPARISONS = EVIDENCE / "comparisons.safetensors.gz"
LIKELIHOODS = EVIDENCE / "likelihoods.safetensors.gz"
COMPONENTS = 50  # principal components of the pixels, where a method is too slow on all pixels
SEED = 0
CODERS = 3  # seeds of the autoencoders whose codes are as long as the styles of the clustering AAE
SAMPLE_COUNTS = (10_000, 100_000, 1_000_000)
CHUNK = 50_000  # samples in memory at once: 160 MB
VALIDATED = 1_000  # images that choose the bandwidth of many samples

Comparison = dict[str, Tensor]
"""What one method makes of ``n`` test images.

``clusters`` ``[n]``, uint8, and their ``names`` ``[clusters]``, int8, by the majority of the validation images; or
``codes`` ``[n, 2]``, float16, and the ``trustworthiness`` ``[1]``, float32, of the first 2,000.
"""


def _from_here(data: DataSet) -> dict[str, Any]:
    return {"data": data.source, "data_sha256": data.sha256, **origin("cpu")}


# Clusters and maps


def record_comparisons(path: Path) -> Iterator[str]:
    """Run every method on MNIST, or on the sample digits; a line for each, at the end the record in ``path``."""
    data = load_mnist()
    header, tensors, seconds = _from_here(data), {}, {}
    started = time.perf_counter()
    for name, comparison in compare(data):
        seconds[name] = round(time.perf_counter() - started, 1)
        tensors |= {f"{name}/{part}": tensor for part, tensor in comparison.items()}
        values = ", ".join(f"{metric} {value:.4f}" for metric, value in measured(comparison, data.test.labels).items())
        yield f"{name} ({seconds[name]:.0f} s): {values}"
        started = time.perf_counter()
    write_file(path, tensors, {**header, "seconds": seconds})


def compare(data: DataSet) -> Iterator[tuple[str, Comparison]]:
    """Every method by name, the quick ones first; UMAP only if the package ``umap-learn`` is installed.

    Clusters are fitted to the training images without the last sixth, which names them; PCA as well. t-SNE and UMAP see
    the test images alone: t-SNE cannot map new ones.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from sklearn.mixture import GaussianMixture

    fitted, naming = data.train.hold_out()
    images = data.test.images
    principal = PCA(COMPONENTS, random_state=SEED).fit(fitted.images.numpy())
    views = {
        "pixels": Tensor.numpy,
        "2-D autoencoder codes": partial(_codes, load_trained("autoencoder").model),
        "50 components": lambda images: principal.transform(images.numpy()),
    }

    def clusters(method: Any, count: int, view: Callable[[Tensor], np.ndarray]) -> Comparison:
        method.fit(view(fitted.images))
        of_naming, of_test = (torch.from_numpy(method.predict(view(part))) for part in (naming.images, images))
        return {"clusters": of_test.byte(), "names": metrics.majority_names(of_naming, naming.labels, count)}

    def plane(places: np.ndarray) -> Comparison:
        codes = torch.from_numpy(places).half()
        kept = metrics.neighborhoods_kept(images[:TRUSTED], codes[:TRUSTED])
        return {"codes": codes, "trustworthiness": torch.tensor([kept])}

    components = views["50 components"](images)
    yield "PCA", plane(components[:, :2])
    for count in (16, 30):
        for where in ("pixels", "2-D autoencoder codes"):
            method = KMeans(count, n_init=4, random_state=SEED)
            yield f"k-means, {where}, {count} clusters", clusters(method, count, views[where])
        for where in ("50 components", "2-D autoencoder codes"):
            method = GaussianMixture(count, random_state=SEED)
            yield f"Gaussian mixture, {where}, {count} clusters", clusters(method, count, views[where])
    for augmented in (False, True):
        for seed in range(CODERS):
            view = partial(_codes, _coder(fitted, seed, augmented))
            where = f"10-D {'augmented ' * augmented}autoencoder codes"
            for count in (16, 30):
                for name, method in (("k-means", KMeans(count, n_init=4, random_state=SEED)),
                                     ("Gaussian mixture", GaussianMixture(count, random_state=SEED))):  # fmt: skip
                    yield f"{name}, {where}, {count} clusters, seed {seed}", clusters(method, count, view)
    yield "t-SNE", plane(TSNE(random_state=SEED).fit_transform(components))
    try:
        from umap import UMAP
    except ImportError:
        return
    yield "UMAP", plane(UMAP(random_state=SEED).fit_transform(components))


def _coder(images: Images, seed: int, augmented: bool) -> Model:
    """A plain autoencoder with the sizes of the clustering AAE, trained as `autoencoder` is, in some minutes."""
    clustering, plain = find("cluster-16"), find("autoencoder")
    settings = {"dimensions": clustering.prior.dimensions, "hidden": clustering.settings["hidden"]}
    model = replace(plain, settings=settings).model(seed)
    if augmented:  # of what the encoder sees; the decoder draws the image as it is
        model.encoder = nn.Sequential(RandomAffine(*MOTION), *model.encoder)
    for _ in train(model, images.without_labels(), plain.recipe, seed=seed, device="cpu"):
        pass
    return model


@torch.no_grad()
def _codes(model: Model, images: Tensor) -> np.ndarray:
    return model.encode(images).double().numpy()


def measured(comparison: Comparison, labels: Tensor) -> dict[str, float]:
    """``test_error_percent`` of clusters; ``neighbor_accuracy`` and ``trustworthiness`` of a map."""
    if "clusters" in comparison:
        named = comparison["names"][comparison["clusters"].long()]
        return {"test_error_percent": metrics.error_percent(named, labels)}
    accuracy = metrics.neighbor_accuracy(comparison["codes"], labels)
    return {"neighbor_accuracy": accuracy, "trustworthiness": float(comparison["trustworthiness"])}


def read_comparisons(path: Path = COMPARISONS) -> dict[str, Comparison]:
    """The comparisons of a record by name; raises as :func:`~aae_lib.storage.read_file`."""
    tensors, header = read_file(path)
    found: dict[str, Comparison] = {name: {} for name in header["seconds"]}
    for key, tensor in tensors.items():
        name, _, part = key.rpartition("/")
        found[name][part] = tensor
    return found


@cache
def recorded_metrics() -> dict[str, dict[str, float]]:
    """The metrics of every comparison of the shipped record, by name."""
    return {name: measured(comparison, test_set()["labels"]) for name, comparison in read_comparisons().items()}


def recorded_errors() -> dict[str, np.ndarray]:
    """Test errors in percent of the recorded clusters, by method, an entry for each seed of the codes."""
    found: dict[str, list[float]] = {}
    for name, values in recorded_metrics().items():
        if "test_error_percent" in values:
            found.setdefault(name.partition(", seed")[0], []).append(values["test_error_percent"])
    return {name: np.array(errors) for name, errors in found.items()}


# Likelihoods


@dataclass(frozen=True)
class Likelihood:
    """The mean log-likelihood of the test images under one Parzen window, in nats."""

    name: str  # where the samples come from
    samples: int
    bandwidth: float  # chosen on the validation images
    log_likelihood: float
    standard_error: float  # of that mean


def record_likelihoods(path: Path) -> Iterator[str]:
    """Measure every window on MNIST, or on the sample digits; a line for each, at the end the record in ``path``."""
    data = load_mnist()
    header, windows = _from_here(data), []
    for window in estimate(data):
        windows.append(asdict(window))
        yield (f"{window.name}, {window.samples:,} samples, bandwidth {window.bandwidth:.3f}: "
               f"{window.log_likelihood:.1f} ± {window.standard_error:.1f} nats")
    write_file(path, {}, {**header, "likelihoods": windows})


def estimate(data: DataSet) -> Iterator[Likelihood]:
    """All windows of the record: samples of the AAE, training images, and their k-means centroids.

    The bandwidth of each window is the best one for the last sixth of the training images, which the model has not
    seen. For more than 10,000 samples the first thousand of those images choose it.
    """
    from sklearn.cluster import MiniBatchKMeans

    fitted, validation = data.train.hold_out()

    def window(name: str, count: int, parts: Callable[[], Iterable[Tensor]]) -> Likelihood:
        choosing = validation.images[: VALIDATED if count > JUDGED else None]
        bandwidth = metrics.choose_bandwidth(parts(), choosing)
        of_each = metrics.parzen_log_likelihood(parts(), data.test.images, torch.tensor([bandwidth]))[0].double()
        return Likelihood(name, count, bandwidth, float(of_each.mean()), standard_error(of_each))

    model = load_trained("likelihood").model
    for count in SAMPLE_COUNTS:
        yield window("AAE", count, lambda count=count: _samples_of(model, count))
    real = fitted.images[:JUDGED]
    yield window("training images", len(real), lambda: [real])
    clusters = min(JUDGED, len(fitted) // 5)
    means = MiniBatchKMeans(clusters, init="random", n_init=1, batch_size=4096, max_iter=10, random_state=0)
    centroids = torch.from_numpy(means.fit(fitted.images.numpy()).cluster_centers_)
    yield window("k-means centroids", clusters, lambda: [centroids])


@torch.no_grad()
def _samples_of(model: Model, count: int) -> Iterator[Tensor]:
    """Samples of the model in parts that fit into memory, the same each time."""
    for seed, start in enumerate(range(0, count, CHUNK)):
        yield decoded_samples(model, min(CHUNK, count - start), seed)


def standard_error(values: Tensor) -> float:
    """The standard error of the mean of values ``[n]``."""
    return float(values.std()) / len(values) ** 0.5


def read_likelihoods(path: Path = LIKELIHOODS) -> list[Likelihood]:
    """The windows of a record; raises as :func:`~aae_lib.storage.read_file`."""
    return [Likelihood(**entry) for entry in read_file(path)[1]["likelihoods"]]
