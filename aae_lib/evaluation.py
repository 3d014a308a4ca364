"""Trained models measured, from the command line."""

from __future__ import annotations

import json as json_format
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from aae_lib.errors import StorageError, UnknownNameError

if TYPE_CHECKING:
    from aae_lib.data import DataSet
    from aae_lib.experiments import Evidence, Experiment, Trained


def evaluate(
    name: Positional[str],
    weights: Path | None = None,
    data: str | None = None,
    json: Annotated[bool, arg(help="print one JSON object")] = False,
) -> None:
    """Measure a trained model: on its test set; without MNIST, from the shipped evidence or on the sample digits.

    Args:
        name: the experiment.
        weights: a file that `train` wrote; default: the shipped weights.
        data: as for `train`; default: what the weights were trained on.
    """
    from aae_lib.experiments import find, measure

    experiment = find(name)
    evidence, described, source = _evidence(experiment, weights, data)
    metrics = _finite(measure(experiment, evidence), source)
    if json:
        paper = {metric: float(reported) for metric, reported in experiment.paper.items()}
        result = {"experiment": name, "metrics": metrics, "paper": paper, "data": described, "weights": source}
        print(json_format.dumps(result, allow_nan=False))
        return
    print(f"{experiment.title}, weights: {source}\ndata: {described}")
    print_metrics(name, metrics)


def _evidence(experiment: Experiment, weights: Path | None, data: str | None) -> tuple[Evidence, str, str]:
    """Evidence of trained weights, new or as it ships, and in words: on which images, and of which weights."""
    from aae_lib.experiments import PRETRAINED, examine, load_evidence, load_trained, shipped_seeds, weights_path

    ships = weights_path(experiment, PRETRAINED).exists()
    seeds = shipped_seeds(experiment.name) if weights is None and data in (None, experiment.data) else []
    if ships or not seeds:
        trained = load_trained(experiment, weights)  # what is missing is better found out before a download
        images = _images_of(trained, data)
        if images.name != "MNIST-sample" or not seeds:
            header = {"data_name": images.name}
            evidence = examine(trained.experiment, trained.model, images.test, header, images.train)
            return evidence, images.source, str(weights or "shipped")
    evidence = load_evidence(experiment.name, seeds[0])
    described = f"the {len(evidence.labels):,} test images of {experiment.data} (from the shipped evidence)"
    return evidence, described, "shipped" if ships else "not shipped, their evidence is"


def _images_of(trained: Trained, data: str | None) -> DataSet:
    """The images of that name, by default those of the training, in the shape that the model takes."""
    from aae_lib.data import load_images

    name = data or trained.header["data_name"]
    try:
        channels, *sides = trained.header["shape"]
        return load_images(name, size=tuple(sides), gray=channels == 1)
    except UnknownNameError as error:
        remedy = "" if data else " These weights were trained on it; choose others with --data."
        raise UnknownNameError(f"{error}{remedy}") from error


def _finite(metrics: dict[str, float], source: str) -> dict[str, float]:
    broken = [name for name, value in metrics.items() if not math.isfinite(value)]
    if broken:
        raise StorageError(f"{', '.join(broken)}: expected finite numbers; the weights ({source}) are damaged")
    return metrics


def print_metrics(name: str, metrics: dict[str, float]) -> None:
    print(f"  {name}: " + ", ".join(f"{metric} {value:.4f}" for metric, value in metrics.items()), flush=True)
