"""The results: a row for each experiment, seed and measure, computed anew from the evidence."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.special import stdtrit
from tqdm.auto import tqdm

from aae_lib import experiments
from aae_lib.experiments import EVIDENCE, EXPERIMENTS
from aae_lib.metrics import null_band
from aae_lib.priors import Prior
from aae_lib.storage import read_file, write_file

FORMAT = 2  # of results.json
METRICS = {each.name: each.title for experiment in EXPERIMENTS.values() for each in experiment.chapter.measures}
BANDS = EVIDENCE / "bands.safetensors.gz"


@dataclass(frozen=True)
class Result:
    """One number: a metric of one seed of an experiment, with where it was trained and for how long."""

    experiment: str
    seed: int
    metric: str
    value: float
    minutes: float
    device: str


@cache
def results_of(name: str) -> list[Result]:
    """All results of an experiment, from its shipped evidence; none if it is only planned."""
    rows = []
    for seed in experiments.shipped_seeds(name):
        evidence = experiments.load_evidence(name, seed)
        header = evidence.header
        minutes, device = round(header["seconds"] / 60, 1), f"{header['device']}, {header['precision']}"
        values = experiments.measure(experiments.find(name), evidence)
        rows += [Result(name, seed, metric, round(value, 4), minutes, device) for metric, value in values.items()]
    return rows


def values_of(name: str, metric: str) -> np.ndarray:
    """A metric over the seeds of an experiment, ``[seeds]``."""
    return np.array([row.value for row in results_of(name) if row.metric == metric])


def minutes_of(name: str) -> float | None:
    """Minutes of a run, mean over an experiment's results; None if it is only planned."""
    rows = results_of(name)
    return round(float(np.mean([row.minutes for row in rows])), 1) if rows else None


def summary(values: np.ndarray, digits: int = 3) -> str:
    """Mean of ``values`` and its 95 % interval (Student's) as text, or - for nothing measured."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}" if len(values) else "-"
    half = stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.{digits}f} ± {half:.{digits}f}"


@cache
def _known_bands() -> dict[str, dict[str, tuple[float, float]]]:
    """The recorded bands, and those that were computed since."""
    return read_file(BANDS)[1]["bands"] if BANDS.exists() else {}


def band(prior: Prior, count: int = 10_000) -> dict[str, tuple[float, float]]:
    """:func:`~aae_lib.metrics.null_band` of ``count`` samples, recorded, because it takes seconds."""
    known, key = _known_bands(), f"{count} samples of {prior!r}"
    if key not in known:
        known[key] = null_band(prior, count)
    return known[key]


def record_bands() -> None:
    """Keep the bands that are known now with what ships."""
    write_file(BANDS, {}, {"bands": _known_bands()})


def equal_reconstruction(metric: str, model: str, curve: Collection[str]) -> float:
    """A metric along a curve of experiments at the reconstruction error of another, ``model``; means over seeds.

    Between two neighboring points of the curve it is interpolated linearly.

    Raises:
        ValueError: if no point of the curve reconstructs as well as the model, so that it would have to be extended.
    """
    errors = np.array([values_of(name, "reconstruction_error").mean() for name in curve])
    values = np.array([values_of(name, metric).mean() for name in curve])
    error = values_of(model, "reconstruction_error").mean()
    if not errors.min() <= error <= errors.max():
        raise ValueError(f"the reconstruction error {error:.2f} of {model} lies outside the curve {errors.round(2)}")
    order = errors.argsort()
    return float(np.interp(error, errors[order], values[order]))


def results_as_data() -> dict[str, Any]:
    """What results.json holds: every experiment, the titles of all metrics, and every row.

    ``ours`` of an experiment are the metrics that the paper reports, then the columns of its chapter's table, as text.
    """
    described, rows = {}, []
    for name, experiment in tqdm(EXPERIMENTS.items(), desc="results", leave=False):
        shown = dict.fromkeys([*experiment.paper, *experiment.chapter.columns])
        measured = {row.metric for row in results_of(name)}
        described[name] = {
            "title": experiment.title,
            "chapter": experiment.chapter.title,
            "figure": experiment.figure,
            "paper": {metric: str(reported) for metric, reported in experiment.paper.items()},
            "ours": {metric: summary(values_of(name, metric)) for metric in shown if metric in measured},
            "seeds": len(experiments.shipped_seeds(name)),
            "minutes": minutes_of(name),
        }
        rows += [asdict(row) for row in results_of(name)]
    return {"format": FORMAT, "experiments": described, "metrics": METRICS, "results": rows}
