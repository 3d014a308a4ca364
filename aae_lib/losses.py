"""Losses, each beside its equation, in float32. The loss of a minibatch is the average over its images."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.networks import has_batch_norm


def half_squared_error(logits: Tensor, images: Tensor) -> Tensor:
    """1/2 ||x - sigmoid(l)||^2 of logits l and images x in [0, 1], ``[n, pixels]``, **summed** over pixels (AAE, A.2).

    The paper's learning rates were chosen for this sum; the mean squared error of 784 pixels is 392 times smaller.
    """
    return 0.5 * (logits.float().sigmoid() - images).square().sum() / len(images)


def binary_cross_entropy(logits: Tensor, images: Tensor, reduce: bool = True) -> Tensor:
    """-sum_pixels [x log sigmoid(l) + (1 - x) log(1 - sigmoid(l))], the VAE literature's reconstruction loss.

    Without ``reduce`` it is not averaged: the loss of each image ``[n]``.
    """
    of_each = F.binary_cross_entropy_with_logits(logits.float(), images, reduction="none").sum(1)
    return of_each.mean() if reduce else of_each


def unbounded_squared_error(numbers: Tensor, values: Tensor) -> Tensor:
    """1/2 ||x - y||^2 of numbers y and values x of any range, ``[n, columns]``, summed: for standardized tables."""
    return 0.5 * (numbers.float() - values).square().sum() / len(values)


# What makes images of a decoder's numbers, for each loss.
half_squared_error.output = binary_cross_entropy.output = torch.sigmoid
unbounded_squared_error.output = nn.Identity()


def real_fake_loss(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """-E log D(real) - E log(1 - D(fake)): what the discriminator minimizes (Goodfellow et al. 2014, equation 1).

    D is the sigmoid of the discriminator's logits ``[n, 1]``. At the game's equilibrium it cannot tell real from fake,
    each ``[n, d]``, and the loss is 2 log 2 = 1.386. ``fake`` must be detached.
    """
    if has_batch_norm(discriminator):  # statistics of a mixed batch would give real and fake away
        real_logits, fake_logits = discriminator(real), discriminator(fake)
    else:  # one pass over both is faster and the same mathematics
        real_logits, fake_logits = discriminator(torch.cat([real, fake])).split([len(real), len(fake)])
    return F.softplus(-real_logits.float()).mean() + F.softplus(fake_logits.float()).mean()


def fool_loss(discriminator: nn.Module, fake: Tensor, weights: Tensor | None = None) -> Tensor:
    """-E log D(fake): what the generator minimizes, in the non-saturating form of Goodfellow et al. 2014, section 3.

    At equilibrium it is log 2 = 0.693. Weights ``[n]`` are factors on the loss of each fake; the sum is divided by n.
    """
    of_each = F.softplus(-discriminator(fake).float())
    return (of_each if weights is None else weights.view_as(of_each) * of_each).mean()


def gaussian_kl(mean: Tensor, log_variance: Tensor, standard_deviation: float = 1.0, reduce: bool = True) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, s^2 I)) in nats, summed over dimensions (Kingma & Welling 2014, app. B).

    Mean and log-variance are ``[n, d]``; without ``reduce`` it is that of each of the n.
    """
    mean, log_variance = mean.float(), log_variance.float()
    scaled_variance = (log_variance.exp() + mean.square()) / standard_deviation**2
    scale = 2 * math.log(standard_deviation)
    of_each = 0.5 * (scaled_variance - 1 - log_variance + scale).sum(1)
    return of_each.mean() if reduce else of_each


def fitted_gaussian_kl(codes: Tensor) -> Tensor:
    """KL(N(m, s^2) || N(0, I)) in nats per dimension, of the diagonal Gaussian fitted to codes ``[batch, d]``.

    With mean m_j and variance s_j^2 of each dimension over the minibatch it is the mean over j of
    (s_j^2 + m_j^2 - log s_j^2 - 1) / 2 (AGE, equation 7). On the unit sphere it is smallest for codes that spread
    evenly, though not zero there: with s_j^2 = 1/d, (1/d + log d - 1) / 2.
    """
    codes = codes.float()
    mean, variance = codes.mean(0), codes.var(0, correction=0)
    return 0.5 * (variance + mean.square() - variance.log() - 1).mean()
