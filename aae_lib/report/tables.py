"""The results as Markdown tables, and the files that hold them: results.json, results.md and a block of README."""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
from scipy.stats import sem

from aae_lib.errors import StorageError
from aae_lib.experiments import (
    CHAPTERS,
    CLUSTERING,
    DIGIT_CLASSIFIER,
    EXPERIMENTS,
    GENERATORS,
    REDUCTION,
    Chapter,
    Experiment,
    find,
    load_evidence,
    shipped_seeds,
    test_set,
)
from aae_lib.paper import TABLE_1, TABLE_2, TABLE_3
from aae_lib.report.baselines import read_likelihoods, recorded_metrics
from aae_lib.report.results import METRICS, band, minutes_of, results_as_data, summary, values_of

ERROR, ERROR_BY_PAPER = "test_error_percent", "test_error_percent_most_confident"
RECALLED = "† recalled, not checked against the paper"
START, END = "<!-- results -->", "<!-- end of results -->"  # around README's block
# README's rows: (experiment, metric), like for like with the paper; augmentation is ours and has a row of its own.
HEADLINES = (
    ("semi-100", ERROR),
    ("semi-100-augmented", ERROR),
    ("semi-1000", ERROR),
    ("semi-all", ERROR),
    ("cluster-16", ERROR_BY_PAPER),
    ("cluster-16", ERROR),
    ("cluster-30", ERROR_BY_PAPER),
    ("cluster-30", ERROR),
    ("reduce-2d-100", ERROR),
    ("likelihood", "parzen_log_likelihood_10k"),
)


def write_results(folder: Path, readme: Path | None = None) -> None:
    """Write results.json and results.md to ``folder``, and ten rows of them between the marks of ``readme``.

    Raises:
        StorageError: README does not have each mark once.
    """
    as_json = json.dumps(results_as_data(), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "results.json").write_text(f"{as_json}\n", encoding="utf-8")
    (folder / "results.md").write_text(f"{tables()}\n", encoding="utf-8")
    if readme is not None:
        text = readme.read_text(encoding="utf-8")
        if (text.count(START), text.count(END)) != (1, 1):
            raise StorageError(f"{readme}: expected {START} and {END} once each around the results: add these lines")
        before, rest = text.split(START)
        readme.write_text(f"{before}{START}\n{headlines()}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def headlines() -> str:
    """The results that README shows as Markdown, like for like with the paper."""
    rows = []
    for name, metric in HEADLINES:
        experiment, values = find(name), values_of(name, metric)
        rule = " (named by the majority)" * (metric == ERROR and ERROR_BY_PAPER in experiment.chapter.columns)
        what = f"{experiment.title}: {METRICS[metric]}{rule}"
        rows.append((what, summary(values, 2), experiment.paper.get(metric, "-"), len(values) or "planned"))
    return _markdown(("what", "ours", "paper", "seeds"), rows)


def tables() -> str:
    """All results as Markdown: a table for each chapter, then those of the paper, of maps and of costs."""
    of_chapters = [table_of_chapter(chapter) for chapter in CHAPTERS]
    return "\n\n".join([*of_chapters, table_1(), table_2(), table_3(), table_of_maps(), table_of_generators()])


def table_of_chapter(chapter: Chapter) -> str:
    """The experiments of a chapter: means over seeds with 95 % intervals, and each prior against itself."""
    titles = [METRICS[metric] for metric in chapter.columns]
    rows, priors = [], {}
    for name, experiment in _of_chapter(chapter).items():
        seeds = len(shipped_seeds(name))
        cells = [summary(values_of(name, metric)) for metric in chapter.columns]
        minutes = f"{minutes_of(name):.1f}" if seeds else "-"
        paper = ", ".join(f"{METRICS[metric]} {value}" for metric, value in experiment.paper.items()) or "no number"
        title = f"{experiment.title} (`{name}`)"
        rows.append((title, experiment.figure, *cells, paper, seeds or "planned", minutes))
        if experiment.prior is not None and seeds:
            priors[repr(experiment.prior)] = experiment.prior
    for description, prior in priors.items():
        known = band(prior, chapter.compared_codes or 10_000)
        if known.keys() & set(chapter.columns):
            cells = [_range(*known[metric]) if metric in known else "-" for metric in chapter.columns]
            rows.append((f"*`{description}` against itself*", "", *cells, "", 5, ""))
    return _titled(chapter.title, _markdown(("experiment", "figure", *titles, "paper", "seeds", "minutes"), rows))


def table_1() -> str:
    """Table 1 of the AAE paper, its window of samples of the model here, and two controls, recorded."""
    rows = [
        (f"{model}, reported", few, f"10,000,000: {many}" if many else "-") for model, (few, many) in TABLE_1.items()
    ]
    windows: dict[str, list[str]] = {}
    for window in read_likelihoods():
        text = f"{window.log_likelihood:.1f} ± {window.standard_error:.1f}"
        many = window.samples > 10_000
        windows.setdefault(window.name, []).append(f"{window.samples:,}: {text}" if many else text)
    of_each = load_evidence("likelihood").log_likelihoods.double()
    for name, (few, *many) in windows.items():
        if name == "AAE":
            name, few = "**AAE, here** (more samples recorded)", f"{of_each.mean():.1f} ± {sem(of_each):.1f}"
        else:
            name = f"{name} (recorded)"
        rows.append((name, few, "; ".join(many) or "-"))
    return _titled(
        "AAE Table 1: log-likelihood of the test images in nats, by a Parzen window of samples",
        _markdown(("samples of", "10,000 samples", "more samples"), rows),
        f"± here: the standard error over the test images, of seed 0. {RECALLED}",
    )


def table_2() -> str:
    """Table 2 of the AAE paper, and below the same measured here: first without data augmentation, as in the paper."""
    rows = [(f"{model}, reported", *(value or "-" for value in reported)) for model, reported in TABLE_2.items()]
    models = {"classifier alone": "labels", "VAE (M2)": "m2", "AAE": "semi"}
    for where, ending in (("here", ""), ("here, augmented", "-augmented")):
        for model, start in models.items():
            names = [f"{start}-{count}{ending}" for count in ("100", "1000", "all")]
            rows.append((f"**{model}, {where}**", *(_with_seeds(name) for name in names)))
    return _titled(
        "AAE Table 2: test error in percent with 100, 1000 and all labels",
        _markdown(("model", "100 labels", "1000 labels", "all labels"), rows),
        RECALLED,
    )


def table_3() -> str:
    """Table 3 of the AAE paper, and below the same measured here and by two older methods, recorded.

    The paper names a cluster after the image that is most certain to be in it; the majority of its images is steadier.
    """
    rows = [(f"{model}, reported", clusters, reported, "-") for model, (clusters, reported) in TABLE_3.items()]
    for name in _of_chapter(CLUSTERING):
        if shipped_seeds(name):
            clusters = load_evidence(name, shipped_seeds(name)[0]).names.shape[1]
            cells = [_with_seeds(name, rule) for rule in (ERROR_BY_PAPER, ERROR)]
            rows.append((f"**{find(name).title}, here**", clusters, *cells))
    for name, metrics in recorded_metrics().items():
        if ERROR in metrics:
            method, _, count = name.removesuffix(" clusters").rpartition(", ")
            rows.append((f"{method} (recorded)", count, "-", f"{metrics[ERROR]:.2f}"))
    return _titled(
        "AAE Table 3: test error in percent without labels",
        _markdown(("model", "clusters", "named by the most certain image", "named by the majority"), rows),
        "That the paper names clusters by their most certain image is recalled, not checked; by which rule CatGAN's "
        "are named we do not know",
    )


def table_of_maps() -> str:
    """Maps of the test images in two dimensions: ours, and those of other methods, recorded."""
    metrics = ("neighbor_accuracy", "trustworthiness")
    rows = []
    for name in (*_of_chapter(REDUCTION), "autoencoder"):
        prior = find(name).prior  # none: the plain autoencoder's codes have two dimensions
        if shipped_seeds(name) and (prior is None or prior.dimensions == 2):
            cells = [summary(values_of(name, metric)) for metric in metrics]
            rows.append((f"**{find(name).title}**", *cells, "yes", "yes"))
    for name, measured in recorded_metrics().items():
        if "trustworthiness" in measured:
            new, decodes = {"PCA": ("yes", "yes"), "UMAP": ("yes", "roughly")}.get(name, ("no", "no"))
            rows.append((f"{name} (recorded)", *(f"{measured[metric]:.3f}" for metric in metrics), new, decodes))
    titles = (METRICS[metric] for metric in metrics)
    return _titled("The test images in the plane", _markdown(("map", *titles, "maps new images", "decodes"), rows))


def table_of_generators() -> str:
    """What the generators cost: parameters that are trained, and seconds for one pass over 60,000 images."""
    rows = []
    for name, experiment in _of_chapter(GENERATORS).items():
        if experiment.prior is not None and shipped_seeds(name):
            model = experiment.model(0)
            counts = [sum(parameter.numel() for parameter in part.parameters()) for part in (model, model.decoder)]
            title = f"{experiment.title} (`{name}`)"
            rows.append((title, *(f"{count:,}" for count in counts), f"{seconds_per_epoch(name):.0f}"))
    titles = ("model", "parameters", "of them the generator's", "seconds an epoch")
    return _titled("What the generators cost", _markdown(titles, rows))


def measures_of_generators(names: Collection[str]) -> str:
    """The measures of some generators, means over seeds; in the last line those of real digits.

    The FID of real digits is that of the training images, their sharpness that of the test images.
    """
    metrics = GENERATORS.columns
    rows = []
    for name in names:
        cells = [summary(values_of(name, metric)) for metric in metrics]
        rows.append((find(name).title, *cells, len(shipped_seeds(name))))
    real = {metric: float(values_of(DIGIT_CLASSIFIER.name, metric)[0]) for metric in ("fid", "rarest_digit")}
    real["sample_sharpness"] = float(test_set()["sharpness"].double().mean())
    rows.append(("*real digits*", *(f"{real[metric]:.3f}" if metric in real else "" for metric in metrics), ""))
    return _markdown(("model", *(METRICS[metric] for metric in metrics), "seeds"), rows)


def seconds_per_epoch(name: str) -> float:
    """Seconds that one pass over 60,000 images took, mean over an experiment's seeds, on the machine of their runs."""
    headers = [load_evidence(name, seed).header for seed in shipped_seeds(name)]
    images = find(name).recipe.batch_size
    return float(np.mean([60_000 * header["seconds"] / (header["steps"] * images) for header in headers]))


def _of_chapter(chapter: Chapter) -> dict[str, Experiment]:
    return {name: experiment for name, experiment in EXPERIMENTS.items() if experiment.chapter is chapter}


def _with_seeds(name: str, metric: str = ERROR) -> str:
    """A metric with its interval and number of seeds; "planned" without evidence, - without such an experiment."""
    if name not in EXPERIMENTS:
        return "-"
    values = values_of(name, metric)
    return f"{summary(values, 2)} ({len(values)} seed{'s' * (len(values) != 1)})" if len(values) else "planned"


def _range(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}"


def _markdown(titles: Collection[str], rows: Collection[Collection[object]]) -> str:
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in (titles, *rows)]
    return "\n".join([lines[0], "|---" * len(titles) + "|", *lines[1:]])


def _titled(title: str, table: str, note: str = "") -> str:
    return f"**{title}**\n\n{table}" + f"\n\n{note}" * bool(note)
