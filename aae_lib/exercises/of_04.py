"""Exercises of notebook 04: choosing the prior."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from aae_lib.exercises.exercise import Exercise, function, outcome
from aae_lib.priors import ClassConditionalPrior, GaussianMixture
from aae_lib.seeding import seeded


def switch_of(labels: torch.Tensor) -> torch.Tensor:
    """The switch [n, 11] of integer labels [n]: ten entries for the digits, the last one for a label of -1."""
    return F.one_hot(torch.where(labels < 0, 10, labels), 11).float()


def on_arc(labels: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Points on the ring: integer labels [n] and shares [n] of their arcs, in [0, 1] -> codes [n, 2]."""
    angle = 2 * torch.pi * (labels + shares) / 10
    return 2 * torch.stack([angle.cos(), angle.sin()], dim=1)


def sample_inside(contains: Callable, count: int) -> torch.Tensor:
    """Exactly ``count`` points [count, 2], evenly spread over the part of the square [-2, 2]^2 that lies inside.

    ``contains`` takes points [n, 2] and returns booleans [n].
    """
    found = torch.empty(0, 2)
    while len(found) < count:
        points = 4 * torch.rand(count, 2) - 2
        found = torch.cat([found, points[contains(points)]])
    return found[:count]


def real_pairs(prior: ClassConditionalPrior, unlabeled: int, labels: torch.Tensor) -> torch.Tensor:
    """What the discriminator gets as real: codes and switches [unlabeled + n, 2 + 11], those without a label first."""
    codes = torch.cat([prior.sample(unlabeled), prior.sample_of_class(labels)])
    unknown = torch.full((unlabeled,), 10)
    switch = F.one_hot(torch.cat([unknown, labels]), 11).float()
    return torch.cat([codes, switch], dim=1)


def _kind(found: object) -> str:
    return str(list(found.shape)) if isinstance(found, Tensor) else type(found).__name__


def _two_batches_of_labels() -> tuple[Tensor]:
    return (torch.tensor([3, -1, 9, 0, -1, 5, 5, -1]),)


def _places_on_arcs() -> tuple[Tensor, Tensor]:
    return torch.arange(10).repeat(3), torch.rand(30, generator=torch.Generator().manual_seed(1))


def _turned(labels: Tensor, shares: Tensor) -> Tensor:
    return on_arc(labels, shares) * torch.tensor([1.0, -1.0])


# Points inside of a shape

POINTS = 500


def _in_two_disks(points: Tensor) -> Tensor:
    """A small one, and one of four times its area."""
    small, large = ((points - center).norm(dim=1) for center in (torch.tensor([1.0, 1.0]), torch.tensor([-1.0, -1.0])))
    return (small < 0.4) | (large < 0.8)


def _sampled(answer: Callable) -> object:
    with seeded(0):
        return answer(_in_two_disks, POINTS)


def _wrong_with_points(points: object) -> str:
    if not isinstance(points, Tensor) or points.ndim != 2 or points.shape[1] != 2:
        return f"a tensor [{POINTS}, 2] is expected, this is {_kind(points)}"
    if not bool(_in_two_disks(points).all()):
        return "some points lie outside of the shape"
    if len(points) != POINTS:
        return f"{len(points)} points instead of {POINTS}: draw again until there are enough"
    if len(points.unique(dim=0)) < POINTS:
        return "points are repeated: the discriminator would know them by heart"
    if abs(float((points[:, 0] < 0).float().mean()) - 0.8) > 0.08:
        return "not evenly spread: of two parts, one with four times the area, it should get four times as many"
    return ""


def _once(contains: Callable[[Tensor], Tensor], count: int) -> Tensor:
    points = 4 * torch.rand(count, 2) - 2
    return points[contains(points)]


def _repeated(contains: Callable[[Tensor], Tensor], count: int) -> Tensor:
    return _once(contains, count).repeat(count, 1)[:count]


def _everywhere(contains: Callable[[Tensor], Tensor], count: int) -> Tensor:
    return 4 * torch.rand(count, 2) - 2


def _on_one_side(contains: Callable[[Tensor], Tensor], count: int) -> Tensor:
    return sample_inside(lambda points: contains(points) & (points[:, 0] > 0), count)


# The bug


def _with_wrong_codes(prior: ClassConditionalPrior, unlabeled: int, labels: Tensor) -> Tensor:
    codes = prior.sample(unlabeled + len(labels))
    unknown = torch.full((unlabeled,), 10)
    switch = F.one_hot(torch.cat([unknown, labels]), 11).float()
    return torch.cat([codes, switch], dim=1)


def _exchanged(prior: ClassConditionalPrior, unlabeled: int, labels: Tensor) -> Tensor:
    codes, switch = real_pairs(prior, unlabeled, labels).split([2, 11], dim=1)
    return torch.cat([codes.roll(len(labels), 0), switch], dim=1)


def _paired(answer: Callable) -> object:
    with seeded(0):
        return answer(GaussianMixture(), 200, torch.arange(10).repeat(10))


def _wrong_with_pairs(pairs: object) -> str:
    if not isinstance(pairs, Tensor) or pairs.shape != (300, 13):
        return f"a tensor [300, 13] is expected, this is {_kind(pairs)}"
    codes, switch = pairs[:, :2], pairs[:, 2:]
    if not torch.equal(switch, switch_of(torch.cat([torch.full((200,), -1), torch.arange(10).repeat(10)]))):
        return "the switch is not that of the images: the unlabeled first, then the labels"
    parts = GaussianMixture().nearest_class(codes)
    agree = float((parts[200:] == torch.arange(10).repeat(10)).float().mean())
    if len(parts[:200].unique()) < 10:
        return "codes without a label come from the whole prior"
    if agree > 0.9:
        return ""
    if torch.equal(codes[200:], _paired(_exchanged)[200:, :2]):
        return "codes and switches are in different orders"
    return (
        "a real code with label 3 lies in any petal: the label says nothing about the place, "
        "so the discriminator learns to ignore it, and labels have no effect"
    )


EXERCISES: dict[str, Exercise] = {
    "switch_of": function(
        switch_of, _two_batches_of_labels,
        {
            "ten entries: without the eleventh, an image without a label is taken for a 9":
                lambda labels: torch.eye(10)[labels],
            "an image without a label has no entry at all: it should have the eleventh":
                lambda labels: torch.eye(11)[labels] * (labels >= 0)[:, None],
            "the entry for no label comes last, not first": lambda labels: torch.eye(11)[labels + 1],
        },
        because="-1 is no class, so it gets one of its own, the eleventh. `torch.eye(11)[labels]` does the same, "
        "because an index of -1 means the last row. With `torch.eye(10)` that row would be the nine's.",
        minutes=5,
    ),
    "on_arc": function(
        on_arc, _places_on_arcs,
        {
            "the middle of the arc, whatever the share: ten points instead of ten arcs, and no room for style":
                lambda labels, shares: on_arc(labels, torch.full_like(shares, 0.5)),
            "clockwise": _turned,
            "the radius is 2": lambda labels, shares: on_arc(labels, shares) / 2,
            "each arc goes around the whole ring: a share is that of a tenth":
                lambda labels, shares: on_arc(labels, 10 * shares),
        },
        because="Label $k$ begins after $k$ tenths of the full turn, and its share is a part of one further tenth. "
        "The adversary would match ten single points as well, but then no room is left for style.",
        minutes=10,
    ),
    "sample_inside": outcome(
        sample_inside, _sampled, _wrong_with_points,
        {
            "draw again until there are enough": _once,
            "points are repeated": _repeated,
            "outside of the shape": _everywhere,
            "not evenly spread": _on_one_side,
        },
        because="This is *rejection sampling*. What is kept is evenly spread, because what was thrown was. "
        "It takes as many throws as the square is larger than the shape; in ten dimensions that is too many for "
        "almost any shape.",
        minutes=20,
    ),
    "real_pairs": outcome(
        real_pairs, _paired, _wrong_with_pairs,
        {"a real code with label 3 lies in any petal": _with_wrong_codes, "different orders": _exchanged},
        because="The switch of real codes must be true: a real code with label $k$ comes from part $k$, by "
        "`sample_of_class`. With codes of the whole prior, real pairs show that any label goes with any place. "
        "The shape is right and training runs, so only a picture of the codes by label shows this bug.",
        minutes=10,
    ),
}  # fmt: skip
