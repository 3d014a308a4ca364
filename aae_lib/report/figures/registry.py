"""The registry of figures, the decorator that fills it, and what the figures of several subjects need."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aae_lib.experiments import Evidence, find, load_evidence, look_up
from aae_lib.priors import ClassConditionalPrior
from aae_lib.report.drawing import DIGIT_COLORS, draw_plane, use_style
from aae_lib.report.results import METRICS, values_of

Drawing = tuple[Figure, dict[str, int]]

BLUE, RED = DIGIT_COLORS[0], DIGIT_COLORS[2]
PLANE_LIMIT = 4.0  # of the planes with a standard Gaussian: 9,999 of 10,000 samples lie inside
PARTS_LIMIT = 3.4  # of the planes with a mixture or a swiss roll, which reaches out to 3


@dataclass(frozen=True)
class PaperFigure:
    """A figure by name.

    Attributes:
        title: what it shows, in one line.
        paper: the figure of the paper that it reproduces, or "ours".
        notebook: where it is discussed.
        draw: makes the figure and the integers behind it.
    """

    title: str
    paper: str
    notebook: str
    draw: Callable[[], Drawing]


FIGURES: dict[str, PaperFigure] = {}


def figure(name: str, *, paper: str, notebook: str) -> Callable[[Callable[[], Drawing]], Callable[[], Drawing]]:
    """Register a function that draws, under ``name``; the first line of its docstring is the title.

    It is called in the style of the project and without gradients.
    """

    def register(function: Callable[[], Drawing]) -> Callable[[], Drawing]:
        @torch.no_grad()
        def draw() -> Drawing:
            use_style()
            return function()

        title = function.__doc__.strip().splitlines()[0].rstrip(".")
        FIGURES[name] = PaperFigure(title, paper, notebook, draw)
        return function

    return register


def find_figure(name: str) -> PaperFigure:
    """The figure of that name; raises as :func:`~aae_lib.experiments.look_up`."""
    return look_up(name, FIGURES, "figure")


def set_title(axes: Axes, title: str) -> None:
    """A title above the left end of the axes."""
    axes.set_title(title, loc="left")


def draw_codes_of(axes: Axes, name: str, title: str, metric: str = "prior_coverage") -> Evidence:
    """Codes of an experiment's test images on the prior's contours, with a metric of seed 0 in the title."""
    evidence, prior = load_evidence(name), find(name).prior
    limit = PARTS_LIMIT if isinstance(prior, ClassConditionalPrior) else PLANE_LIMIT
    draw_plane(axes, evidence.codes, evidence.labels, prior, limit)
    set_title(axes, f"{title}\n{METRICS[metric]} {values_of(name, metric)[0]:.3f}, "
              f"reconstruction error {values_of(name, 'reconstruction_error')[0]:.2f}")
    return evidence
