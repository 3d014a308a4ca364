"""More of what a Parzen window says: of many more samples of the model, and of samples that no model made.

    python -m aae_lib likelihoods

makes the record of Table 1 anew, in some minutes. The window of 10,000 samples is a part of the evidence; the numbers
here are *recorded*, because a million samples take minutes to compare with ten thousand images.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from aae_lib.data import Digits
from aae_lib.experiments import EVIDENCE, JUDGED, decoded_samples, load_trained
from aae_lib.metrics import BANDWIDTHS, parzen_log_likelihood
from aae_lib.storage import read_file, write_file

RECORD = EVIDENCE / "likelihoods.safetensors"
SAMPLE_COUNTS = (10_000, 100_000, 1_000_000)
CHUNK = 50_000  # samples that are in memory at once: 160 MB


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

    The bandwidth of each is the best one for the last sixth of the training images, which the model has not seen.
    """
    fitted, validation = digits.train.hold_out()
    window = partial(_window, images=digits.test.images, validation=validation.images)
    model = load_trained("likelihood").model
    for count in SAMPLE_COUNTS:
        sizes = [min(CHUNK, count)] * max(1, count // CHUNK)
        yield window("AAE", (decoded_samples(model, size, seed) for seed, size in enumerate(sizes)))
    yield window("training images", [fitted.images[:JUDGED]])
    clusters = min(JUDGED, len(fitted) // 5)
    means = MiniBatchKMeans(clusters, init="random", n_init=1, batch_size=4096, max_iter=10, random_state=0)
    centroids = torch.from_numpy(means.fit(fitted.images.numpy()).cluster_centers_)
    yield window("k-means centroids", [centroids])


def _window(name: str, chunks: Iterable[Tensor], images: Tensor, validation: Tensor) -> Likelihood:
    count, total = 0, torch.full((len(BANDWIDTHS), len(images) + len(validation)), -math.inf)
    both = torch.cat([images, validation])
    for samples in chunks:
        total = torch.logaddexp(total, parzen_log_likelihood(samples, both, BANDWIDTHS) + math.log(len(samples)))
        count += len(samples)
    total -= math.log(count)
    best = total[:, len(images) :].mean(1).argmax()
    of_each = total[best, : len(images)].double()
    error = float(of_each.std() / math.sqrt(len(of_each)))
    return Likelihood(name, count, float(BANDWIDTHS[best]), float(of_each.mean()), error)


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
