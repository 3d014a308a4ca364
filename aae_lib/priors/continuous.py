"""Priors without classes: Gaussian, square, ring, sphere, and one that is drawn by hand."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from aae_lib.data.points import Strokes, draw_points
from aae_lib.errors import PriorError
from aae_lib.priors.paths import circle
from aae_lib.priors.prior import Prior


class Gaussian(Prior):
    """The isotropic Gaussian N(0, s^2 I), s > 0.

    The paper's s: 1 for style codes (AAE, appendix A.2.1), 5 for the 8-D code of the likelihood experiment (A.1).
    """

    def __init__(self, dimensions: int = 2, standard_deviation: float = 1.0):
        if dimensions < 1 or not standard_deviation > 0:
            raise PriorError(
                f"Gaussian needs dimensions >= 1 and standard_deviation > 0, not {dimensions} and {standard_deviation}"
            )
        self.dimensions, self.standard_deviation = dimensions, standard_deviation

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return self.standard_deviation * torch.randn(count, self.dimensions, device=device)

    def log_prob(self, codes: Tensor) -> Tensor:
        scaled = codes.square().sum(1) / self.standard_deviation**2
        return -0.5 * (scaled + self.dimensions * math.log(2 * math.pi * self.standard_deviation**2))


class UniformSquare(Prior):
    """The uniform distribution on the square from -``half_side`` to ``half_side`` in both dimensions."""

    dimensions = 2

    def __init__(self, half_side: float = 2.0):
        if not half_side > 0:
            raise PriorError(f"UniformSquare needs half_side > 0, not {half_side}")
        self.half_side = half_side

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return self.half_side * (2 * torch.rand(count, 2, device=device) - 1)

    def log_prob(self, codes: Tensor) -> Tensor:
        inside = codes.abs().amax(1) <= self.half_side
        return torch.where(inside, -2 * math.log(2 * self.half_side), -math.inf)


class Ring(Prior):
    """A circle with a little width: the angle is uniform, and the distance from the center N(radius, width^2)."""

    dimensions = 2

    def __init__(self, radius: float = 2.0, width: float = 0.1):
        if not (radius > 0 and width > 0):
            raise PriorError(f"Ring needs radius > 0 and width > 0, not {radius} and {width}")
        self.radius, self.width = radius, width

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        angle = 2 * math.pi * torch.rand(count, device=device)
        distance = self.radius + self.width * torch.randn(count, device=device)
        return torch.stack([distance * angle.cos(), distance * angle.sin()], 1)

    def log_prob(self, codes: Tensor) -> Tensor:
        distance = codes.norm(dim=1)
        # A negative distance lands on the other side of the center, so a code at distance r comes from r and from -r.
        scaled = (torch.stack([distance, -distance]) - self.radius) / self.width
        of_distance = (-0.5 * scaled.square()).logsumexp(0) - math.log(self.width * math.sqrt(2 * math.pi))
        return of_distance - distance.log() - math.log(2 * math.pi)  # spread over the circle of that radius

    def walk(self, shares: Tensor) -> Tensor:
        return circle(self.radius, shares)


class UniformSphere(Prior):
    """The uniform distribution on the unit sphere, which is a surface and has no density in space (AGE, section 2)."""

    def __init__(self, dimensions: int):
        if dimensions < 2:
            raise PriorError(f"UniformSphere needs dimensions >= 2, not {dimensions}")
        self.dimensions = dimensions

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return F.normalize(torch.randn(count, self.dimensions, device=device), dim=1)


class DrawnPrior(Prior):
    """Points around a curve or around strokes drawn by hand, as a prior in the square ``[-2, 2]^2``.

    Args:
        curve: as for :func:`~aae_lib.data.points.draw_points`, in the unit square.
    """

    dimensions = 2
    width = 0.1  # standard deviation across the strokes

    def __init__(self, curve: str | Strokes) -> None:
        self._points = 4 * draw_points(curve).images - 2

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        points = self._points[torch.randint(len(self._points), (count,))]
        return (points + self.width * torch.randn(count, 2)).to(device)

    def __repr__(self) -> str:
        return "DrawnPrior()"
