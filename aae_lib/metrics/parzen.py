"""The likelihood of images under a Gaussian Parzen window of samples (AAE, section 3)."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

# Near the best bandwidth the mean falls by pixels * (relative distance)^2. In steps of 2.3 % the distance is at most
# half of that, which costs a tenth of a nat on MNIST.
BANDWIDTHS = torch.linspace(math.log(0.08), math.log(0.3), 59).exp()
PARZEN_BLOCK = 1000  # samples in memory at once, with their distances to all images
# The least logarithm of a sample's weight, relative to the nearest sample of its block. A smaller weight changes no
# digit of the sum, and processors take ten times as long for an exponential that underflows.
LEAST_LOG_WEIGHT = -80.0


def parzen_log_likelihood(samples: Tensor | Iterable[Tensor], images: Tensor, bandwidths: Tensor) -> Tensor:
    """log p(x) in nats of each image under a Gaussian Parzen window of samples (AAE, section 3; Breuleux et al. 2011).

    p is the mean, over samples, of the density of N(sample, bandwidth^2 I). Samples are taken in blocks, so any number
    of them fits into memory.

    Args:
        samples: ``[m, pixels]``, in [0, 1], or parts of them one after the other, if all do not fit into memory.
        images: ``[n, pixels]``.
        bandwidths: ``[k]``.

    Returns:
        ``[k, n]``, float32.
    """
    pixels, count = images.shape[1], 0
    total = torch.full((len(bandwidths), len(images)), -math.inf, device=images.device)
    squared_length = images.square().sum(1)
    parts = [samples] if isinstance(samples, Tensor) else samples
    for block in (block for part in parts if len(part) for block in part.split(PARZEN_BLOCK)):
        count += len(block)
        distances = (squared_length[:, None] - 2 * images @ block.T + block.square().sum(1)).clamp_min_(0)
        nearest = distances.amin(1)
        distances -= nearest[:, None]
        for index, bandwidth in enumerate(bandwidths.tolist()):
            scale = -0.5 / bandwidth**2
            weights = (distances * scale).clamp_min_(LEAST_LOG_WEIGHT).exp_()
            total[index] = torch.logaddexp(total[index], scale * nearest + weights.sum(1).log())
    normalization = math.log(count) + pixels * (bandwidths.log() + 0.5 * math.log(2 * math.pi))
    return total - normalization[:, None].to(total.device)


def choose_bandwidth(samples: Tensor | Iterable[Tensor], images: Tensor, bandwidths: Tensor = BANDWIDTHS) -> float:
    """The bandwidth under which images ``[n, pixels]``, neither trained nor tested on, are most likely."""
    return float(bandwidths[parzen_log_likelihood(samples, images, bandwidths).mean(1).argmax()])
