"""The results table: every experiment, seed and metric, computed anew from the evidence."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import t as student
from tqdm.auto import tqdm

from aae_lib.experiments import EXPERIMENTS, VAE_CURVE, find, load_evidence, measure, shipped_seeds
from aae_lib.metrics import null_band
from aae_lib.priors import Gaussian

METRICS = {
    "reconstruction_error": "reconstruction error",
    "prior_coverage": "prior coverage",
    "sliced_wasserstein": "sliced Wasserstein",
    "neighbor_accuracy": "neighbor accuracy",
}


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
    """All results of an experiment, from its shipped evidence."""
    rows = []
    for seed in shipped_seeds(name):
        evidence = load_evidence(name, seed)
        header = evidence.header
        for metric, value in measure(find(name), evidence).items():
            minutes = round(header["seconds"] / 60, 1)
            device = f"{header['device']}, {header['precision']}"
            rows.append(Result(name, seed, metric, round(value, 4), minutes, device))
    return rows


def all_results() -> list[Result]:
    """The results of every experiment, behind a progress bar: some seconds the first time."""
    return [row for name in tqdm(EXPERIMENTS, desc="results", leave=False) for row in results_of(name)]


def values_of(name: str, metric: str) -> np.ndarray:
    """A metric over the seeds of an experiment, ``[seeds]``."""
    return np.array([row.value for row in results_of(name) if row.metric == metric])


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


def table() -> str:
    """The results as a Markdown table: mean over seeds with 95 % intervals, and the band of the prior itself."""
    lines = [
        "| experiment | figure | " + " | ".join(METRICS.values()) + " | paper | seeds | minutes |",
        "|---|---|" + "---|" * len(METRICS) + "---|---|---|",
    ]
    for name, experiment in EXPERIMENTS.items():
        rows = results_of(name)
        cells = [summary(values_of(name, metric)) for metric in METRICS]
        minutes = np.mean([row.minutes for row in rows]) if rows else float("nan")
        seeds = len({row.seed for row in rows})
        title = f"{experiment.title} (`{name}`)"
        paper = ", ".join(f"{METRICS[metric]} {value}" for metric, value in experiment.paper.items()) or "no number"
        lines.append(f"| {title} | {experiment.figure} | {' | '.join(cells)} | {paper} | {seeds} | {minutes:.1f} |")
    band = null_band(Gaussian(2))
    cells = [f"{band[metric][0]:.3f} to {band[metric][1]:.3f}" if metric in band else "-" for metric in METRICS]
    lines.append(f"| *the 2-D Gaussian against itself* |  | {' | '.join(cells)} |  | 5 |  |")
    return "\n".join(lines)


def equal_reconstruction(metric: str = "prior_coverage") -> tuple[float, float]:
    """A metric of the AAE and of the VAE *at the AAE's reconstruction error*: two means over seeds.

    The VAE's value is read off its curve over KL weights, by linear interpolation between the two neighboring weights.

    Raises:
        ValueError: if no weight's VAE reconstructs as well as the AAE, so that the curve would have to be extended.
    """
    errors = np.array([values_of(name, "reconstruction_error").mean() for name in VAE_CURVE])
    values = np.array([values_of(name, metric).mean() for name in VAE_CURVE])
    error = values_of("aae-gaussian", "reconstruction_error").mean()
    if np.isnan(errors).any():
        raise ValueError(f"some of {', '.join(VAE_CURVE)} ship no evidence, so there is no curve")
    if not errors.min() <= error <= errors.max():
        raise ValueError(f"the AAE's reconstruction error {error:.2f} lies outside the VAE's curve {errors.round(2)}")
    order = errors.argsort()
    return float(values_of("aae-gaussian", metric).mean()), float(np.interp(error, errors[order], values[order]))
