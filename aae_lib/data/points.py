"""Points in a plane that need no download: around curves, or around strokes drawn by hand."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from aae_lib.data.images import Images
from aae_lib.errors import ShapeError, UnknownNameError
from aae_lib.seeding import seeded

Strokes = Iterable[Sequence[Sequence[float]]]  # each a list of (x, y) in the unit square


def _arc(turns: Tensor, radius: float | Tensor) -> list[list[float]]:
    angle = 2 * torch.pi * turns
    return (0.5 + torch.stack([radius * angle.cos(), radius * angle.sin()], 1)).tolist()


SHARES = torch.linspace(0, 1, 97)
CURVES: dict[str, Strokes] = {
    "ring": [_arc(SHARES, 0.35)],
    "spots": [[spot] for spot in _arc(torch.arange(8) / 8, 0.35)],
    "spiral": [_arc(1.5 * SHARES, 0.38 * SHARES)],
}


def draw_points(curve: str | Strokes, count: int = 4_000) -> Images:
    """Points around one of CURVES, or around strokes, as images of two numbers without labels.

    Args:
        curve: its name, or lists of (x, y) in the unit square; a list of one is a spot.

    Raises:
        ShapeError, UnknownNameError: the strokes are none, or not of such pairs; no curve has this name.
    """
    if isinstance(curve, str):
        if curve not in CURVES:
            raise UnknownNameError(f"no curve {curve!r}: choose one of {', '.join(CURVES)}, or give strokes")
        curve = CURVES[curve]
    try:
        pairs = [pair for stroke in curve for pair in zip(stroke, [*stroke[1:], stroke[-1]], strict=True)]
        lines = torch.tensor(pairs, dtype=torch.float32).reshape(-1, 2, 2)
    except (TypeError, ValueError, RuntimeError, IndexError):
        lines = torch.empty(0, 2, 2)
    if not len(lines) or not ((lines >= 0) & (lines <= 1)).all():
        raise ShapeError(f"expected strokes, each a list of (x, y) from 0 to 1, found {curve!r:.80}: draw a line")
    starts, stops = lines.unbind(1)
    lengths = (stops - starts).norm(dim=1).clamp_min(1e-3)  # spots have none
    with seeded(0):
        part = torch.multinomial(lengths, count, replacement=True)
        points = torch.lerp(starts[part], stops[part], torch.rand(count, 1)) + 0.015 * torch.randn(count, 2)
    return Images(points.clamp(0, 1), torch.full([count], -1))
