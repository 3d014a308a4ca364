"""Exercises of notebook 11: generators compared."""

from collections.abc import Callable

import torch
from torch import nn

from aae_lib.exercises.exercise import Exercise, function, number, outcome
from aae_lib.seeding import seeded

WEIGHTED = (nn.Conv2d, nn.Linear)


def frechet_of_features(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The squared distance of two Gaussians, fitted to features [n, k] of n images each."""
    of_means = (first.mean(0) - second.mean(0)).square().sum()
    a, b = torch.cov(first.T), torch.cov(second.T)
    root = torch.linalg.eigvals(a @ b).real.clamp_min(0).sqrt().sum()
    return of_means + a.trace() + b.trace() - 2 * root


def _frechet(first: torch.Tensor, second: torch.Tensor, of: Callable, dim: int = 0) -> torch.Tensor:
    """The same with other covariances, or with means along another dimension."""
    a, b = of(first), of(second)
    root = torch.linalg.eigvals(a @ b).real.clamp_min(0).sqrt().sum()
    return (first.mean(dim) - second.mean(dim)).square().sum() + a.trace() + b.trace() - 2 * root


def diagonal_distance(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Squared distance of two Gaussians with independent components, fitted to [n, k] and [m, k] -> a number."""
    means = (first.mean(0) - second.mean(0)).square()
    deviations = (first.std(0) - second.std(0)).square()
    return (means + deviations).sum()


def _two_crowds() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(50, 4, generator=generator), 1 + 3 * torch.randn(50, 4, generator=generator)


def with_bounded_slope(discriminator: torch.nn.Sequential) -> torch.nn.Sequential:
    """The discriminator without batch-norm, its convolutions and linear layers with spectral normalization."""
    layers = [layer for layer in discriminator if not isinstance(layer, torch.nn.BatchNorm2d)]
    for layer in layers:
        if hasattr(layer, "weight"):
            torch.nn.utils.parametrizations.spectral_norm(layer)
    return torch.nn.Sequential(*layers)


def _without_batch_norm(discriminator: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(*(layer for layer in discriminator if not isinstance(layer, nn.BatchNorm2d)))


def _with_batch_norm(discriminator: nn.Sequential) -> nn.Sequential:
    for layer in discriminator:
        if isinstance(layer, WEIGHTED):
            nn.utils.parametrizations.spectral_norm(layer)
    return discriminator


def _of_linear_layers(discriminator: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(*(nn.utils.parametrizations.spectral_norm(layer) if isinstance(layer, nn.Linear) else layer
                           for layer in _without_batch_norm(discriminator)))  # fmt: skip


def _without_activations(discriminator: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(*(layer for layer in with_bounded_slope(discriminator) if not isinstance(layer, nn.LeakyReLU)))


def _bounded(answer: Callable) -> object:
    """What the answer makes of a small discriminator."""
    with seeded(0):
        layers = (nn.Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 16, 4, 2, 1), nn.BatchNorm2d(16),
                  nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(16 * 4, 1))  # fmt: skip
        for layer in layers:
            if isinstance(layer, WEIGHTED):
                nn.init.normal_(layer.weight, std=0.5)
        return answer(nn.Sequential(*layers))


def _is_bounded(network: object) -> str:
    """What is wrong with the network, if anything."""
    if not isinstance(network, nn.Module):
        return f"a network is expected, this is {type(network).__name__}"
    layers = list(network.modules())
    if any(isinstance(layer, nn.BatchNorm2d) for layer in layers):
        return "batch-norm is still there: it multiplies by factors that nothing bounds"
    if sum(isinstance(layer, nn.LeakyReLU) for layer in layers) < 2:
        return "the activations are gone: without them the network is linear"
    weights = [layer.weight.flatten(1) for layer in layers if isinstance(layer, WEIGHTED)]
    largest = [torch.linalg.matrix_norm(weight, 2).item() for weight in weights]
    if len(largest) != 3 or max(largest, default=0) > 1.1:
        name = "convolution" if len(weights[largest.index(max(largest))]) > 1 else "linear layer"
        return f"a {name} is not normalized: it stretches an input by a factor of {max(largest):.1f}"
    return ""


EXERCISES: dict[str, Exercise] = {
    "fid_of_doubled_features": number(
        4.0,
        {
            "distances double, and FID is a squared distance": 2.0,
            "FID has a unit, that of the features: it is not left as it is": 1.0,
            "covariances grow by four, and so does the distance of the means: no more than that": 16.0,
        },
        because="A distance squared: means move twice as far apart, and covariances grow by four.",
        minutes=2,
    ),
    "frechet_of_features": function(
        frechet_of_features, _two_crowds,
        {
            "`torch.cov` takes each row for a variable: these are covariances of images, [n, n], not of features":
                lambda first, second: _frechet(first, second, torch.cov),
            "the means run along the features: the mean of each feature over the images is `mean(0)`":
                lambda first, second: _frechet(first, second, lambda crowd: torch.cov(crowd.T), dim=1),
            "the mean is not taken off: that is the second moment, not the covariance":
                lambda first, second: _frechet(first, second, lambda crowd: crowd.T @ crowd / (len(crowd) - 1)),
        },
        because="`torch.cov` and `numpy.cov` expect variables in rows and observations in columns. Features come the "
        "other way round. Nothing is raised as long as there are as many samples as real images, since the two wrong "
        "matrices then have the same shape.",
        minutes=10,
    ),
    "diagonal_distance": function(
        diagonal_distance, _two_crowds,
        {
            "you took the difference of the variances: the formula has that of the deviations":
                lambda a, b: ((a.mean(0) - b.mean(0)).square() + (a.var(0) - b.var(0)).square()).sum(),
            "you took the mean over the features: the distance is their sum":
                lambda a, b: diagonal_distance(a, b) / a.shape[1],
            "the means are missing": lambda a, b: (a.std(0) - b.std(0)).square().sum(),
        },
        because="For diagonal covariances the root of the formula is taken number by number, and "
        "$v_1 + v_2 - 2\\sqrt{v_1 v_2} = (s_1 - s_2)^2$.",
        minutes=10,
    ),
    "with_bounded_slope": outcome(
        with_bounded_slope, _bounded, _is_bounded,
        {
            "batch-norm is still there": _with_batch_norm,
            "a convolution is not normalized": _of_linear_layers,
            "the activations are gone": _without_activations,
            "it stretches an input by a factor": _without_batch_norm,
        },
        because="Spectral normalization divides a weight by its largest singular value, so a linear layer does not "
        "stretch its input (Miyato et al. 2018). PyTorch takes a convolution's weights as one matrix, which bounds it "
        "up to a constant. Batch-norm must go: it divides by deviations that may be small. A gradient penalty "
        "(notebook 06) asks for the same in the loss.",
        minutes=15,
    ),
}  # fmt: skip
