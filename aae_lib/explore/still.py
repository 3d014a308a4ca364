"""Still pictures of the explorer, for notebooks that are read without a kernel."""

import matplotlib.style
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from aae_lib.explore.front import COLORS, DENSITY
from aae_lib.explore.space import Space
from aae_lib.report.drawing import STYLE, draw_prior
from aae_lib.shapes import mosaic

SIDE = 3.2  # of the plane, in inches


def still(space: Space, coordinates: Tensor, label: int, original: Tensor | None) -> Image.Image:
    """The plane with the chosen code, the encoded image if there is one, what the code decodes to, and all labels."""
    labels = np.arange(max(space.classes, 1))
    decoded = torch.from_numpy(space.decode(coordinates.expand(len(labels), -1), labels))
    images = {"decoded from z": decoded[label][None]}
    if original is not None:
        images = {"x": original[None], **images}
    if space.classes:
        images["the same style, every label"] = decoded
    with matplotlib.style.context(["default", STYLE]):  # whatever the notebook's own style is
        figure = new_figure(SIDE + 2 * len(images), SIDE)
        plane, *others = figure.subplots(1, 1 + len(images), width_ratios=[1.0] + [0.62] * len(images))
        _draw_plane(plane, space, coordinates)
        for axes, (title, shown) in zip(others, images.items(), strict=True):
            columns = next(number for number in (5, 4, 3, 2, 1) if len(shown) % number == 0)
            picture = mosaic(shown, columns, space.shape)
            axes.imshow(picture, "gray_r" if space.is_ink else "gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[], title=title)
            axes.spines[:].set(visible=True, color="#d8d8d3")
        return rendered(figure)


def new_figure(width: float, height: float) -> Figure:
    """A figure of a size in inches. (pyplot would disturb the notebook's own.)"""
    figure = Figure(figsize=(width, height), dpi=96 * DENSITY, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def rendered(figure: Figure) -> Image.Image:
    figure.canvas.draw()
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())


def _draw_plane(axes: Axes, space: Space, coordinates: Tensor) -> None:
    x, y, half = space.view()
    if space.seen_prior() is not None:
        draw_prior(axes, space.seen_prior(), abs(x) + abs(y) + half)
    labels, palette = space.images.labels.numpy()[: len(space.codes)], np.array(COLORS["light"])
    shades = np.where(labels < 0, "#696e77", palette[labels % len(palette)])
    axes.scatter(*space.codes[:, :2].T, s=5, c=shades, linewidths=0, alpha=0.8)
    for color, width in (("white", 3), ("black", 1.3)):
        axes.plot(*coordinates[:2], "o", markersize=9, markerfacecolor="none", color=color, markeredgewidth=width)
    title = f"z = ({coordinates[0]:z.2f}, {coordinates[1]:z.2f})"
    axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal", title=title)
    axes.spines[:].set(visible=True, color="#d8d8d3")
