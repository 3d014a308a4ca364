"""What an experiment is: a model, images and a recipe, and a chapter that says what is measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from aae_lib.data import MNIST_CLASSES, MNIST_SHAPE, Images
from aae_lib.errors import StorageError
from aae_lib.models import Model
from aae_lib.paper import Reported
from aae_lib.priors import Prior
from aae_lib.seeding import seeded
from aae_lib.shapes import Shape
from aae_lib.training import Recipe

if TYPE_CHECKING:
    from aae_lib.experiments.evidence import Evidence, Examination

PRETRAINED = Path(__file__).parent.parent / "pretrained"
EVIDENCE = PRETRAINED / "evidence"
FORMAT = 2  # of the headers of weights and evidence
HEADER = {"experiment": str, "settings": dict, "recipe": dict, "seed": int, "steps": int, "shape": list, "classes": int,
          "data_name": str, "evaluated_on": str}  # fmt: skip

Collector = Callable[["Examination"], dict[str, Tensor]]


@dataclass(frozen=True)
class Measure:
    """A number that experiments are compared by.

    Attributes:
        name, title: as in results, and as in tables.
        value: the number, from the evidence of a run of the experiment; None where it does not apply.
        collect: what puts the tensors that ``value`` needs into the evidence. A collector returns nothing for a model
            that lacks what it looks at.
        at_reports: whether the number is also measured at each report of a run, for its history.
    """

    name: str
    title: str
    value: Callable[[Experiment, Evidence], float | None]
    collect: tuple[Collector, ...] = ()
    at_reports: bool = False


@dataclass(frozen=True)
class Chapter:
    """Experiments that share a table, and what is measured of them.

    Attributes:
        title: of the table.
        notebook: that explains the experiments.
        measures: in the order in which their tensors are collected; ``columns``: names of those in the table.
        keeps: collectors of what figures draw and no measure needs; they come last.
        compared_codes: measures of codes look at so many of each model, the first ones; None: at all of them. Of codes
            with more than 20 dimensions no others are kept.
    """

    title: str
    notebook: str
    measures: tuple[Measure, ...]
    columns: tuple[str, ...]
    keeps: tuple[Collector, ...] = ()
    compared_codes: int | None = None


def all_images(images: Images, seed: int) -> tuple[Images, ...]:
    """One set of all training images."""
    return (images,)


@dataclass(frozen=True)
class Experiment:
    """One training run by name.

    Attributes:
        name, title: as in the command line and in file names, and as in tables.
        chapter: the table that it stands in, and what is measured.
        figure: the figure or table of the paper that it belongs to.
        build: one of ``builders``: makes the untrained model from ``(shape, classes, prior, **settings)``.
        recipe: how it is trained.
        prior: of the code, or of the style beside a label; None: the model has no prior.
        settings: keyword arguments of ``build``, as plain data that JSON can hold.
        select: from all training images and the seed, the sets of images that the model's updates take.
        paper: the paper's values by metric; empty where it shows only a picture.
        source: where the constants come from.
        data: the images that it is made for, by their name for :func:`~aae_lib.data.load_images`.
        ships_adversaries: whether the networks that only judge while training are kept in the file of the weights.
    """

    name: str
    title: str
    chapter: Chapter
    figure: str
    build: Callable[..., Model]
    recipe: Recipe
    prior: Prior | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    select: Callable[[Images, int], tuple[Images, ...]] = all_images
    paper: Mapping[str, Reported] = field(default_factory=dict)
    source: str = ""
    data: str = "MNIST"
    ships_adversaries: bool = False

    def model(self, seed: int, shape: Shape = MNIST_SHAPE, classes: int = MNIST_CLASSES) -> Model:
        """The untrained model with the initial weights of ``seed``; torch's random numbers stay as they were."""
        with seeded(seed):
            return self.build(shape, classes, self.prior, **self.settings)

    def as_data(self) -> dict[str, Any]:
        """Name, settings, prior and recipe as a header holds them: what decides the weights beside seed and images."""
        data = {
            "experiment": self.name,
            "settings": dict(self.settings),
            "prior": None if self.prior is None else {"kind": type(self.prior).__name__, **vars(self.prior)},
            "recipe": self.recipe.to_data(),
        }
        return json.loads(json.dumps(data, default=repr))  # a header that was read from a file has lists, no tuples


def weights_path(experiment: Experiment, folder: Path) -> Path:
    """Where a run in ``folder`` leaves its weights."""
    return folder / f"{experiment.name}.safetensors.gz"


def evidence_path(experiment: Experiment, seed: int, folder: Path) -> Path:
    """Where a run in ``folder`` leaves its evidence."""
    return folder / f"{experiment.name}-seed-{seed}.safetensors.gz"


def check_header(header: dict[str, Any], path: Path) -> None:
    """Refuse the header of a file that no run of this version has written.

    Raises:
        StorageError: it is of another format, or lacks what a header holds.
    """
    if header.get("format") != FORMAT:
        raise StorageError(
            f"expected a file of format {FORMAT}, found {header.get('format', 1)!r:.20}: {path} was written by another "
            "version of aae_lib, or by no training run; train again"
        )
    wrong = [name for name, kind in HEADER.items() if not isinstance(header.get(name), kind)]
    if wrong:
        raise StorageError(f"the header of {path} is damaged ({', '.join(wrong)}): train again")
