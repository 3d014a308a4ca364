"""Still pictures of the explorer, for notebooks that are read without a kernel."""

from collections.abc import Callable

import matplotlib.style
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from aae_lib.explore.front import DENSITY
from aae_lib.explore.space import Space
from aae_lib.report.drawing import BLUE, STYLE, class_colors, draw_prior, write_classes
from aae_lib.shapes import mosaic

SIDE = 3.2  # of the plane, in inches


def drawn(width: float, height: float, draw: Callable[[Figure], None]) -> Image.Image:
    """A figure of a size in inches as a picture. (pyplot would disturb the notebook's own figures and style.)"""
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height), dpi=96 * DENSITY, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        draw(figure)
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def still(space: Space, coordinates: Tensor, label: int, original: Tensor | None) -> Image.Image:
    """The plane with the chosen code, the encoded image if there is one, what the code decodes to, and all labels."""
    labels = np.arange(max(space.classes, 1))
    decoded = torch.from_numpy(space.decode(coordinates.expand(len(labels), -1), labels))
    images = {f"decoded, {space.images.name_of(label)}" if space.classes else "decoded from z": decoded[label][None]}
    if original is not None:
        images = {"x": original[None], **images}
    if space.classes:
        images["this style, every label"] = decoded

    def draw(figure: Figure) -> None:
        plane, *others = figure.subplots(1, 1 + len(images), width_ratios=[1.0] + [0.62] * len(images))
        _draw_plane(plane, space, coordinates)
        for axes, (title, shown) in zip(others, images.items(), strict=True):
            columns = next(number for number in (5, 4, 3, 2, 1) if len(shown) % number == 0)
            picture = mosaic(shown, columns, space.shape)
            axes.imshow(picture, "gray_r" if space.is_ink else "gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[], title=title)
            axes.spines[:].set(visible=True, color="#d8d8d3")

    return drawn(SIDE + 2 * len(images), SIDE, draw)


def still_curve(names: list[str], points: list[tuple[float, float]], titles: list[str]) -> Image.Image:
    """The curve on which models lie."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(*zip(*points, strict=True), "o-", color=BLUE)
        for title, point in zip(titles, points, strict=True):
            axes.annotate(title, point, (8, -4), textcoords="offset points")
        axes.set(xlabel=names[0], ylabel=names[1])
        axes.margins(x=0.2)

    return drawn(SIDE + 2, SIDE, draw)


def _draw_plane(axes: Axes, space: Space, coordinates: Tensor) -> None:
    x, y, half = space.view()
    if space.seen_prior() is not None:
        draw_prior(axes, space.seen_prior(), abs(x) + abs(y) + half)
    codes, labels = space.codes[:, :2].float(), space.images.labels[: len(space.codes)]
    axes.scatter(*codes.T, s=5, c=class_colors(labels, "#696e77"), linewidths=0, alpha=0.8)
    if not space.classes:  # classes lie on each other in a plane of styles
        write_classes(axes, codes, labels, space.images.class_names)
    for color, width in (("white", 3), ("black", 1.3)):
        axes.plot(*coordinates[:2], "o", markersize=9, markerfacecolor="none", color=color, markeredgewidth=width)
    title = f"z = ({coordinates[0]:z.2f}, {coordinates[1]:z.2f})"
    axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal", title=title)
    axes.spines[:].set(visible=True, color="#d8d8d3")
