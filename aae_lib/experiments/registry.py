"""The registry: all experiments by name, and the chapters and measures that they belong to."""

from collections.abc import Mapping
from typing import TypeVar

from aae_lib.errors import UnknownNameError
from aae_lib.experiments import (
    clustering,
    generators,
    labels,
    likelihood,
    plane,
    posteriors,
    reduction,
    semi_supervised,
    style,
)
from aae_lib.experiments.experiment import Chapter, Experiment, Measure

CHAPTERS: tuple[Chapter, ...] = (
    plane.PLANE,
    labels.LABELS,
    posteriors.POSTERIORS,
    style.STYLE,
    semi_supervised.SEMI_SUPERVISED,
    clustering.CLUSTERING,
    reduction.REDUCTION,
    likelihood.LIKELIHOOD,
    generators.GENERATORS,
)
EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for module in (
        plane, labels, posteriors, style, semi_supervised, clustering, reduction, likelihood, generators
    )
    for experiment in module.EXPERIMENTS
}  # fmt: skip
MEASURES: dict[str, Measure] = {measure.name: measure for chapter in CHAPTERS for measure in chapter.measures}

Entry = TypeVar("Entry")


def look_up(name: str, registry: Mapping[str, Entry], kind: str) -> Entry:
    """What a registry holds under that name.

    Raises:
        UnknownNameError: there is nothing; the message lists the names that there are.
    """
    if name not in registry:
        raise UnknownNameError(f"there is no {kind} {name!r:.80}; there are: {', '.join(registry)}")
    return registry[name]


def find(name: str) -> Experiment:
    """The experiment of that name; raises as :func:`look_up`."""
    return look_up(name, EXPERIMENTS, "experiment")
