"""Exercises of notebook 09: the log-likelihood."""

import math

import torch

from aae_lib.exercises.exercise import Exercise, function, number
from aae_lib.metrics import parzen_log_likelihood

A_TENTH_NEARER = round(-392 * math.log(0.9), 1)


def log_likelihood(image: torch.Tensor, samples: torch.Tensor, bandwidth: float) -> torch.Tensor:
    """log p(x) in nats under a window of samples: image [784], samples [m, 784], bandwidth -> a number."""
    squared_distances = (samples - image).square().sum(dim=1)
    normalization = len(image) / 2 * math.log(2 * math.pi * bandwidth**2)
    of_each = -squared_distances / (2 * bandwidth**2) - normalization
    return of_each.logsumexp(dim=0) - math.log(len(samples))


def measured(
    samples: torch.Tensor, validation: torch.Tensor, test: torch.Tensor, bandwidths: torch.Tensor
) -> float:
    """The mean log-likelihood of test images, [n, 784], under the best of some bandwidths, [k]."""
    of_each_bandwidth = parzen_log_likelihood(samples, validation, bandwidths).mean(dim=1)
    chosen = bandwidths[of_each_bandwidth.argmax()]
    return float(parzen_log_likelihood(samples, test, chosen[None]).mean())


def distance_if_moved(image: torch.Tensor, others: torch.Tensor, pixels: int) -> torch.Tensor:
    """The least squared distance of an image [28, 28], moved by up to `pixels` each way, to each other one, [n]."""
    padded = torch.nn.functional.pad(image, (pixels,) * 4)  # zeros around it
    moved = padded.unfold(0, 28, 1).unfold(1, 28, 1).reshape(-1, 784)  # all windows of 28 x 28
    return torch.cdist(moved, others.flatten(1)).square().amin(dim=0)


def _chosen_by_test(samples: torch.Tensor, _: torch.Tensor, test: torch.Tensor, bandwidths: torch.Tensor) -> float:
    return float(parzen_log_likelihood(samples, test, bandwidths).mean(dim=1).max())


def _of_each_image(samples: torch.Tensor, _: torch.Tensor, test: torch.Tensor, bandwidths: torch.Tensor) -> float:
    return float(parzen_log_likelihood(samples, test, bandwidths).amax(dim=0).mean())


def _windows(image: torch.Tensor, pixels: int) -> torch.Tensor:
    """The image moved down, by rows, and to the right, by columns: ``[2 pixels + 1, 2 pixels + 1, 784]``."""
    padded = torch.nn.functional.pad(image, (pixels,) * 4)
    return padded.unfold(0, 28, 1).unfold(1, 28, 1).flatten(2)


def _least(moved: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    return torch.cdist(moved.reshape(-1, 784), others.flatten(1)).square().amin(dim=0)


def _coming_back(image: torch.Tensor, others: torch.Tensor, pixels: int) -> torch.Tensor:
    ways = range(-pixels, pixels + 1)
    return _least(torch.stack([image.roll((down, right), (0, 1)) for down in ways for right in ways]), others)


def _image_samples_and_bandwidth() -> tuple[torch.Tensor, torch.Tensor, float]:
    """An image, and each of a hundred samples ten times, so that the nearest one alone is not the sum."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(784, generator=generator), torch.rand(100, 784, generator=generator).repeat(10, 1), 0.15


def _three_sets() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    samples, validation, test = (torch.randn(count, 3, generator=generator) for count in (30, 20, 20))
    return samples, 1.5 * validation, test, torch.linspace(0.1, 2, 12)


def _image_and_others() -> tuple[torch.Tensor, torch.Tensor, int]:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(28, 28, generator=generator)
    moved = torch.stack([image.roll((down, right), (0, 1)) for down in (-2, 0, 1) for right in (-1, 0, 2)])
    return image, torch.cat([moved, torch.rand(5, 28, 28, generator=generator)]), 2


EXERCISES: dict[str, Exercise] = {
    "gain_of_a_tenth": number(
        A_TENTH_NEARER,
        {
            "in the normalization stands half of 784: twice too much": 2 * A_TENTH_NEARER,
            "nearer is likelier: the log-likelihood gains": -A_TENTH_NEARER,
            "that is one dimension's share of it: there are 784 / 2": round(-math.log(0.9), 4),
            "the logarithm of 0.9 is not 0.1: close, but count exactly": 39.2,
        },
        because="With the best bandwidth all that depends on the model is $-392 \\log d$. A tenth less of $d$ changes "
        "it by $-392 \\log 0.9 = 41.3$ nats, whatever $d$ is. That is more than two thirds of the step from the "
        "GMMN + AE to the AAE in Table 1.",
        minutes=5, within=0.015,
    ),
    "log_likelihood": function(
        log_likelihood, _image_samples_and_bandwidth,
        {
            "every density is 0 in single precision, and the logarithm of 0 is minus infinity: use logsumexp":
                lambda x, s, b: log_likelihood(x, s, b) - math.inf,
            "that is the mean of log-densities: the log of the mean density is asked, or far samples decide":
                lambda x, s, b: torch.stack([log_likelihood(x, each[None], b) for each in s]).mean(),
            "the window has 784 dimensions, and your normalization has one":
                lambda x, s, b: log_likelihood(x, s, b) + 783 / 2 * math.log(2 * math.pi * b**2),
            "you summed the densities: their mean has a log(m) less":
                lambda x, s, b: log_likelihood(x, s, b) + math.log(len(s)),
            "that is the nearest sample alone: others that are as near count, too":
                lambda x, s, b: torch.stack([log_likelihood(x, each[None], b) for each in s]).max() - math.log(len(s)),
        },
        because="`logsumexp` takes the largest exponent out before anything is exponentiated. Here all exponents are "
        "below -1000, and single precision ends at about -103.",
        minutes=15,
    ),
    "measured": function(
        measured, _three_sets,
        {
            "the test images have chosen the bandwidth: choose it on the validation images": _chosen_by_test,
            "each test image has chosen a bandwidth of its own": _of_each_image,
            "that is the log-likelihood of the validation images":
                lambda s, v, t, b: float(parzen_log_likelihood(s, v, b).mean(1).max()),
        },
        because="What has been used to choose is no longer unseen. With one bandwidth and thousands of images the "
        "gain is small. With the step at which to stop, or the best of ten models, it is not.",
        minutes=10,
    ),
    "distance_if_moved": function(
        distance_if_moved, _image_and_others,
        {
            "what leaves the image comes back at the other side: zeros come in": _coming_back,
            "you moved the image sideways only": lambda x, o, p: _least(_windows(x, p)[p], o),
            "you moved the image up and down only": lambda x, o, p: _least(_windows(x, p)[:, p], o),
            "the image has to be moved in both directions at once, too":
                lambda x, o, p: torch.minimum(_least(_windows(x, p)[p], o), _least(_windows(x, p)[:, p], o)),
            "these are distances: square them": lambda x, o, p: distance_if_moved(x, o, p).sqrt(),
        },
        because="`unfold` gives all windows of 28 x 28 in the padded image: all the moved images. `cdist` compares "
        "them with all others at once. Forgeries that are moved by up to `pixels` now have the distance 0, unless a "
        "stroke left the picture. Other forgeries (rotated, thicker, of two images) still pass.",
        minutes=25,
    ),
}  # fmt: skip
