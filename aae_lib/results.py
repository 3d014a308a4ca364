"""The results table: every experiment, seed and metric, computed anew from the evidence."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import t as student
from tqdm.auto import tqdm

from aae_lib.comparisons import recorded_metrics
from aae_lib.experiments import (
    CLUSTERS,
    EXPERIMENTS,
    GENERATORS,
    JUDGE,
    KEPT,
    LABELS,
    LIKELIHOOD,
    MAPS,
    PLANE,
    POSTERIORS,
    SEMI_SUPERVISED,
    STYLE,
    UNMOVED,
    VAE_CURVE,
    VAE_MIXTURE_CURVE,
    Reported,
    build,
    continuous_prior,
    find,
    load_evidence,
    measure,
    shipped_seeds,
    test_set,
)
from aae_lib.likelihoods import read_record
from aae_lib.metrics import null_band
from aae_lib.priors import Prior

METRICS = {
    "reconstruction_error": "reconstruction error",
    "prior_coverage": "prior coverage",
    "sliced_wasserstein": "sliced Wasserstein",
    "inside_prior": "inside the prior",
    "smallest_class": "smallest component",
    "largest_class": "largest component",
    "own_class": "own class",
    "neighbor_accuracy": "neighbor accuracy",
    "sample_sharpness": "sharpness",
    "image_change": "image change",
    "steepest_tenth": "steepest tenth",
    "test_error_percent": "test error, %",
    "test_error_percent_most_confident": "test error by the most certain image, %",
    "adjusted_rand_index": "adjusted Rand index",
    "normalized_mutual_information": "normalized mutual information",
    "empty_clusters": "empty clusters",
    "trustworthiness": "trustworthiness",
    "label_from_style_percent": "label told from style, %",
    "parzen_log_likelihood_10k": "log-likelihood, 10,000 samples, nats",
    "bandwidth": "bandwidth",
    "fid": "FID on digit features",
    "rarest_digit": "share of the rarest digit",
}
# The columns of each topic's table; results.json has all metrics of all experiments.
COLUMNS = {
    PLANE: ("reconstruction_error", "prior_coverage", "sliced_wasserstein", "inside_prior", "neighbor_accuracy",
            "sample_sharpness"),
    LABELS: ("reconstruction_error", "prior_coverage", "sliced_wasserstein", "own_class", "neighbor_accuracy"),
    POSTERIORS: ("reconstruction_error", "prior_coverage", "sliced_wasserstein", "neighbor_accuracy", "image_change"),
    STYLE: ("reconstruction_error", "prior_coverage", "sliced_wasserstein", "label_from_style_percent"),
    SEMI_SUPERVISED: ("test_error_percent", "reconstruction_error", "sliced_wasserstein"),
    CLUSTERS: ("test_error_percent", "test_error_percent_most_confident", "adjusted_rand_index",
               "normalized_mutual_information", "empty_clusters", "reconstruction_error"),
    MAPS: ("test_error_percent", "neighbor_accuracy", "trustworthiness", "reconstruction_error"),
    LIKELIHOOD: ("parzen_log_likelihood_10k", "bandwidth", "reconstruction_error", "prior_coverage",
                 "sliced_wasserstein"),
    GENERATORS: ("fid", "rarest_digit", "sample_sharpness", "reconstruction_error", "sliced_wasserstein",
                 "neighbor_accuracy"),
}  # fmt: skip


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


_BANDS: dict[tuple[str, int], dict[str, tuple[float, float]]] = {}


def band(prior: Prior, count: int = 10_000) -> dict[str, tuple[float, float]]:
    """:func:`~aae_lib.metrics.null_band` of ``count`` samples, computed once for all priors of one description."""
    key = repr(prior), count
    if key not in _BANDS:
        _BANDS[key] = null_band(prior, count)
    return _BANDS[key]


def table() -> str:
    """All results as Markdown, a table per topic: means over seeds with 95 % intervals, and each prior's own band."""
    topics = [_table_of(topic, metrics) for topic, metrics in COLUMNS.items()]
    return "\n\n".join([*topics, table_1(), table_2(), table_3(), table_of_maps(), table_of_generators()])


# Table 1 of the AAE paper, MNIST: (log-likelihood in nats by 10,000 samples, by 10 million).
TABLE_1 = {
    "DBN": (Reported("138", "2", recalled=False), None),
    "Stacked CAE": (Reported("121", "1.6"), None),
    "Deep GSN": (Reported("214", "1.1"), None),
    "GAN": (Reported("225", "2", recalled=False), Reported("386")),
    "GMMN + AE": (Reported("282", "2", recalled=False), None),
    "AAE": (find("likelihood").paper["parzen_log_likelihood_10k"], Reported("427")),
}


def table_1() -> str:
    """Table 1 of the AAE paper as Markdown, its window of samples of the model here, and two controls, recorded."""
    lines = ["**AAE Table 1: log-likelihood of the test images in nats, by a Parzen window of samples**", "",
             "| samples of | 10,000 samples | more samples |", "|---|---|---|"]  # fmt: skip
    for model, (few, many) in TABLE_1.items():
        lines.append(f"| {model}, reported | {few} | {f'10,000,000: {many}' if many else '-'} |")
    windows: dict[str, list[str]] = {}
    for window in read_record():
        text = f"{window.log_likelihood:.1f} ± {window.standard_error:.1f}"
        many = window.samples > 10_000
        windows.setdefault(window.name, []).append(f"{window.samples:,}: {text}" if many else text)
    of_each = load_evidence("likelihood").log_likelihoods.double()
    error = float(of_each.std() / np.sqrt(len(of_each)))
    for name, (few, *many) in windows.items():
        if name == "AAE":
            name, few = "**AAE, here** (more samples recorded)", f"{of_each.mean():.1f} ± {error:.1f}"
        else:
            name = f"{name} (recorded)"
        lines.append(f"| {name} | {few} | {'; '.join(many) or '-'} |")
    return "\n".join([*lines, "", "± here: the standard error over the test images, of seed 0. † recalled, not checked "
                      "against the paper"])  # fmt: skip


def table_of_generators() -> str:
    """What the generators cost: parameters that are trained, and seconds for one pass over 60,000 images."""
    lines = ["**What the generators cost**", "", "| model | parameters | of them the generator's | seconds an epoch |",
             "|---|---|---|---|"]  # fmt: skip
    for name, experiment in EXPERIMENTS.items():
        if experiment.topic != GENERATORS or name == JUDGE or not shipped_seeds(name):
            continue
        model = build(experiment, 0)
        counts = [sum(parameter.numel() for parameter in part.parameters()) for part in (model, model.decoder)]
        cells = f"{counts[0]:,} | {counts[1]:,} | {seconds_per_epoch(name):.0f}"
        lines.append(f"| {experiment.title} (`{name}`) | {cells} |")
    return "\n".join(lines)


def measures_of_generators(names: Collection[str]) -> str:
    """The measures of some generators as Markdown, means over seeds; in the last line those of real digits.

    The FID of real digits is that of the training images, their sharpness that of the test images.
    """
    metrics = COLUMNS[GENERATORS]
    lines = [f"| model | {' | '.join(METRICS[metric] for metric in metrics)} | seeds |",
             "|---" * (len(metrics) + 2) + "|"]  # fmt: skip
    for name in names:
        cells = [summary(values_of(name, metric)) for metric in metrics]
        lines.append(f"| {find(name).title} | {' | '.join(cells)} | {len(values_of(name, 'fid'))} |")
    real = {metric: float(values_of(JUDGE, metric)[0]) for metric in ("fid", "rarest_digit")}
    real["sample_sharpness"] = float(test_set()["sharpness"].double().mean())
    cells = [f"{real[metric]:.3f}" if metric in real else "" for metric in metrics]
    return "\n".join([*lines, f"| *real digits* | {' | '.join(cells)} |  |"])


def seconds_per_epoch(name: str) -> float:
    """Seconds that one pass over 60,000 images took, mean over an experiment's seeds, on the machine of their runs."""
    headers = [load_evidence(name, seed).header for seed in shipped_seeds(name)]
    images = find(name).recipe.batch_size
    return float(np.mean([60_000 * header["seconds"] / (header["steps"] * images) for header in headers]))


# Table 2 of the AAE paper, test error in percent with 100, 1000 and all labels. It quotes the other methods' papers.
TABLE_2 = {
    "NN": (Reported("25.80"), Reported("8.73"), Reported("1.25")),
    "VAE (M1) + TSVM": (Reported("11.82", "0.25"), Reported("4.24", "0.07"), None),
    "VAE (M2)": (Reported("11.97", "1.71"), Reported("3.60", "0.56"), None),
    "VAE (M1 + M2)": (Reported("3.33", "0.14"), Reported("2.40", "0.02"), Reported("0.96")),
    "VAT": (Reported("2.33"), Reported("1.36"), Reported("0.64", "0.04")),
    "CatGAN": (Reported("1.91", "0.10"), Reported("1.73", "0.18"), Reported("0.91")),
    "Ladder networks": (Reported("1.06", "0.37"), Reported("0.84", "0.08"), Reported("0.57", "0.02")),
    "ADGM": (Reported("0.96", "0.02"), None, None),
    "AAE": tuple(find(name).paper["test_error_percent"] for name in ("semi-100", "semi-1000", "semi-all")),
}
TABLE_2_OURS = {
    "classifier alone": ("labels-100", "labels-1000", None),
    "VAE (M2)": ("m2-100", None, None),
    "AAE": ("semi-100", "semi-1000", "semi-all"),
}


def table_2() -> str:
    """Table 2 of the AAE paper as Markdown, with the same quantities measured here below the reported ones.

    First on images that stay where they are, as for the reported rows, then on images that move.
    """
    lines = ["**AAE Table 2: test error in percent with 100, 1000 and all labels**", "",
             "| model | 100 labels | 1000 labels | all labels |", "|---|---|---|---|"]  # fmt: skip
    for model, reported in TABLE_2.items():
        lines.append(f"| {model}, reported | {' | '.join(str(value or '-') for value in reported)} |")
    for where, ending in (("here", UNMOVED), ("here, images moved", "")):
        for model, names in TABLE_2_OURS.items():
            cells = [_seeds_summary(name + ending) if name else "-" for name in names]
            lines.append(f"| **{model}, {where}** | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "† recalled, not checked against the paper"])


# Table 3 of the AAE paper, with the number of clusters; Dilokthanakul et al. 2016, Table 1, confirm its numbers.
TABLE_3 = {
    "CatGAN, reported": (20, Reported("9.70", recalled=False)),
    "AAE, 16 clusters, reported": (16, find("cluster-16").paper["test_error_percent_most_confident"]),
    "AAE, 30 clusters, reported": (30, find("cluster-30").paper["test_error_percent_most_confident"]),
}


def table_3() -> str:
    """Table 3 of the AAE paper as Markdown, with the same quantities measured here, and two older methods, recorded.

    The paper names a cluster after the image that is most certain to be in it; the majority of its images is steadier.
    """
    lines = ["**AAE Table 3: test error in percent without labels**", "",
             "| model | clusters | named by the most certain image | named by the majority |",
             "|---|---|---|---|"]  # fmt: skip
    for model, (clusters, reported) in TABLE_3.items():
        lines.append(f"| {model} | {clusters} | {reported} | - |")
    for name in ("cluster-16", "cluster-30"):
        cells = [_seeds_summary(name, rule) for rule in ("test_error_percent_most_confident", "test_error_percent")]
        lines.append(f"| **AAE, here** | {build(find(name), 0).prior.classes} | {' | '.join(cells)} |")
    for name, metrics in recorded_metrics().items():
        if "test_error_percent" in metrics:
            method, _, count = name.removesuffix(" clusters").rpartition(", ")
            lines.append(f"| {method} (recorded) | {count} | - | {metrics['test_error_percent']:.2f} |")
    return "\n".join([*lines, "", "That the paper names clusters by their most certain image is recalled, not checked; "
                      "by which rule CatGAN's are named we do not know"])  # fmt: skip


def table_of_maps() -> str:
    """Maps of the test images in two dimensions as Markdown: ours, and those that other methods draw, recorded."""
    metrics = ("neighbor_accuracy", "trustworthiness")
    lines = ["**The test images in the plane**", "",
             f"| map | {' | '.join(METRICS[metric] for metric in metrics)} | maps new images | decodes |",
             "|---|---|---|---|---|"]  # fmt: skip
    for name in ("reduce-2d-1000", "reduce-2d-100", "reduce-2d-unsupervised", "autoencoder"):
        cells = [summary(values_of(name, metric)) for metric in metrics]
        lines.append(f"| **{find(name).title}** | {' | '.join(cells)} | yes | yes |")
    for name, measured in recorded_metrics().items():
        if "trustworthiness" in measured:
            new, decodes = {"PCA": ("yes", "yes"), "UMAP": ("yes", "roughly")}.get(name, ("no", "no"))
            cells = [f"{measured[metric]:.3f}" for metric in metrics]
            lines.append(f"| {name} (recorded) | {' | '.join(cells)} | {new} | {decodes} |")
    return "\n".join(lines)


def _seeds_summary(name: str, metric: str = "test_error_percent") -> str:
    values = values_of(name, metric)
    if not len(values):
        return "-"
    return f"{summary(values, 2)} ({len(values)} seed{'s' * (len(values) != 1)})"


def _table_of(topic: str, metrics: tuple[str, ...]) -> str:
    lines = [
        f"**{topic}**",
        "",
        "| experiment | figure | " + " | ".join(METRICS[metric] for metric in metrics) + " | paper | seeds | minutes |",
        "|---|---|" + "---|" * len(metrics) + "---|---|---|",
    ]
    priors = {}
    for name, experiment in EXPERIMENTS.items():
        if experiment.topic != topic:
            continue
        rows = results_of(name)
        cells = [summary(values_of(name, metric)) for metric in metrics]
        minutes = f"{np.mean([row.minutes for row in rows]):.1f}" if rows else "-"
        seeds = len({row.seed for row in rows})
        title = f"{experiment.title} (`{name}`)"
        paper = ", ".join(f"{METRICS[metric]} {value}" for metric, value in experiment.paper.items()) or "no number"
        lines.append(f"| {title} | {experiment.figure} | {' | '.join(cells)} | {paper} | {seeds} | {minutes} |")
        prior = continuous_prior(build(experiment, 0))
        if prior is not None and rows:
            priors[repr(prior)] = prior
    for description, prior in priors.items():
        known = band(prior, KEPT) if topic == GENERATORS else band(prior)
        if not known.keys() & set(metrics):
            continue
        cells = [f"{known[metric][0]:.3f} to {known[metric][1]:.3f}" if metric in known else "-" for metric in metrics]
        lines.append(f"| *`{description}` against itself* |  | {' | '.join(cells)} |  | 5 |  |")
    return "\n".join(lines)


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
        known = band(build(find(model), 0).prior)
        perfect = f"{known[metric][0]:.3f} to {known[metric][1]:.3f}" if metric in known else "-"
        if metric == "sample_sharpness":
            perfect = f"{float(test_set()['sharpness'].double().mean()):.3f}"
        equal = equal_reconstruction(metric, model, curve)
        cells = [summary(values_of(name, metric)) for name in (model, next(iter(curve)))]
        lines.append(f"| {claim} | {METRICS[metric]} | {cells[0]} | {cells[1]} | {equal:.3f} | {perfect} |")
    return "\n".join(lines)
