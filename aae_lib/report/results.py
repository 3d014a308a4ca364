"""The results: a row for each experiment, seed and measure, computed anew from the evidence."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.stats import t as student
from tqdm.auto import tqdm

from aae_lib.experiments import (
    EXPERIMENTS,
    VAE_CURVE,
    VAE_MIXTURE_CURVE,
    Experiment,
    find,
    load_evidence,
    measure,
    shipped_seeds,
    test_set,
)
from aae_lib.metrics import null_band
from aae_lib.priors import Prior

FORMAT = 2  # of results.json
METRICS = {each.name: each.title for experiment in EXPERIMENTS.values() for each in experiment.chapter.measures}


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
    for seed in shipped_seeds(name):
        evidence = load_evidence(name, seed)
        header = evidence.header
        for metric, value in measure(find(name), evidence).items():
            minutes = round(header["seconds"] / 60, 1)
            device = f"{header['device']}, {header['precision']}"
            rows.append(Result(name, seed, metric, round(value, 4), minutes, device))
    return rows


def values_of(name: str, metric: str) -> np.ndarray:
    """A metric over the seeds of an experiment, ``[seeds]``."""
    return np.array([row.value for row in results_of(name) if row.metric == metric])


def minutes_of(name: str) -> float | None:
    """Minutes of a run, mean over an experiment's results; None if it is only planned."""
    rows = results_of(name)
    return round(float(np.mean([row.minutes for row in rows])), 1) if rows else None


def interval(values: np.ndarray) -> float:
    """Half the width of the 95 % Student interval of the mean of ``values``; NaN for a single one."""
    if len(values) < 2:
        return float("nan")
    return float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def summary(values: np.ndarray, digits: int = 3) -> str:
    """Mean and 95 % interval as text, or - for nothing measured."""
    if not len(values):
        return "-"
    spread = "" if len(values) == 1 else f" ± {interval(values):.{digits}f}"
    return f"{values.mean():.{digits}f}{spread}"


_BANDS: dict[tuple[str, int], dict[str, tuple[float, float]]] = {}


def band(prior: Prior, count: int = 10_000) -> dict[str, tuple[float, float]]:
    """:func:`~aae_lib.metrics.null_band` of ``count`` samples, computed once for all priors of one description."""
    key = repr(prior), count
    if key not in _BANDS:
        _BANDS[key] = null_band(prior, count)
    return _BANDS[key]


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


# What is said of Figure 2 (of sharpness not by the paper, as far as we know), and the measures that can tell: (claim,
# metric, adversarial model, VAE curve).
CLAIMS = (
    ("A: the AAE fills the Gaussian, without holes", "prior_coverage", "aae-gaussian", VAE_CURVE),
    ("A: its transitions between digits are sharp", "steepest_tenth", "aae-gaussian", VAE_CURVE),
    ("B: the AAE matches the mixture", "inside_prior", "aae-mixture", VAE_MIXTURE_CURVE),
    ("C: the VAE leaves regions of the Gaussian empty", "prior_coverage", "aae-gaussian", VAE_CURVE),
    ("C: the VAE leaves regions of the mixture empty", "prior_coverage", "aae-mixture", VAE_MIXTURE_CURVE),
    ("D: the VAE deviates from the mixture", "sliced_wasserstein", "aae-mixture", VAE_MIXTURE_CURVE),
    ("the AAE's samples are sharper, Gaussian", "sample_sharpness", "aae-gaussian", VAE_CURVE),
    ("the AAE's samples are sharper, mixture", "sample_sharpness", "aae-mixture", VAE_MIXTURE_CURVE),
)


def claims() -> str:
    """Claims about Figure 2 as a Markdown table: the AAE, the VAE as it is, and at equal reconstruction.

    Means over seeds with 95 % intervals. The last column is what a perfect match would give: the prior against itself,
    or, for sharpness, the test images.
    """
    lines = [
        "| the claim | measure | AAE | VAE, KL weight 1 | VAE at the AAE's reconstruction error | perfect |",
        "|---|---|---|---|---|---|",
    ]
    for claim, metric, model, curve in CLAIMS:
        known = band(find(model).prior)
        perfect = f"{known[metric][0]:.3f} to {known[metric][1]:.3f}" if metric in known else "-"
        if metric == "sample_sharpness":
            perfect = f"{float(test_set()['sharpness'].double().mean()):.3f}"
        equal = equal_reconstruction(metric, model, curve)
        cells = [summary(values_of(name, metric)) for name in (model, next(iter(curve)))]
        lines.append(f"| {claim} | {METRICS[metric]} | {cells[0]} | {cells[1]} | {equal:.3f} | {perfect} |")
    return "\n".join(lines)


def results_as_data() -> dict[str, Any]:
    """What results.json holds: every experiment, the titles of all metrics, and every row.

    ``ours`` of an experiment are the metrics that the paper reports, then the columns of its chapter's table, as text.
    """
    named = tqdm(EXPERIMENTS.items(), desc="results", leave=False)
    experiments = {name: _described(experiment) for name, experiment in named}
    rows = [asdict(row) for name in EXPERIMENTS for row in results_of(name)]
    return {"format": FORMAT, "experiments": experiments, "metrics": METRICS, "results": rows}


def _described(experiment: Experiment) -> dict[str, Any]:
    shown = dict.fromkeys([*experiment.paper, *experiment.chapter.columns])
    values = {metric: values_of(experiment.name, metric) for metric in shown}
    return {
        "title": experiment.title,
        "chapter": experiment.chapter.title,
        "figure": experiment.figure,
        "paper": {metric: str(reported) for metric, reported in experiment.paper.items()},
        "ours": {metric: summary(found) for metric, found in values.items() if len(found)},
        "seeds": len(shipped_seeds(experiment.name)),
        "minutes": minutes_of(experiment.name),
    }
