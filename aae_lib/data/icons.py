"""Small pictures in color that need no download: twelve kinds of icons, each drawn in many variants."""

import colorsys
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from aae_lib.data.arrays import load_arrays
from aae_lib.data.images import Images

LARGE = 4  # drawn so many times larger, then made smaller: smooth edges
Points = list[tuple[float, float]]


def _regular(corners: int, *radii: float) -> Points:
    """The corners of a regular polygon around the origin, the first one upward; its radii take turns."""
    angles = [2 * math.pi * corner / corners for corner in range(corners)]
    return [(radii[i % len(radii)] * math.sin(a), -radii[i % len(radii)] * math.cos(a)) for i, a in enumerate(angles)]


def _curve(across: Callable[[float], float], down: Callable[[float], float]) -> Points:
    steps = [2 * math.pi * step / 60 for step in range(60)]
    return [(across(step), down(step)) for step in steps]


def _turned(x: float, y: float, angle: float) -> tuple[float, float]:
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)


CIRCLE = _curve(math.cos, math.sin)
# Outlines in [-1, 1] x [-1, 1], y downward: what is filled, then what is cut out.
ICONS: dict[str, tuple[Points, Points]] = {
    "arrow": ([(0, -1), (0.9, 0), (0.35, 0), (0.35, 1), (-0.35, 1), (-0.35, 0), (-0.9, 0)], []),
    "circle": (CIRCLE, []),
    "cross": ([(0.35, -1), (0.35, -0.35), (1, -0.35), (1, 0.35), (0.35, 0.35), (0.35, 1), (-0.35, 1), (-0.35, 0.35),
               (-1, 0.35), (-1, -0.35), (-0.35, -0.35), (-0.35, -1)], []),
    "diamond": ([(0, -1), (0.65, 0), (0, 1), (-0.65, 0)], []),
    "heart": (
        _curve(
            lambda t: math.sin(t) ** 3,
            lambda t: -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 15,
        ),
        [],
    ),
    "house": ([(0, -1), (1, -0.1), (0.7, -0.1), (0.7, 1), (-0.7, 1), (-0.7, -0.1), (-1, -0.1)], [
        (-0.2, 1), (-0.2, 0.4), (0.2, 0.4), (0.2, 1)]),
    "moon": (CIRCLE, [(0.45 + 0.8 * x, 0.8 * y - 0.1) for x, y in CIRCLE]),
    "ring": (CIRCLE, [(0.55 * x, 0.55 * y) for x, y in CIRCLE]),
    "square": ([(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)], []),
    "star": (_regular(10, 1.0, 0.42), []),
    "tree": ([(0, -1), (0.5, -0.3), (0.25, -0.3), (0.75, 0.4), (0.15, 0.4), (0.15, 1), (-0.15, 1), (-0.15, 0.4),
              (-0.75, 0.4), (-0.25, -0.3), (-0.5, -0.3)], []),
    "triangle": (_regular(3, 1.0), []),
}  # fmt: skip


def draw_icons(count: int, size: int = 32, seed: int = 0) -> Images:
    """Icons in color on a dark ground, each of a random place, size, angle, hue and brightness.

    The kinds take turns, so there are as many of each; equal seeds give equal icons.

    Args:
        count: number of icons.
        size: side of an icon in pixels.
    """
    random, names = np.random.default_rng(seed), list(ICONS)
    labels = [names[index % len(names)] for index in range(count)]
    return load_arrays(np.stack([_drawn(name, size * LARGE, size, random) for name in labels]), labels)


def _drawn(name: str, side: int, size: int, random: np.random.Generator) -> np.ndarray:
    """One icon, uint8 ``[size, size, 3]``."""
    turn, scale = random.uniform(-0.35, 0.35), side * random.uniform(0.26, 0.4)
    x0, y0 = side / 2 + side * random.uniform(-0.08, 0.08, 2)
    bright = colorsys.hsv_to_rgb(random.uniform(0, 0.6), random.uniform(0.75, 1), 1)
    ground = 3 * (int(random.uniform(10, 50)),)
    picture = Image.new("RGB", (side, side), ground)
    for outline, color in zip(ICONS[name], (tuple(int(255 * part) for part in bright), ground), strict=True):
        if outline:
            places = [(x0 + scale * x, y0 + scale * y) for x, y in (_turned(*point, turn) for point in outline)]
            ImageDraw.Draw(picture).polygon(places, fill=color)
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS))
