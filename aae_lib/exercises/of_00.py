"""Exercises of notebook 00: start here."""

from functools import cache

import torch
from torch import Tensor

from aae_lib.exercises.exercise import Exercise, function
from aae_lib.experiments import load_trained
from aae_lib.models import AdversarialAutoencoder


def halfway(model: AdversarialAutoencoder, first: Tensor, second: Tensor) -> Tensor:
    """The image halfway between two images [1, 784] in the latent plane: [1, 784]."""
    return model.decode((model.encode(first) + model.encode(second)) / 2)


@cache
def _model_and_two_images() -> tuple[AdversarialAutoencoder, Tensor, Tensor]:
    model = load_trained("aae-gaussian").model
    first, second = model.decode(torch.tensor([[0.5, 1.0], [1.5, -1.0]])).detach().split(1)
    return model, first, second


def nearest_digit(codes: Tensor, labels: Tensor, point: Tensor) -> Tensor:
    """The label of the code that is nearest to a point: codes [n, 2], labels [n], point [2] -> a label."""
    distances = (codes - point).norm(dim=1)
    return labels[distances.argmin()]


def _codes_and_a_point() -> tuple[Tensor, Tensor, Tensor]:
    codes = torch.tensor([[2.0, -1.2], [1.0, 0.2], [-3.0, 0.0], [0.4, 1.5], [0.9, 0.9]])
    return codes, torch.tensor([1, 7, 0, 4, 9]), torch.tensor([1.0, 0.6])


def share_within(radii: Tensor) -> Tensor:
    """The shares [n] of the two-dimensional standard Gaussian that lie within these distances of 0, [n]."""
    return 1 - (-radii.square() / 2).exp()


EXERCISES: dict[str, Exercise] = {
    "halfway": function(
        halfway, _model_and_two_images,
        {
            "you took the mean of the two images, a double exposure": lambda model, x, y: (x + y) / 2,
            "you decoded both codes, and took the mean of the two images":
                lambda model, x, y: (model.decode(model.encode(x)) + model.decode(model.encode(y))) / 2,
            "you added the codes and did not divide by two": lambda model, x, y: model.decode(
                model.encode(x) + model.encode(y)),
            "this is the code; decode it": lambda model, x, y: (model.encode(x) + model.encode(y)) / 2,
        },
        because="The mean of two images is a double exposure of both. The mean of their codes is the code of one new "
        "image.",
    ),
    "nearest_digit": function(
        nearest_digit, _codes_and_a_point,
        {
            "this is the farthest code's label: the nearest has the smallest distance":
                lambda codes, labels, point: labels[(codes - point).norm(dim=1).argmax()],
            "this is the number of the nearest code, not its label":
                lambda codes, labels, point: (codes - point).norm(dim=1).argmin(),
            "you compared lengths of codes: take the distance from the point":
                lambda codes, labels, point: labels[codes.norm(dim=1).argmin()],
        },
        because="No label was used to train the model. Near to each other in the plane are images that look alike, so "
        "a neighbor's label is a good guess. Notebook 03 measures how good: it asks ten neighbors.",
        minutes=10,
    ),
    "share_within": function(
        share_within, lambda: (torch.tensor([0.5, 1.0, 1.5]),),
        {
            "this is the share of one coordinate: both together must be within the circle":
                lambda radii: (radii / 2**0.5).erf(),
            "this is a square: each coordinate is within the radius": lambda radii: (radii / 2**0.5).erf() ** 2,
            "this is the share outside": lambda radii: (-radii.square() / 2).exp(),
        },
        because=r"In polar coordinates the density is $\frac{1}{2\pi} e^{-r^2/2}\, r$. Its integral over all angles "
        r"and from 0 to $R$ is $1 - e^{-R^2/2}$. For 10,000 samples and $R = 1, 2, 3$ it gives the 3,935, 8,647 and "
        "9,889 of the text.",
        minutes=10,
    ),
}  # fmt: skip
