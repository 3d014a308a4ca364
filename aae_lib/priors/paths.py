"""Paths through the space of codes. A path takes shares of the way, ``[n]`` in [0, 1], and returns codes ``[n, d]``."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from aae_lib.errors import PriorError


def straight_line(start: Tensor, end: Tensor) -> Callable[[Tensor], Tensor]:
    """The straight path from one code ``[d]`` to another."""
    return lambda shares: torch.lerp(start, end, shares[:, None].to(start.dtype))


def great_circle(start: Tensor, end: Tensor) -> Callable[[Tensor], Tensor]:
    """The shortest path on the unit sphere from one code ``[d]`` to another; a ``PriorError`` if they are opposite."""
    along = start @ end
    across = end - along * start
    if across.norm() < 1e-6 and along < 0:
        raise PriorError("no shortest path leads to the opposite point of the sphere: choose another end")
    angle, across = torch.atan2(across.norm(), along), F.normalize(across, dim=0)

    def path(shares: Tensor) -> Tensor:
        angles = shares[:, None].to(start.dtype) * angle
        return angles.cos() * start + angles.sin() * across

    return path


def circle(radius: float, shares: Tensor) -> Tensor:
    """Points of a circle around the origin, by the share of it that lies before each: ``[n]`` -> ``[n, 2]``."""
    angle = 2 * math.pi * shares
    return radius * torch.stack([angle.cos(), angle.sin()], 1)
