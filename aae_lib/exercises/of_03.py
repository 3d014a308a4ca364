"""Exercises of notebook 03: AAE versus VAE."""

import torch
import torch.nn.functional as F
from torch import Tensor

from aae_lib.exercises.exercise import Exercise, function, number


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)) in nats: two tensors [batch, dimensions] -> a number."""
    of_each = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(dim=1)
    return of_each.mean()


def _means_and_log_variances() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(5, 2, generator=generator), torch.randn(5, 2, generator=generator)


def coverage(codes: Tensor, samples: Tensor) -> Tensor:
    """The share of samples [m, 2] with a code [n, 2] no farther away than their fifth nearest other sample."""
    radii = torch.cdist(samples, samples).sort(dim=1).values[:, 5]  # the first is the sample itself
    nearest = torch.cdist(samples, codes).min(dim=1).values
    return (nearest <= radii).float().mean()


def _codes_and_samples() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    codes = 1.5 * torch.randn(60, 2, generator=generator)
    return codes[codes[:, 0] > -0.7], torch.randn(300, 2, generator=generator)


def _nth(number: int) -> object:
    def share(codes: Tensor, samples: Tensor) -> Tensor:
        radii = torch.cdist(samples, samples).sort(dim=1).values[:, number]
        return (torch.cdist(samples, codes).min(dim=1).values <= radii).float().mean()

    return share


def _balls_around_codes(codes: Tensor, samples: Tensor) -> Tensor:
    return coverage(samples, codes)


def _codes_inside(codes: Tensor, samples: Tensor) -> Tensor:
    radii = torch.cdist(samples, samples).sort(dim=1).values[:, 5]
    return (torch.cdist(samples, codes) <= radii[:, None]).any(dim=0).float().mean()


def vae_loss(logits: Tensor, images: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Reconstruction error plus KL term: logits and images [batch, 784], mean and log-variance [batch, 2]."""
    reconstruction = 0.5 * (logits.sigmoid() - images).square().sum(dim=1).mean()
    kl = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(dim=1).mean()
    return reconstruction + kl


def _with_weights(of_reconstruction: float, of_kl: float) -> object:
    def loss(logits: Tensor, images: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        kl = kl_divergence(mean, log_variance)
        return of_reconstruction * (vae_loss(logits, images, mean, log_variance) - kl) + of_kl * kl

    return loss


def _two_batches() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    logits, mean, log_variance = (torch.randn(20, size, generator=generator) for size in (784, 2, 2))
    return logits, torch.rand(20, 784, generator=generator), mean, log_variance


def _mean_over_pixels(logits: Tensor, images: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    return F.mse_loss(logits.sigmoid(), images) + kl_divergence(mean, log_variance)


EXERCISES: dict[str, Exercise] = {
    "narrow_posterior": number(
        3.615,
        {
            "this is one dimension's: add both": 1.8076,
            "0.1 is the deviation: the variance is 0.01": 1.4026,
            "this is in bits: take the natural logarithm": 5.215,
            "the half is missing": 7.2303,
        },
        because=r"$\frac12 \cdot 2 \cdot (0.1^2 + 0 - 1 - \log 0.1^2) = 0.01 - 1 + 4.605 = 3.615$ nats. A posterior a "
        "tenth as wide tells apart about a hundred places of the plane, and that has its price.",
        minutes=3, within=0.01,
    ),
    "kl_divergence": function(
        kl_divergence, _means_and_log_variances,
        {
            "you averaged over dimensions, too: half of the pull, as with a weight of 1/2":
                lambda mean, log_variance: kl_divergence(mean, log_variance) / 2,
            "the half is missing: twice the pull": lambda mean, log_variance: 2 * kl_divergence(mean, log_variance),
            "you took the log-variance for a log-deviation":
                lambda mean, log_variance: kl_divergence(mean, 2 * log_variance),
            "the sign is wrong: it would push posteriors away from the prior":
                lambda mean, log_variance: -kl_divergence(mean, log_variance),
        },
        because="A frequent slip is to average over dimensions as well. In two dimensions that halves the pull, and "
        "the model trains at a weight of 1/2 without saying so. As the curve shows, that changes what it is.",
        minutes=10,
    ),
    "coverage": function(
        coverage, _codes_and_samples,
        {
            "the nearest of all samples is the sample itself: you took the fourth other one": _nth(4),
            "the balls are those of the prior's samples, not of the codes": _balls_around_codes,
            "this is the share of codes inside a ball: holes of the prior do not lower it": _codes_inside,
        },
        because="A ball without a code is a hole in the codes where the prior has mass. The share of *codes* inside "
        "some ball asks the other question: whether codes lie where the prior has none. `metrics.prior_coverage` does "
        "the same with a search tree.",
        minutes=15,
    ),
    "vae_loss": function(
        vae_loss, _two_batches,
        {
            "a mean over 784 pixels beside a sum over dimensions: in effect a KL weight of 392, at which the codes say "
            "nothing about the image": _mean_over_pixels,
            "the KL term has the wrong sign: it would push posteriors away from the prior": _with_weights(1, -1),
            "the KL term is averaged over dimensions": _with_weights(1, 0.5),
            "the half of the squared error is missing": _with_weights(2, 1),
        },
        because="Both terms belong to one bound, so both are sums: over pixels, and over dimensions of the code. "
        "`mse_loss` is 392 times smaller. Then the KL term rules, all posteriors become the prior, and each image "
        "comes back as the mean of all. Public code has this mean, in VAEs and in AAEs.",
        minutes=10,
    ),
}  # fmt: skip
