"""What an experiment is: a model, images and a recipe, and a chapter that says what is measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
from aae_lib.training import UPDATES_PER_EPOCH, Recipe, checks

if TYPE_CHECKING:
    from aae_lib.experiments.evidence import Evidence, Examination

PRETRAINED = Path(__file__).parent.parent / "pretrained"
EVIDENCE = PRETRAINED / "evidence"
FORMAT = 2  # of the headers of weights and evidence
HEADER = {"experiment": str, "settings": dict, "recipe": dict, "seed": int, "steps": int, "shape": list, "classes": int,
          "data_name": str, "evaluated_on": str}  # fmt: skip
OPTIONAL = {"prior": dict | None, "class_names": list, "inverted": bool, "init": dict | None, "starts": dict,
            "start": int, "dropped": list}  # fmt: skip

Collector = Callable[["Examination"], dict[str, Tensor]]


@dataclass(frozen=True)
class Measure:
    """A number that experiments are compared by, computed from the evidence of a run."""

    name: str  # in results
    title: str  # in tables
    value: Callable[[Experiment, Evidence], float | None]  # None where it does not apply
    collect: tuple[Collector, ...] = ()  # puts what ``value`` needs into the evidence; nothing of a model that lacks it
    at_reports: bool = False  # whether it is also measured at each report of a run, for its history


@dataclass(frozen=True)
class Chapter:
    """Experiments that share a table, and what is measured of them."""

    title: str  # of the table
    notebook: str  # that explains the experiments
    measures: tuple[Measure, ...]  # in the order in which their tensors are collected
    columns: tuple[str, ...]  # of the table: names of measures
    keeps: tuple[Collector, ...] = ()  # of what figures draw and no measure needs; they come last
    # Measures of codes look at so many of them, the first ones; None: at all of them. Of codes of more than 20
    # dimensions only these are kept.
    compared_codes: int | None = None


@dataclass(frozen=True)
class Starts:
    """Several starts of one run: the better half goes on, then the better half of these, until one is left.

    As k-means is started several times; successive halving (Jamieson and Talwalkar 2016) spends less on bad starts.

    Raises:
        TrainingError: a count or number of steps below 1.
    """

    count: int
    steps: int  # minibatches between two choices, each at the next report
    measure: str  # of a report: the starts that have most of it go on

    def __post_init__(self) -> None:
        checks.check_count("starts.count", self.count)
        checks.check_count("starts.steps", self.steps)

    def __str__(self) -> str:
        return f"{self.count} starts: every {self.steps:,} steps the half with the most {self.measure} goes on"

    def seeds(self, seed: int) -> list[int]:
        """A seed for each start of the run with this seed; no two runs share one."""
        return [self.count * seed + start for start in range(self.count)]


AUGMENTED = "-augmented"  # what the names of experiments with augmentation end in


def all_images(images: Images, seed: int) -> tuple[Images, ...]:
    """One set of all training images."""
    return (images,)


@dataclass(frozen=True)
class Experiment:
    """One training run by name."""

    name: str  # in the command line and in file names
    title: str  # in tables
    chapter: Chapter
    figure: str  # the figure or table of the paper that it belongs to
    build: Callable[..., Model]  # one of ``builders``: the untrained model from (shape, classes, prior, **settings)
    recipe: Recipe
    prior: Prior | None = None  # of the code, or of the style beside a label
    settings: Mapping[str, Any] = field(default_factory=dict)  # of ``build``, as plain data that JSON can hold
    # From all training images and the seed, the sets of images that the model's updates take
    select: Callable[[Images, int], tuple[Images, ...]] = all_images
    paper: Mapping[str, Reported] = field(default_factory=dict)  # the paper's values by name of the measure
    source: str = ""  # where the constants come from
    data: str = "MNIST"  # the images that it is made for, by their name for load_images
    report_every: int = UPDATES_PER_EPOCH  # minibatches between two reports of a run
    # The networks in the file of the weights that ships; None: all but those that only judge others while training. A
    # model that nothing encodes with ships its decoder alone.
    ships: tuple[str, ...] | None = None
    starts: Starts | None = None  # None: a single start, from the run's own seed

    def model(self, seed: int, shape: Shape = MNIST_SHAPE, classes: int = MNIST_CLASSES) -> Model:
        """The untrained model with the initial weights of ``seed``; torch's random numbers stay as they were."""
        with seeded(seed):
            return self.build(shape, classes, self.prior, **self.settings)

    def as_data(self) -> dict[str, Any]:
        """What decides the weights beside seed and images, as a header holds it."""
        data = {
            "experiment": self.name,
            "settings": dict(self.settings),
            "prior": None if self.prior is None else {"kind": type(self.prior).__name__, **vars(self.prior)},
            "recipe": self.recipe.to_data(),
        }
        if self.starts:
            data["starts"] = vars(self.starts)
        return json.loads(json.dumps(data, default=repr))  # a header that was read from a file has lists, no tuples


def augmented(plain: Experiment, settings: Mapping[str, Any], **changes: Any) -> Experiment:
    """An experiment with augmentation, by these settings beside its own; ``changes`` are of other attributes."""
    names = {"name": plain.name + AUGMENTED, "title": f"{plain.title}, augmentation", "paper": {}}
    return replace(plain, **names, settings={**plain.settings, **settings}, **changes)


def weights_path(experiment: Experiment, folder: Path) -> Path:
    """Where a run in ``folder`` leaves its weights."""
    return folder / f"{experiment.name}.safetensors.gz"


def evidence_path(experiment: Experiment, seed: int, folder: Path) -> Path:
    """Where a run in ``folder`` leaves its evidence."""
    return folder / f"{experiment.name}-seed-{seed}.safetensors.gz"


def check_header(header: dict[str, Any], path: Path) -> None:
    """Refuse, by a StorageError, the header of a file that no run of this version has written."""
    if header.get("format") != FORMAT:
        raise StorageError(
            f"expected a file of format {FORMAT}, found {header.get('format', 1)!r:.20}: {path} was written by another "
            "version of aae_lib, or by no training run; train again"
        )
    kinds = HEADER | {name: kind for name, kind in OPTIONAL.items() if name in header}
    wrong = [name for name, kind in kinds.items() if not isinstance(header.get(name), kind)]
    if not wrong:
        numbers, texts = [*header["shape"], header["classes"] + 1], header.get("class_names", [])
        if not all(type(number) is int and number > 0 for number in numbers):
            wrong = ["shape or classes"]
        elif not all(isinstance(text, str) for text in texts):
            wrong = ["class_names"]
    if wrong:
        raise StorageError(f"the header of {path} is damaged ({', '.join(wrong)}): train again")
