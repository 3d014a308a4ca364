"""Maps in three dimensions that turn under the pointer."""

from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from aae_lib.errors import ShapeError
from aae_lib.explore.front import FrontEnd
from aae_lib.explore.space import POINTS
from aae_lib.explore.still import drawn
from aae_lib.report.drawing import class_colors


class TurningMap(FrontEnd):
    """Codes of three dimensions, colored by class, and the heads of clusters with their numbers. Drag turns the map.

    Args:
        codes, labels: ``[n, 3]`` and ``[n]``, of which the first 2,000 are drawn.
        heads: ``[clusters, 3]``.

    Raises:
        ShapeError: codes or heads do not have three dimensions.
    """

    def __init__(self, codes: Tensor, labels: Tensor, heads: Tensor) -> None:
        for points in (codes, heads):
            if points.ndim != 2 or points.shape[1] != 3:
                raise ShapeError(f"a map that turns needs points [n, 3], not {list(points.shape)}")
        self._codes, self._labels = codes[:POINTS].detach().float().cpu(), labels[:POINTS].tolist()
        self._heads = heads.detach().float().cpu()
        super().__init__(kind="map")

    def answer(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        points = torch.cat([self._codes, self._heads]).numpy().tobytes()
        return {"labels": self._labels, "heads": len(self._heads)}, [points]

    def picture(self) -> Image.Image:
        def draw(figure: Figure) -> None:
            axes = figure.add_subplot(projection="3d", box_aspect=(1, 1, 1))
            axes.scatter(*self._codes.T, s=5, c=class_colors(self._labels), linewidths=0)
            for number, head in enumerate(self._heads.tolist()):
                axes.text(*head, str(number), weight="bold")

        return drawn(6.4, 5.6, draw)

    def __repr__(self) -> str:
        return f"TurningMap({len(self._codes)} codes, {len(self._heads)} heads)"
