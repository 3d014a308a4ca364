"""The registry: all experiments by name, and their chapters."""

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
from aae_lib.experiments.experiment import Chapter, Experiment

FILES = plane, labels, posteriors, style, semi_supervised, clustering, reduction, likelihood, generators
EXPERIMENTS: dict[str, Experiment] = {each.name: each for file in FILES for each in file.EXPERIMENTS}
CHAPTERS: tuple[Chapter, ...] = tuple(dict.fromkeys(each.chapter for each in EXPERIMENTS.values()))

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
