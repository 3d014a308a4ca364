"""More of what a Parzen window says: of many more samples of the model, and of samples that no model made.

    python -m aae_lib likelihoods

makes the record of Table 1 anew, in some minutes. The window of 10,000 samples is a part of the evidence; the numbers
here are *recorded*, because a million samples take minutes to compare with ten thousand images.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from aae_lib.data import Digits
from aae_lib.experiments import EVIDENCE, JUDGED, decoded_samples, load_trained
from aae_lib.metrics import choose_bandwidth, parzen_log_likelihood
from aae_lib.models import Model
from aae_lib.storage import read_file, write_file

RECORD = EVIDENCE / "likelihoods.safetensors"
SAMPLE_COUNTS = (10_000, 100_000, 1_000_000)
CHUNK = 50_000  # samples that are in memory at once: 160 MB
VALIDATED = 1_000  # images that choose the bandwidth of many samples


@dataclass(frozen=True)
class Likelihood:
    """The mean log-likelihood of the test images under one Parzen window.

    Attributes:
        name: whose samples they are.
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
def estimate(digits: Digits) -> Iterator[Likelihood]:
    """All windows of the record, one after the other.

    The bandwidth of each is the best one for the last sixth of the training images, which the model has not seen; that
    of more than 10,000 samples for the first thousand of those.
    """
    fitted, validation = digits.train.hold_out()
    window = partial(_window, images=digits.test.images, validation=validation.images)
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
    error = float(of_each.std() / math.sqrt(len(of_each)))
    return Likelihood(name, count, bandwidth, float(of_each.mean()), error)


def save_record(path: Path, likelihoods: list[Likelihood], header: dict[str, Any]) -> None:
    """Write the record."""
    write_file(path, {}, {**header, "likelihoods": [asdict(likelihood) for likelihood in likelihoods]})


def read_record(path: Path = RECORD) -> list[Likelihood]:
    """The shipped record, or that of a file.

    Raises:
        StorageError: if there is none, or it is damaged.
    """
    _, header = read_file(path)
    return [Likelihood(**entry) for entry in header["likelihoods"]]
