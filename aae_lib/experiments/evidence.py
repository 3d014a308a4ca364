"""What a trained model makes of held-out images: examined, kept in a file, and measured."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aae_lib.data import Images, check_images
from aae_lib.devices import device_of
from aae_lib.errors import StorageError
from aae_lib.experiments.experiment import EVIDENCE, Collector, Experiment, Measure, check_header
from aae_lib.models import Model, classes_told
from aae_lib.seeding import seeded
from aae_lib.storage import read_file, write_file

BATCH = 1000  # images that a model gets at once
OF_EACH_IMAGE = ("predictions", "clusters", "squared_errors", "log_likelihoods", "from_style")


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a trained model makes of held-out images. Each tensor is also an attribute, such as ``evidence.codes``."""

    header: dict[str, Any]  # experiment, recipe, settings, seed, steps, data, versions, wall time, history
    labels: Tensor  # the true ones, ``[n]``, int64
    tensors: dict[str, Tensor]  # what was collected, by name; the collectors say what the names mean

    def __getattr__(self, name: str) -> Tensor:
        tensors = self.__dict__.get("tensors", {})
        if name not in tensors:
            raise AttributeError(f"this evidence holds no {name!r}; it holds: {', '.join(tensors) or 'nothing'}")
        return tensors[name]

    @property
    def is_labeled(self) -> bool:
        """Whether every image has a label."""
        return len(self.labels) > 0 and int(self.labels.min()) >= 0

    @property
    def digits_of_clusters(self) -> Tensor:
        """The label after which each image's cluster is named by the majority, ``[n]``; -1 where it has no name."""
        return self.tensors["names"][0][self.tensors["clusters"].long()]


@dataclass(frozen=True, eq=False)
class Examination:
    """A trained model in evaluation mode, and the images that collectors show it: the arguments of :func:`examine`."""

    experiment: Experiment
    model: Model
    images: Images
    training: Images | None = None
    data_name: str = "MNIST"

    @cached_property
    def codes(self) -> Tensor:
        """The code of each image, ``[n, d]``, float32: a sample of q(z|x) where the encoder is stochastic."""
        parts = (self.images[start : start + BATCH] for start in range(0, len(self.images), BATCH))
        return torch.cat([self.model.code_of(part.to(device_of(self.model))).cpu() for part in parts])

    def collect(self, measures: Iterable[Measure], keeps: Iterable[Collector] = ()) -> dict[str, Tensor]:
        """What the collectors of the measures put into evidence, and then those of ``keeps``, each called once."""
        of_measures = [collector for measure in measures for collector in measure.collect]
        found = {}
        for collector in dict.fromkeys([*of_measures, *keeps]):
            found |= collector(self)
        return found


@torch.no_grad()
def examine(
    experiment: Experiment, model: Model, images: Images, header: dict[str, Any], training: Images | None = None
) -> Evidence:
    """Collect what the measures of the experiment's chapter need, in float32 on the CPU, with random numbers of seed 0.

    Tensors are rounded as they are stored, so that measures of this evidence and of its file agree. The model is left
    in evaluation mode, on the CPU.

    Args:
        images: held-out images.
        header: of the evidence; ``data_name`` says which images these are.
        training: the images that the experiment selects from; None: what needs them is not collected.
    """
    model = model.cpu().eval()
    check_images(images, model, classes=classes_told(model), labeled=type(model).code_of is not Model.code_of)
    examination = Examination(experiment, model, images, training, header.get("data_name", "MNIST"))
    with seeded(0):
        tensors = examination.collect(experiment.chapter.measures, experiment.chapter.keeps)
    return Evidence(header, images.labels, tensors)


def measure(
    experiment: Experiment, evidence: Evidence, measures: Iterable[Measure] | None = None
) -> dict[str, float]:
    """The measures that apply to this evidence, by name; by default all of the experiment's chapter."""
    chosen = experiment.chapter.measures if measures is None else measures
    values = {measure.name: measure.value(experiment, evidence) for measure in chosen}
    return {name: value for name, value in values.items() if value is not None}


def save_evidence(path: Path, evidence: Evidence) -> None:
    """Write evidence to a file. The labels of MNIST's test images are left out: they ship once for all."""
    labels = {} if _of_test_set(evidence.header) else {"labels": evidence.labels.to(torch.int16)}
    write_file(path, evidence.tensors | labels, evidence.header)


def read_evidence(path: Path) -> Evidence:
    """The evidence that :func:`~aae_lib.experiments.train_experiment` left in a file.

    Raises:
        StorageError: there is no such file, or it is damaged or holds no evidence.
    """
    tensors, header = read_file(path)
    if "experiment" not in header or any("." in name for name in tensors):
        raise StorageError(f"{path} holds no evidence: that of a run is its file NAME-seed-SEED.safetensors.gz")
    check_header(header, path)
    labels = test_set()["labels"] if _of_test_set(header) else tensors.pop("labels", torch.empty(0)).long()
    for name in OF_EACH_IMAGE:
        if name in tensors and len(tensors[name]) != len(labels):
            raise StorageError(f"{path} is damaged: {len(tensors[name])} {name} and {len(labels)} labels")
    return Evidence(header, labels, tensors)


@cache
def test_set() -> dict[str, Tensor]:
    """What is kept of MNIST's test images, in the order of the file: ``labels`` and ``sharpness``, ``[10000]`` each."""
    tensors, _ = read_file(EVIDENCE / "test-set.safetensors.gz")
    return {"labels": tensors["labels"].long(), "sharpness": tensors["sharpness"]}


def _of_test_set(header: dict[str, Any]) -> bool:
    return (header.get("data_name"), header.get("evaluated_on")) == ("MNIST", "test")
