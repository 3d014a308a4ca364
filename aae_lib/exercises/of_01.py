"""Exercises of notebook 01: what a plain autoencoder lacks."""

import torch
from torch import Tensor

from aae_lib.exercises.exercise import Exercise, function


def half_squared_error(reconstructions: Tensor, images: Tensor) -> Tensor:
    """The mean over the minibatch of half the squared error of each image; both arguments are [batch, 784]."""
    return 0.5 * (reconstructions - images).square().sum(dim=1).mean()


def _two_batches() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(20, 784, generator=generator), torch.rand(20, 784, generator=generator)


EXERCISES: dict[str, Exercise] = {
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
}  # fmt: skip
