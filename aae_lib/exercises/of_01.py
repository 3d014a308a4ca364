"""Exercises of notebook 01: what a plain autoencoder lacks."""

import torch
from torch import Tensor, nn

from aae_lib.exercises.exercise import Exercise, function, number
from aae_lib.seeding import seeded


def half_squared_error(reconstructions: Tensor, images: Tensor) -> Tensor:
    """The mean over the minibatch of half the squared error of each image; both arguments are [batch, 784]."""
    return 0.5 * (reconstructions - images).square().sum(dim=1).mean()


def _two_batches() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(20, 784, generator=generator), torch.rand(20, 784, generator=generator)


def fitted_samples(codes: Tensor, noise: Tensor) -> Tensor:
    """Samples of the Gaussian with the mean and the covariance of codes [n, 2], from standard noise [m, 2]: [m, 2]."""
    factor = torch.linalg.cholesky(codes.T.cov())  # factor @ factor.T is the covariance
    return codes.mean(0) + noise @ factor.T


def _codes_and_noise() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    stretched = torch.randn(500, 2, generator=generator) @ torch.tensor([[6.0, 3.0], [0.0, 2.0]])
    return stretched + torch.tensor([4.0, -7.0]), torch.randn(50, 2, generator=generator)


def reconstruction_loss(decoder: nn.Module, code: Tensor, images: Tensor) -> Tensor:
    """Half the squared error of the decoder's images; the decoder's last layer returns logits [batch, 784]."""
    reconstructions = decoder(code).sigmoid()
    return 0.5 * (reconstructions - images).square().sum(dim=1).mean()


def _decoder_code_and_images() -> tuple[nn.Module, Tensor, Tensor]:
    with seeded(3):
        return nn.Linear(2, 784), torch.randn(20, 2), torch.rand(20, 784)


def _squashed_twice(decoder: nn.Module, code: Tensor, images: Tensor) -> Tensor:
    reconstructions = decoder(code).sigmoid().sigmoid()
    return 0.5 * (reconstructions - images).square().sum(dim=1).mean()


EXERCISES: dict[str, Exercise] = {
    "untrained_loss": number(
        98.0,
        {
            "twice too large: the loss is half of the squared error": 196.0,
            "this is one pixel's: sum over all 784": 0.125,
            "you took the absolute difference: square it": 392.0,
        },
        because="A pixel that is 0 or 1 and is drawn as ½ costs ½ · ¼ = ⅛, and 784 of them cost 98. Real digits have "
        "some gray pixels, too, which cost less.",
    ),
    "half_squared_error": function(
        half_squared_error, _two_batches,
        {
            "you averaged over the pixels, too: 392 times too small": lambda r, x: (r - x).square().mean(),
            "the half is missing: twice too large": lambda r, x: (r - x).square().sum(1).mean(),
            "you summed over the minibatch: the loss grows with its size": lambda r, x: 0.5 * (r - x).square().sum(),
        },
        because="`mse_loss` averages over the pixels as well and has no half, so it is 784 / 2 = 392 times smaller, "
        "and so is its gradient. Beside a second loss that shifts the balance between the two.",
    ),
    "fitted_samples": function(
        fitted_samples, _codes_and_noise,
        {
            "the mean of the codes is missing": lambda codes, noise: noise @ torch.linalg.cholesky(codes.T.cov()).T,
            "you multiplied by the covariance: take its root, the Cholesky factor":
                lambda codes, noise: codes.mean(0) + noise @ codes.T.cov(),
            "your samples are rows, so the factor is transposed":
                lambda codes, noise: codes.mean(0) + noise @ torch.linalg.cholesky(codes.T.cov()),
            "you scaled each dimension alone: the codes are correlated":
                lambda codes, noise: codes.mean(0) + noise * codes.std(0),
        },
        because=r"If $\varepsilon$ has covariance $I$, then $L\varepsilon$ has covariance $L L^\top$. With the samples "
        r"in rows it is $\varepsilon^\top L^\top$. This is ex-post density estimation with the simplest density.",
        minutes=10,
    ),
    "reconstruction_loss": function(
        reconstruction_loss, _decoder_code_and_images,
        {
            "two sigmoids: pixels from 0.5 to 0.73 at most, so that no background can become black": _squashed_twice,
            "no sigmoid is left: logits are no pixels": lambda decoder, code, images: 0.5 * (
                decoder(code) - images).square().sum(dim=1).mean(),
        },
        because="The sigmoid of a number from 0 to 1 lies from 0.5 to 0.73. The code trains without an error, and all "
        "images stay gray. The same slip with labels, a cross-entropy of a softmax, stands in several public "
        "repositories. Whoever names numbers `logits` or `images`, and not `outputs`, sees it at once.",
        minutes=10,
    ),
}  # fmt: skip
