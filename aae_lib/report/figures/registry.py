"""The registry of figures, the decorator that fills it, and what the figures of several subjects need."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aae_lib.experiments import PRETRAINED, Evidence, find, load_evidence, shipped_seeds, weights_path
from aae_lib.priors import ClassConditionalPrior
from aae_lib.report.drawing import draw_plane, use_style
from aae_lib.report.results import METRICS, results_of
from aae_lib.storage import read_file

Drawing = tuple[Figure, dict[str, int]]

PLANE_LIMIT = 4.0  # of the planes with a standard Gaussian: 9,999 of 10,000 samples lie inside
PARTS_LIMIT = 3.4  # of the planes with a mixture or a swiss roll, which reaches out to 3


@dataclass(frozen=True)
class PaperFigure:
    """A figure: what it shows, in one line, and how it is drawn."""

    title: str
    paper: str  # the figure of the paper that it reproduces, or "ours"
    notebook: str  # where it is discussed
    draw: Callable[[], Drawing]  # the figure, and the integers behind it


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


def set_title(axes: Axes, title: str) -> None:
    """A title above the left end of the axes."""
    axes.set_title(title, loc="left")


def shipped_weights(name: str) -> Path:
    """The file of an experiment's shipped weights, if it has any."""
    return weights_path(find(name), PRETRAINED)


@cache
def shown_seed(name: str) -> int:
    """The seed of an experiment that figures show: that of the shipped weights, else the first one with evidence."""
    weights = shipped_weights(name)
    return read_file(weights)[1]["seed"] if weights.exists() else shipped_seeds(name)[0]


def shown_evidence(name: str) -> Evidence:
    """The evidence of :func:`shown_seed`."""
    return load_evidence(name, shown_seed(name))


def shown_value(name: str, metric: str) -> float:
    """A metric of :func:`shown_seed`."""
    (value,) = (row.value for row in results_of(name) if (row.seed, row.metric) == (shown_seed(name), metric))
    return value


def draw_codes_of(axes: Axes, name: str, title: str, metric: str = "prior_coverage") -> Evidence:
    """Codes of an experiment's test images on the prior's contours, with a metric of theirs in the title."""
    evidence, prior = shown_evidence(name), find(name).prior
    limit = PARTS_LIMIT if isinstance(prior, ClassConditionalPrior) else PLANE_LIMIT
    draw_plane(axes, evidence.codes, evidence.labels, prior, limit)
    set_title(axes, f"{title}\n{METRICS[metric]} {shown_value(name, metric):.3f}, "
              f"reconstruction error {shown_value(name, 'reconstruction_error'):.2f}")
    return evidence
