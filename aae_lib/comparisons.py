"""What people use today on the same images: clusters and maps that no adversary has made.

    python -m aae_lib compare

They take some minutes, so what they make of the test images is computed once and shipped: it is *recorded*. Numbers and
pictures are made anew from the record, as from the evidence of an experiment.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.mixture import GaussianMixture
from torch import Tensor

from aae_lib.data import Digits
from aae_lib.experiments import EVIDENCE, TRUSTED, load_trained, test_set
from aae_lib.metrics import error_percent, majority_names, neighbor_accuracy, neighborhoods_kept
from aae_lib.storage import read_file, write_file

RECORD = EVIDENCE / "comparisons.safetensors"
COMPONENTS = 50  # principal components of the pixels, where a method cannot take all 784
SEED = 0


@dataclass(frozen=True)
class Comparison:
    """One method's clusters or map of the test images; what it does not make is empty.

    Attributes:
        name: method, what it works on, and the number of clusters.
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


def compare(digits: Digits) -> Iterator[Comparison]:
    """Run every method, the quick ones first; UMAP only if the package ``umap-learn`` is installed.

    Clusters are fitted to the training images without the last sixth, which names them; PCA as well. t-SNE and UMAP see
    the test images alone: t-SNE cannot map new ones.
    """
    fitted, naming = digits.train.hold_out()
    coder = load_trained("autoencoder").model

    def pixels(images: Tensor) -> np.ndarray:
        return images.numpy()

    principal = PCA(COMPONENTS, random_state=SEED).fit(pixels(fitted.images))

    def components(images: Tensor) -> np.ndarray:
        return principal.transform(pixels(images))

    @torch.no_grad()
    def codes(images: Tensor) -> np.ndarray:
        return coder.encode(images).numpy()

    def cluster(name: str, method: Any, view: Callable[[Tensor], np.ndarray]) -> Comparison:
        started = time.perf_counter()
        method.fit(view(fitted.images))
        of_naming, of_test = (torch.from_numpy(method.predict(view(part.images))) for part in (naming, digits.test))
        count = getattr(method, "n_clusters", None) or method.n_components
        names = majority_names(of_naming, naming.labels, count)
        return Comparison(name, round(time.perf_counter() - started, 1), clusters=of_test.byte(), names=names)

    def place(name: str, embed: Callable[[], np.ndarray]) -> Comparison:
        started = time.perf_counter()
        embedding = torch.from_numpy(embed()).half()
        seconds = round(time.perf_counter() - started, 1)
        kept = neighborhoods_kept(digits.test.images[:TRUSTED], embedding[:TRUSTED])
        return Comparison(name, seconds, codes=embedding, trustworthiness=torch.tensor([kept]))

    yield place("PCA", lambda: components(digits.test.images)[:, :2])
    for count in (16, 30):
        for where, view in (("pixels", pixels), ("autoencoder codes", codes)):
            method = KMeans(count, n_init=4, random_state=SEED)
            yield cluster(f"k-means, {where}, {count} clusters", method, view)
        for where, view in (("50 components", components), ("autoencoder codes", codes)):
            method = GaussianMixture(count, random_state=SEED)
            yield cluster(f"Gaussian mixture, {where}, {count} clusters", method, view)
    yield place("t-SNE", lambda: TSNE(random_state=SEED).fit_transform(components(digits.test.images)))
    try:
        from umap import UMAP
    except ImportError:
        return
    yield place("UMAP", lambda: UMAP(random_state=SEED).fit_transform(components(digits.test.images)))


def save_record(path: Path, comparisons: list[Comparison], header: dict[str, Any]) -> None:
    """Write comparisons and where they come from."""
    tensors = {
        f"{comparison.name}/{part}": getattr(comparison, part)
        for comparison in comparisons
        for part in ("clusters", "names", "codes", "trustworthiness")
        if len(getattr(comparison, part))
    }
    seconds = {comparison.name: comparison.seconds for comparison in comparisons}
    write_file(path, tensors, {**header, "seconds": seconds}, compress=True)


def read_record(path: Path = RECORD) -> dict[str, Comparison]:
    """The comparisons of a record, by name.

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
    return {name: comparison.measure(test_set()["labels"]) for name, comparison in read_record().items()}
