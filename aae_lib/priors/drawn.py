"""A prior that is drawn by hand."""

import torch
from torch import Tensor

from aae_lib.data.points import Strokes, draw_points
from aae_lib.priors.prior import Prior

WIDTH = 0.1  # standard deviation across the strokes


class DrawnPrior(Prior):
    """Points around a curve or around strokes drawn by hand, as a prior in the square ``[-2, 2]^2``.

    Args:
        curve: as for :func:`~aae_lib.data.points.draw_points`, in the unit square.
    """

    dimensions = 2

    def __init__(self, curve: str | Strokes) -> None:
        self._points = 4 * draw_points(curve).images - 2

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        points = self._points[torch.randint(len(self._points), (count,))]
        return (points + WIDTH * torch.randn(count, 2)).to(device)

    def __repr__(self) -> str:
        return "DrawnPrior()"
