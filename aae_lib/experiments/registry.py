"""The registry: all experiments by name, and their chapters."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from aae_lib.errors import UnknownNameError
from aae_lib.experiments import (
    clustering,
    color,
    fashion,
    generators,
    labels,
    likelihood,
    plane,
    posteriors,
    reduction,
    semi_supervised,
    style,
    svhn,
)
from aae_lib.experiments.experiment import Chapter, Experiment

FILES = (
    plane, labels, posteriors, style, semi_supervised, clustering, reduction, likelihood, generators, fashion, color,
    svhn,
)  # fmt: skip
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
    """The experiment of that name; or, as ``path/to/file.py:NAME``, one of your own in a Python file, which is run.

    Raises:
        UnknownNameError: there is no such experiment or file, or the file does not run.
    """
    path, dot, attribute = name.rpartition(".py")
    if dot and attribute[:1] in ("", ":"):
        return look_up(attribute[1:], _experiments_in(Path(path + dot)), f"experiment in {path + dot}")
    return look_up(name, EXPERIMENTS, "experiment")


def _experiments_in(path: Path) -> dict[str, Experiment]:
    """The experiments that a Python file defines, by the names of their variables."""
    if not path.is_file():
        raise UnknownNameError(f"expected a Python file that defines an experiment, found none at {path}")
    spec = importlib.util.spec_from_file_location(str(path.resolve()), path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where dataclasses look for it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UnknownNameError(f"{path} does not run ({type(error).__name__}: {error}): repair it") from error
    return {name: value for name, value in vars(module).items() if isinstance(value, Experiment)}
