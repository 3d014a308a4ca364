"""The results as Markdown tables, and the files that hold them: results.json, results.md and a block of README."""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np

from aae_lib import experiments
from aae_lib.errors import StorageError
from aae_lib.experiments import EXPERIMENTS, VAE_CURVE, VAE_MIXTURE_CURVE, Chapter, Experiment, find
from aae_lib.paper import TABLE_1, TABLE_2, TABLE_3
from aae_lib.priors import Prior
from aae_lib.report import results
from aae_lib.report.baselines import read_likelihoods, recorded_errors, recorded_metrics, standard_error
from aae_lib.report.results import METRICS, summary, values_of

ERROR, ERROR_BY_PAPER = "test_error_percent", "test_error_percent_most_confident"
RECALLED = "† recalled, not checked against the paper"
START, END = "<!-- results -->", "<!-- end of results -->"  # around README's block
# README's rows: (experiment, metric), like for like with the paper; augmentation is ours and has a row of its own.
HEADLINES = (
    ("semi-100", ERROR), ("semi-100-augmented", ERROR), ("semi-all", ERROR),
    ("cluster-16", ERROR_BY_PAPER), ("cluster-16", ERROR), ("cluster-30", ERROR_BY_PAPER),
    ("cluster-16-augmented", ERROR_BY_PAPER),
    ("reduce-2d-100", ERROR), ("reduce-2d-100-augmented", ERROR), ("likelihood", "parzen_log_likelihood_10k"),
)  # fmt: skip
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


def write_results(folder: Path, readme: Path | None = None) -> None:
    """Write results.json and results.md to ``folder``, and ten rows of them between the marks of ``readme``.

    Bands that were not recorded yet are recorded, too.

    Raises:
        StorageError: README does not have each mark once.
    """
    as_json = json.dumps(results.results_as_data(), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "results.json").write_text(f"{as_json}\n", encoding="utf-8")
    (folder / "results.md").write_text(f"{tables()}\n", encoding="utf-8")
    results.record_bands()
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
    of_chapters = [table_of_chapter(chapter) for chapter in experiments.CHAPTERS]
    return "\n\n".join([*of_chapters, table_1(), table_2(), table_3(), table_of_maps(), table_of_generators()])


def table_of_chapter(chapter: Chapter) -> str:
    """The experiments of a chapter: means over seeds with 95 % intervals, and each prior against itself."""
    rows, priors = [], {}
    for name, experiment in _of_chapter(chapter).items():
        seeds = _seeds(name)
        minutes = f"{results.minutes_of(name):.1f}" if seeds else "-"
        paper = ", ".join(f"{METRICS[metric]} {value}" for metric, value in experiment.paper.items()) or "no number"
        title = f"{experiment.title} (`{name}`)"
        rows.append((title, experiment.figure, *_means(name, chapter.columns), paper, seeds or "planned", minutes))
        if experiment.prior is not None and seeds:
            priors[repr(experiment.prior)] = experiment.prior
    for description, prior in priors.items():
        cells = [_band(prior, metric, chapter.compared_codes or 10_000) for metric in chapter.columns]
        if set(cells) != {"-"}:
            rows.append((f"*`{description}` against itself*", "", *cells, "", 5, ""))
    titles = ("experiment", "figure", *map(METRICS.get, chapter.columns), "paper", "seeds", "minutes")
    return _titled(chapter.title, _markdown(titles, rows))


def table_1() -> str:
    """Table 1 of the AAE paper, its window of samples of the model here, and two controls, recorded."""
    rows = [(f"{model}, reported", few, f"10,000,000: {many}" if many else "-")
            for model, (few, many) in TABLE_1.items()]  # fmt: skip
    of_each = experiments.load_evidence("likelihood").log_likelihoods.double()
    windows = {"AAE": [f"{of_each.mean():.1f} ± {standard_error(of_each):.1f}"]}
    for window in read_likelihoods():
        text = f"{window.log_likelihood:.1f} ± {window.standard_error:.1f}"
        if window.samples > 10_000:
            windows[window.name].append(f"{window.samples:,}: {text}")
        else:
            windows.setdefault(window.name, [text])
    for name, (few, *many) in windows.items():
        title = "**AAE, here** (more samples recorded)" if name == "AAE" else f"{name} (recorded)"
        rows.append((title, few, "; ".join(many) or "-"))
    return _titled(
        "AAE Table 1: log-likelihood of the test images in nats, by a Parzen window of samples",
        _markdown(("samples of", "10,000 samples", "more samples"), rows),
        f"± here: the standard error over the test images, of seed 0. {RECALLED}",
    )


def table_2() -> str:
    """Table 2 of the AAE paper, and below the same measured here: first without data augmentation, as in the paper."""
    rows = [(f"{model}, reported", *(value or "-" for value in reported)) for model, reported in TABLE_2.items()]
    models = {"classifier alone": "labels", "VAE (M2)": "m2", "VAE (M1 + M2)": "m1-m2", "AAE": "semi"}
    for where, ending in (("here", ""), ("here, augmented", "-augmented")):
        for model, start in models.items():
            names = [f"{start}-{count}{ending}" for count in ("100", "1000", "all")]
            if names[0] in EXPERIMENTS:
                rows.append((f"**{model}, {where}**", *(_with_seeds(name, ERROR) for name in names)))
    table = _markdown(("model", "100 labels", "1000 labels", "all labels"), rows)
    return _titled("AAE Table 2: test error in percent with 100, 1000 and all labels", table, RECALLED)


def table_3() -> str:
    """Table 3 of the AAE paper, and below the same measured here and by two older methods, recorded.

    The paper names a cluster after the image that is most certain to be in it; the majority of its images is steadier.
    """
    rows = [(f"{model}, reported", clusters, reported, "-") for model, (clusters, reported) in TABLE_3.items()]
    for name, experiment in _of_chapter(experiments.CLUSTERING).items():
        if _seeds(name):
            clusters = experiment.settings["clusters"]
            cells = [_with_seeds(name, rule) for rule in (ERROR_BY_PAPER, ERROR)]
            rows.append((f"**{experiment.title}, here**", clusters, *cells))
    for name, errors in recorded_errors().items():
        method, _, count = name.removesuffix(" clusters").rpartition(", ")
        seeds = f" ({len(errors)} seeds)" * (len(errors) > 1)
        rows.append((f"{method} (recorded)", count, "-", f"{summary(errors, 2)}{seeds}"))
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
    for name in (*_of_chapter(experiments.REDUCTION), "autoencoder"):
        prior = find(name).prior  # none: the plain autoencoder's codes have two dimensions
        if _seeds(name) and (prior is None or prior.dimensions == 2):
            rows.append((f"**{find(name).title}**", *_means(name, metrics), "yes", "yes"))
    for name, measured in recorded_metrics().items():
        if "trustworthiness" in measured:
            new, decodes = {"PCA": ("yes", "yes"), "UMAP": ("yes", "roughly")}.get(name, ("no", "no"))
            rows.append((f"{name} (recorded)", *(f"{measured[metric]:.3f}" for metric in metrics), new, decodes))
    titles = ("map", *map(METRICS.get, metrics), "maps new images", "decodes")
    return _titled("The test images in the plane", _markdown(titles, rows))


def table_of_generators() -> str:
    """What the generators cost: parameters that are trained, and seconds for one pass over 60,000 images."""
    rows = []
    for name, experiment in _of_chapter(experiments.GENERATORS).items():
        if experiment.prior is not None and _seeds(name):
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
    metrics = experiments.GENERATORS.columns
    rows = [(find(name).title, *_means(name, metrics), _seeds(name)) for name in names]
    real = {metric: values_of("digit-classifier", metric)[0] for metric in ("fid", "rarest_digit")}
    real["sample_sharpness"] = experiments.test_set()["sharpness"].double().mean()
    rows.append(("*real digits*", *(f"{real[metric]:.3f}" if metric in real else "" for metric in metrics), ""))
    return _markdown(("model", *map(METRICS.get, metrics), "seeds"), rows)


def seconds_per_epoch(name: str) -> float:
    """Seconds that one pass over 60,000 images took, mean over an experiment's seeds, on the machine of their runs."""
    headers = [experiments.load_evidence(name, seed).header for seed in experiments.shipped_seeds(name)]
    images = find(name).recipe.batch_size
    return float(np.mean([60_000 * header["seconds"] / (header["steps"] * images) for header in headers]))


def claims() -> str:
    """Claims about Figure 2 as a Markdown table: the AAE, the VAE as it is, and at equal reconstruction.

    Means over seeds with 95 % intervals. The last column is what a perfect match would give: the prior against itself,
    or, for sharpness, the test images.
    """
    rows = []
    for claim, metric, model, curve in CLAIMS:
        perfect = _band(find(model).prior, metric)
        if metric == "sample_sharpness":
            perfect = f"{experiments.test_set()['sharpness'].double().mean():.3f}"
        ours, theirs = (summary(values_of(name, metric)) for name in (model, next(iter(curve))))
        equal = f"{results.equal_reconstruction(metric, model, curve):.3f}"
        rows.append((claim, METRICS[metric], ours, theirs, equal, perfect))
    titles = ("the claim", "measure", "AAE", "VAE, KL weight 1", "VAE at the AAE's reconstruction error", "perfect")
    return _markdown(titles, rows)


def _of_chapter(chapter: Chapter) -> dict[str, Experiment]:
    return {name: experiment for name, experiment in EXPERIMENTS.items() if experiment.chapter is chapter}


def _seeds(name: str) -> int:
    return len(experiments.shipped_seeds(name))


def _means(name: str, metrics: Collection[str]) -> list[str]:
    return [summary(values_of(name, metric)) for metric in metrics]


def _with_seeds(name: str, metric: str) -> str:
    """A metric with its interval and number of seeds; "planned" without evidence."""
    values = values_of(name, metric)
    return f"{summary(values, 2)} ({len(values)} seed{'s' * (len(values) != 1)})" if len(values) else "planned"


def _band(prior: Prior, metric: str, count: int = 10_000) -> str:
    """A metric of the prior against itself, from the lowest to the highest; - if the prior has none."""
    known = results.band(prior, count)
    return "{:.3f} to {:.3f}".format(*known[metric]) if metric in known else "-"


def _markdown(titles: Collection[str], rows: Collection[Collection[object]]) -> str:
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in (titles, *rows)]
    return "\n".join([lines[0], "|---" * len(titles) + "|", *lines[1:]])


def _titled(title: str, *parts: str) -> str:
    return "\n\n".join([f"**{title}**", *parts])
