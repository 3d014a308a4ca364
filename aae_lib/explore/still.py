"""Still pictures of the explorer, for notebooks that are read without a kernel."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from aae_lib.explore.space import Space
from aae_lib.report.drawing import BLUE, class_colors, draw_prior, write_classes
from aae_lib.shapes import mosaic

SIDE, IMAGE = 3.2, 2.0  # of the plane and of an image, in inches


def still(
    spaces: Mapping[str, Space], places: Sequence[Tensor], label: int = 0, original: Tensor | None = None,
    curve: dict[str, Any] | None = None,
) -> Figure:  # fmt: skip
    """A row for each model: its plane with a place ``[d]``, what that decodes to, and the image that was encoded.

    The curve on which the models lie comes first.
    """
    images = 1 + (original is not None) + any(space.classes for space in spaces.values())
    count = len(spaces) + (curve is not None)
    figure = Figure(figsize=(SIDE + IMAGE * images, SIDE * count), layout="constrained")
    rows = list(figure.subfigures(count, squeeze=False)[:, 0])
    if curve:
        axes = rows.pop(0).subplots()
        axes.plot(*zip(*curve["points"], strict=True), "o-", color=BLUE)
        for title, point in zip(spaces, curve["points"], strict=True):
            axes.annotate(title, point, (8, -4), textcoords="offset points")
        axes.set(xlabel=curve["names"][0], ylabel=curve["names"][1])
        axes.margins(x=0.2)
    for row, space, place in zip(rows, spaces.values(), places, strict=True):
        _draw_row(row, space, place, label, original)
    return figure


def _draw_row(figure: SubFigure, space: Space, place: Tensor, label: int, original: Tensor | None) -> None:
    labels = np.arange(max(space.classes, 1))
    decoded = torch.from_numpy(space.decode(place.expand(len(labels), -1), labels))
    images = {f"decoded, {space.images.name_of(label)}" if space.classes else "decoded from z": decoded[label][None]}
    if original is not None:
        images = {"x": original[None], **images}
    if space.classes:
        images["this style, every label"] = decoded
    plane, *others = figure.subplots(1, 1 + len(images), width_ratios=[1] + [IMAGE / SIDE] * len(images))
    x, y, half = space.view()
    codes, classes = space.codes[:, :2].float(), space.images.labels[: len(space.codes)]
    if space.seen_prior:
        draw_prior(plane, space.seen_prior, abs(x) + abs(y) + half)
    plane.scatter(*codes.T, s=5, c=class_colors(classes, "#696e77"), linewidths=0, alpha=0.8)
    if len(codes) and not space.classes:  # classes lie on each other in a plane of styles
        write_classes(plane, codes, classes, space.images.class_names)
    for color, width in (("white", 3), ("black", 1.3)):
        plane.plot(*place[:2], "o", markersize=9, markerfacecolor="none", color=color, markeredgewidth=width)
    plane.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")
    plane.set_title(f"z = ({place[0]:z.2f}, {place[1]:z.2f})")
    for axes, (title, shown) in zip(others, images.items(), strict=True):
        columns = next(number for number in (5, 4, 3, 2, 1) if len(shown) % number == 0)
        picture = mosaic(shown, columns, space.shape)
        axes.imshow(picture, "gray_r" if space.is_ink else "gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[], title=title)
    for axes in (plane, *others):
        axes.spines[:].set(visible=True, color="#d8d8d3")
