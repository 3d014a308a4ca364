"""Exercises of notebook 08: dimensionality reduction."""

import math

import torch

from aae_lib.exercises.exercise import Exercise, function


def code_of(logits: torch.Tensor, style: torch.Tensor, heads: torch.Tensor) -> torch.Tensor:
    """Codes [n, d]: the heads [K, d] by the label's probabilities, from logits [n, K], plus the style [n, d]."""
    return logits.softmax(dim=1) @ heads + style


def onto_circle(codes: torch.Tensor, heads: torch.Tensor) -> torch.Tensor:
    """Codes [n, 10] in the plane, [n, 2], by the linear map that lays the heads [10, 10] evenly on a circle."""
    angle = 2 * torch.pi * torch.arange(10) / 10
    circle = 10 * torch.stack([angle.cos(), angle.sin()], dim=1)
    return codes @ torch.linalg.solve(heads, circle)  # heads @ M = circle


def trustworthiness(images: torch.Tensor, codes: torch.Tensor, k: int) -> float:
    """Whether the k neighbors of each code [n, d] are neighbors among the images [n, pixels], too; 1 if all are."""
    n = len(images)
    ranks = torch.cdist(images, images).argsort(dim=1).argsort(dim=1)  # 0 is the image itself, 1 the nearest other
    near = torch.cdist(codes, codes).argsort(dim=1)[:, 1 : k + 1]  # without the image itself
    too_far = (ranks.gather(1, near) - k).clamp_min(0)
    return 1 - 2 * float(too_far.sum()) / (n * k * (2 * n - 3 * k - 1))


def neighbor_accuracy(codes: torch.Tensor, digits: torch.Tensor, k: int) -> float:
    """The share of codes [n, d] of which the k nearest others have the same digit, [n], by majority."""
    near = torch.cdist(codes, codes).argsort(dim=1)[:, 1 : k + 1]  # the nearest of all is the code itself
    return float((digits[near].mode(dim=1).values == digits).float().mean())


def _with_themselves(codes: torch.Tensor, digits: torch.Tensor, k: int) -> float:
    near = torch.cdist(codes, codes).argsort(dim=1)[:, :k]
    return float((digits[near].mode(dim=1).values == digits).float().mean())


def _share_of_neighbors(codes: torch.Tensor, digits: torch.Tensor, k: int) -> float:
    near = torch.cdist(codes, codes).argsort(dim=1)[:, 1 : k + 1]
    return float((digits[near] == digits[:, None]).float().mean())


def _angles() -> torch.Tensor:
    angle = 2 * torch.pi * torch.arange(10) / 10
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def _penalties(
    images: torch.Tensor, codes: torch.Tensor, k: int, first: int = 1, rank: int = 0, least: float = 0.0
) -> float:
    """Trustworthiness with slips: neighbors from place ``first`` on, ranks that begin too early, no least penalty."""
    n = len(images)
    ranks = torch.cdist(images, images).argsort(dim=1).argsort(dim=1) + rank
    near = torch.cdist(codes, codes).argsort(dim=1)[:, first : k + first]
    return 1 - 2 * float((ranks.gather(1, near) - k).clamp_min(least).sum()) / (n * k * (2 * n - 3 * k - 1))


def _logits_style_and_heads() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(30, 10, generator=generator), torch.randn(30, 2, generator=generator),
            6 * torch.randn(10, 2, generator=generator))  # fmt: skip


def _codes_and_heads() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    heads = 10 * torch.eye(10) + torch.randn(10, 10, generator=generator)
    return heads.repeat(3, 1) + torch.randn(30, 10, generator=generator), heads


def _images_and_codes() -> tuple[torch.Tensor, torch.Tensor, int]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(80, 5, generator=generator)
    return images, images[:, :2] + 0.1 * torch.randn(80, 2, generator=generator), 6


def _codes_and_digits() -> tuple[torch.Tensor, torch.Tensor, int]:
    generator = torch.Generator().manual_seed(1)
    digits = torch.arange(100) % 10
    return torch.randn(10, 2, generator=generator)[digits] + torch.randn(100, 2, generator=generator) / 2, digits, 3


EXERCISES: dict[str, Exercise] = {
    "code_of": function(
        code_of, _logits_style_and_heads,
        {
            "the softmax is missing: the label's probabilities weigh the heads": lambda y, z, w: y @ w + z,
            "that is the head of the most probable label alone: an undecided image lies between heads":
                lambda y, z, w: w[y.argmax(1)] + z,
            "the softmax is over the images: take it over the labels, `dim=1`": lambda y, z, w: y.softmax(0) @ w + z,
            "the style is missing": lambda y, z, w: y.softmax(1) @ w,
        },
        because="$y W$ is the mean of the heads, weighted by the probabilities. For a decided label this is one head. "
        "For an undecided one it lies between heads, and that is what the dots between two clouds are.",
        minutes=5,
    ),
    "neighbor_accuracy": function(
        neighbor_accuracy, _codes_and_digits,
        {
            "each code counts as a neighbor of itself and votes for its own digit: the result is too high":
                _with_themselves,
            "that is the share of neighbors of the same digit: each code asks for their majority": _share_of_neighbors,
            "these are percent: a share is 100 times smaller": lambda c, d, k: 100 * neighbor_accuracy(c, d, k),
        },
        because="The nearest of all codes is the code itself, at distance 0. With one neighbor the buggy function "
        "returns 1 for every map, even for random numbers.",
        minutes=10,
    ),
    "onto_circle": function(
        onto_circle, _codes_and_heads,
        {
            "codes are rows: solve $W M = C$, with the heads on the left":
                lambda c, w: c @ torch.linalg.solve(w.T, 10 * _angles()),
            "each code went to the point of its nearest head: that is not linear, and makes any model look perfect":
                lambda c, w: 10 * _angles()[torch.cdist(c, w).argmin(1)],
            "the radius is 10": lambda c, w: c @ torch.linalg.solve(w, _angles()),
            "the angle of head k is 2 pi k / 10: head 0 lies at the right, head 1 counterclockwise from it":
                lambda c, w: c @ torch.linalg.solve(w, 10 * _angles().flip(1)),
        },
        because="The map is linear, so it is a matrix $M$, and it is known by where it sends ten independent vectors: "
        "$W M = C$, with the points of the circle as the rows of $C$. `on_circle` of the library takes the mean of the "
        "heads off first, and a pseudo-inverse in place of `solve`, so that it takes heads that span fewer dimensions.",
        minutes=15,
    ),
    "trustworthiness": function(
        trustworthiness, _images_and_codes,
        {
            "you exchanged images and codes: that measure is called continuity":
                lambda x, z, k: trustworthiness(z, x, k),
            "each image is its own nearest neighbor: leave it out": lambda x, z, k: _penalties(x, z, k, first=0),
            "neighbors that are near among the images, too, cost nothing: no penalty is negative":
                lambda x, z, k: _penalties(x, z, k, least=-math.inf),
            "ranks begin too late: the nearest other image has rank 1": lambda x, z, k: _penalties(x, z, k, rank=1),
        },
        because="`argsort` twice gives ranks: the first says which image stands at each place, the second at which "
        "place each image stands. The factor in front makes the worst map 0 and the best one 1. scikit-learn's "
        "`sklearn.manifold.trustworthiness` gives the same number.",
        minutes=25,
    ),
}  # fmt: skip
