"""The results: how rows become intervals, tables and files, and the bounds that the shipped results keep."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from aae_lib import experiments
from aae_lib.errors import StorageError
from aae_lib.experiments import AUGMENTED, CHAPTERS, EXPERIMENTS, GENERATORS, VAE_CURVE, VAE_MIXTURE_CURVE, find
from aae_lib.metrics import null_band
from aae_lib.paper import TABLE_1, TABLE_2, TABLE_3
from aae_lib.priors import Gaussian, GaussianMixture
from aae_lib.report import results, tables
from aae_lib.report.baselines import Likelihood
from aae_lib.report.results import METRICS, band, values_of

ROOT = Path(__file__).parent.parent


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def rows_of(table):
    """The cells of a Markdown table's lines, without its titles and its rule."""
    return [cells(line) for line in table.splitlines() if line.startswith("|")][2:]


# Numbers that are known beforehand


def fake_value(name, seed, metric):
    """A number by which one sees where a cell belongs: experiment, metric, and a spread of one over three seeds."""
    return 100 * list(EXPERIMENTS).index(name) + list(METRICS).index(metric) + (seed - 1)


def fake_band(prior, count=10_000):
    low = len(type(prior).__name__) + count / 1000
    return {"prior_coverage": (low, low + 0.5), "sliced_wasserstein": (low + 1, low + 1.5)}


PLANNED = {"vae-mixture-0.25", "age-cifar10-official", "svhn-semi-1000", "svhn-labels-1000", "svhn-supervised"}
HALF = 4.302653 / 3**0.5  # Student's 97.5 % quantile times the standard error of values one apart


@pytest.fixture
def fake(monkeypatch):
    """Three seeds of every experiment but two, which are planned; all have all metrics but own_class."""

    def of(name):
        metrics = [metric for metric in METRICS if metric != "own_class" and name not in PLANNED]
        return [results.Result(name, s, m, fake_value(name, s, m), 2.0 * s, "cpu") for s in range(3) for m in metrics]

    monkeypatch.setattr(results, "results_of", of)
    monkeypatch.setattr(experiments, "shipped_seeds", lambda name: [] if name in PLANNED else [0, 1, 2])
    monkeypatch.setattr(results, "band", fake_band)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.notebook)
def test_a_chapter_s_table_has_its_experiments_then_the_bands_of_their_priors(chapter, fake):
    table = tables.table_of_chapter(chapter)
    assert table.startswith(f"**{chapter.title}**\n\n| experiment | figure | ")
    *rows, = rows_of(table)
    names = [name for name, experiment in EXPERIMENTS.items() if experiment.chapter is chapter]
    for name, (title, figure, *values, paper, seeds, minutes) in zip(names, rows, strict=False):
        experiment = find(name)
        assert (title, figure) == (f"{experiment.title} (`{name}`)", experiment.figure)
        known = {metric: f"{fake_value(name, 1, metric):.3f} ± {HALF:.3f}" for metric in chapter.columns}
        known = {} if name in PLANNED else known | {"own_class": "-"}
        assert values == [known.get(metric, "-") for metric in chapter.columns]
        assert (seeds, minutes) == (("planned", "-") if name in PLANNED else ("3", "2.0"))
        assert all(str(number) in paper for number in experiment.paper.values()) and (experiment.paper or paper)
    priors = {repr(find(name).prior): find(name).prior for name in names if name not in PLANNED and find(name).prior}
    bands = {f"*`{text}` against itself*": fake_band(prior, chapter.compared_codes or 10_000)
             for text, prior in priors.items() if {"prior_coverage", "sliced_wasserstein"} & set(chapter.columns)}
    expected = [[text, "", *("{:.3f} to {:.3f}".format(*known[m]) if m in known else "-" for m in chapter.columns)]
                for text, known in bands.items()]  # fmt: skip
    assert [row[:-3] for row in rows[len(names) :]] == expected


def test_table_1_has_the_papers_numbers_and_ours_below(monkeypatch):
    record = [Likelihood("AAE", 10_000, 0.2, 1.0, 2.0), Likelihood("AAE", 100_000, 0.18, 333.33, 1.25),
              Likelihood("AAE", 1_000_000, 0.16, 366.66, 1.125), Likelihood("images", 10_000, 0.2, 254.32, 3.21)]
    of_each = torch.tensor([310.0, 330.0, 300.0, 340.0])
    evidence = replace(experiments.load_evidence("aae-gaussian"), tensors={"log_likelihoods": of_each})
    monkeypatch.setattr(tables, "read_likelihoods", lambda: record)
    monkeypatch.setattr(experiments, "load_evidence", lambda name: evidence)
    *reported, ours, control = rows_of(tables.table_1())
    assert [row[:2] for row in reported] == [[f"{model}, reported", str(few)] for model, (few, _) in TABLE_1.items()]
    assert [row[2] for row in reported] == [f"10,000,000: {many}" if many else "-" for _, many in TABLE_1.values()]
    assert ours[1:] == [f"320.0 ± {stats.sem(of_each):.1f}", "100,000: 333.3 ± 1.2; 1,000,000: 366.7 ± 1.1"]
    assert control == ["images (recorded)", "254.3 ± 3.2", "-"]


def test_table_2_has_the_papers_numbers_with_daggers_and_ours_below_with_their_seeds(monkeypatch):
    ours = {"labels-100": [20.0, 21.0, 23.0], "semi-1000": [1.625], "labels-1000-augmented": [4.0, 4.0]}
    monkeypatch.setattr(tables, "values_of", lambda name, metric: np.array(ours.get(name, [])))
    rows = rows_of(tables.table_2())
    expected = [[f"{model}, reported", *(str(value or "-") for value in row)] for model, row in TABLE_2.items()]
    assert rows[: len(expected)] == expected
    half = stats.t.ppf(0.975, 2) * np.std([20, 21, 23], ddof=1) / 3**0.5
    found = {first: others for first, *others in rows[len(expected) :]}
    assert found["**classifier alone, here**"][0] == f"21.33 ± {half:.2f} (3 seeds)"
    assert found["**AAE, here**"] == ["planned", "1.62 (1 seed)", "planned"]
    assert found["**classifier alone, here, augmented**"][1] == "4.00 ± 0.00 (2 seeds)"
    recalled = sum(number is not None and number.endswith("†") for row in TABLE_2.values() for number in row)
    assert tables.table_2().count("†") == recalled + 1, "and the line that explains it"


PARTS_OF_TABLE_3 = slice(0, 3), slice(3, 5), slice(-2, None)


def test_table_3_and_the_maps_have_ours_and_the_recorded_ones(fake, monkeypatch):
    errors = {"k-means, pixels, 16 clusters": [31.0], "k-means, 10-D codes, 16 clusters": [9.0, 11.0]}
    monkeypatch.setattr(tables, "recorded_errors", lambda: {name: np.array(each) for name, each in errors.items()})
    recorded = {"PCA": {"neighbor_accuracy": 0.4, "trustworthiness": 0.7}}
    monkeypatch.setattr(tables, "recorded_metrics", lambda: recorded)
    reported, (sixteen, thirty), (other, seeds) = (rows_of(tables.table_3())[part] for part in PARTS_OF_TABLE_3)
    assert [row[1:3] for row in reported] == [[str(count), str(number)] for count, number in TABLE_3.values()]
    of_rules = [fake_value("cluster-16", 1, rule) for rule in (tables.ERROR_BY_PAPER, tables.ERROR)]
    assert sixteen[1:] == ["16", *(f"{value:.2f} ± {HALF:.2f} (3 seeds)" for value in of_rules)] and thirty[1] == "30"
    assert other == ["k-means, pixels (recorded)", "16", "-", "31.00"]
    assert seeds[0] == "k-means, 10-D codes (recorded)" and seeds[3].startswith("10.00 ± ") and "(2 seeds)" in seeds[3]
    *ours, other = rows_of(tables.table_of_maps())
    plane = ("reduce-2d-1000", "reduce-2d-100", "reduce-2d-100-augmented", "reduce-2d-unsupervised",
             "reduce-2d-unsupervised-augmented", "autoencoder")  # fmt: skip
    assert [row[0].strip("*") for row in ours] == [find(name).title for name in plane]
    assert other == ["PCA (recorded)", "0.400", "0.700", "yes", "yes"]


def test_the_costs_of_generators_are_parameters_and_seconds_for_60_000_images(monkeypatch):
    evidence = replace(experiments.load_evidence("aae-gaussian"), header={"steps": 5000, "seconds": 80.0})
    monkeypatch.setattr(experiments, "load_evidence", lambda *_: evidence)
    assert tables.seconds_per_epoch("dcgan") == pytest.approx(60_000 / 64 * 80 / 5000)
    shipped = [name for name in EXPERIMENTS if find(name).chapter is GENERATORS and experiments.shipped_seeds(name)]
    rows = rows_of(tables.table_of_generators())
    assert [row[0].rpartition("`")[0].rpartition("`")[2] for row in rows] == shipped[1:], "but the digit classifier"
    # Kernels of 4 x 4 on 10, 128, 64 and 32 channels, the last bias, two numbers a channel of batch-norm.
    decoder = 16 * (10 * 128 + 128 * 64 + 64 * 32 + 32) + 1 + 2 * (128 + 64 + 32)
    assert rows[-1][2:] == [f"{decoder:,}", "15"]


def test_files_of_results_and_the_block_of_readme_are_written(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "tables", lambda: "all tables")
    monkeypatch.setattr(results, "BANDS", tmp_path / "bands.safetensors.gz")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{tables.START}\nold\n{tables.END}\nafter\n")
    tables.write_results(tmp_path, readme)
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert found["format"] == 2 and found["metrics"] == METRICS and found["experiments"].keys() == EXPERIMENTS.keys()
    semi = found["experiments"]["semi-100"]
    assert semi["paper"] == {"test_error_percent": "1.90 ± 0.10"} and (semi["seeds"], semi["minutes"]) == (3, 2.0)
    assert semi["ours"]["test_error_percent"] == f"{fake_value('semi-100', 1, 'test_error_percent'):.3f} ± {HALF:.3f}"
    assert found["experiments"]["age-cifar10-official"]["minutes"] is None
    assert len(found["results"]) == 3 * (len(METRICS) - 1) * (len(EXPERIMENTS) - len(PLANNED))
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == "all tables\n"
    before, block, after = readme.read_text(encoding="utf-8").partition(tables.headlines())
    assert before == f"before\n{tables.START}\n" and block and after == f"\n{tables.END}\nafter\n"
    assert len(rows_of(block)) == 10
    readme.write_text("no marks")
    with pytest.raises(StorageError):
        tables.write_results(tmp_path, readme)


def test_intervals_are_student_s():
    values = np.array([1.0, 2.0, 4.0])
    _, high = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values))
    summaries = [results.summary(some, 2) for some in (values[:0], values[:1], values)]
    assert summaries == ["-", "1.00", f"2.33 ± {high - values.mean():.2f}"]


def test_bands_are_computed_once_and_recorded(monkeypatch, tmp_path):
    computed = []
    monkeypatch.setattr(results, "null_band", lambda *key: computed.append(key) or {"prior_coverage": (0.1, 0.2)})
    monkeypatch.setattr(results, "BANDS", tmp_path / "bands.safetensors.gz")
    asked = [(Gaussian(2, 7.25), 10_000), (Gaussian(2, 7.5), 10_000), (Gaussian(2, 7.5), 1_000)]
    try:
        for _ in range(2):
            results._known_bands.cache_clear()
            for prior, count in asked * 2:
                low, high = band(prior, count)["prior_coverage"]
                assert (low, high) == (0.1, 0.2)
            results.record_bands()
        assert computed == asked
    finally:
        results._known_bands.cache_clear()


ERRORS = {"far": [20, 22], "near": [14, 16], "middle": [18], "model": [16, 17]}  # means 21, 15, 18; the model's 16.5
COVERAGES = {"far": [0.9, 1.1], "near": [0.1, 0.3], "middle": [0.8], "model": [7]}  # means 1, 0.2, 0.8


def test_equal_reconstruction_is_read_between_the_neighbors_and_not_beyond_the_curve(monkeypatch):
    errors, curve = dict(ERRORS), ("far", "near", "middle")
    of = {"reconstruction_error": errors, "prior_coverage": COVERAGES}
    monkeypatch.setattr(results, "values_of", lambda name, metric: np.array(of[metric][name], dtype=float))
    assert results.equal_reconstruction("prior_coverage", "model", curve) == pytest.approx(0.5)  # half of 0.2 and 0.8
    assert results.equal_reconstruction("prior_coverage", "model", ("far", "near")) == pytest.approx(0.4)
    for error, coverage in ((20, 0.8 + 0.2 * 2 / 3), (21, 1), (15, 0.2)):
        errors["model"] = [error]
        assert results.equal_reconstruction("prior_coverage", "model", curve) == pytest.approx(coverage)
    for beyond in (14.99, 21.01):
        errors["model"] = [beyond]
        with pytest.raises(ValueError, match=str(beyond)):
            results.equal_reconstruction("prior_coverage", "model", curve)


def test_claims_compare_the_two_models_as_they_are_and_at_equal_reconstruction(monkeypatch):
    """Along each curve the error falls from 20 by 0.1 a point; the AAE's lies half way between the first two."""

    def values(name, metric):
        places = [list(curve).index(name) for curve in (VAE_CURVE, VAE_MIXTURE_CURVE) if name in curve]
        if metric == "reconstruction_error":
            return np.array([20 - (places or [0.5])[0] / 10])
        return np.array([list(METRICS).index(metric) + (places[0] / 5 if places else 0.75)])

    monkeypatch.setattr(results, "values_of", values)
    monkeypatch.setattr(results, "band", fake_band)
    monkeypatch.setattr(tables, "values_of", values)
    sharpness = experiments.test_set()["sharpness"].double().mean()
    for row, (claim, metric, model, _) in zip(rows_of(tables.claims()), tables.CLAIMS, strict=True):
        known = fake_band(find(model).prior)
        perfect = "{:.3f} to {:.3f}".format(*known[metric]) if metric in known else "-"
        perfect = f"{sharpness:.3f}" if metric == "sample_sharpness" else perfect
        numbers = [f"{list(METRICS).index(metric) + more:.3f}" for more in (0.75, 0, 0.1)]
        assert row == [claim, METRICS[metric], *numbers, perfect]


# What ships


def test_the_stored_files_and_readme_say_what_the_evidence_says():
    """An experiment that is only planned may be missing there."""
    stored = json.loads((ROOT / "figures" / "results.json").read_text(encoding="utf-8"))
    found = results.results_as_data()
    for ours, theirs in zip(found["results"], stored["results"], strict=True):
        assert ours == {**theirs, "value": pytest.approx(theirs["value"], abs=1e-3)}
    for name, entry in found["experiments"].items():
        assert not entry["seeds"] or {**entry, "ours": 0} == {**stored["experiments"][name], "ours": 0}
    table = (ROOT / "figures" / "results.md").read_text(encoding="utf-8")
    ours, theirs = ([line for line in text.splitlines() if "planned" not in line] for text in (tables.tables(), table))
    assert ours == theirs
    assert tables.headlines() in (ROOT / "README.md").read_text(encoding="utf-8"), "reproduce or ship writes it there"
    for metric, known in null_band(GaussianMixture()).items():
        assert band(GaussianMixture())[metric] == pytest.approx(known, abs=1e-3)


BOUNDS = {  # (lowest, highest) of every seed
    "inside_prior": {"aae-mixture": (0.95, 1)},
    "smallest_class": {"aae-mixture": (0.05, 0.1)},
    "own_class": {"aae-mixture-labels": (0.97, 1), "aae-swissroll-labels": (0.95, 1)},
    "test_error_percent": {
        "semi-100": (1.8, 2.4), "semi-1000": (1.5, 1.75), "semi-all": (0.8, 0.9), "semi-100-augmented": (1.4, 1.65),
        "cluster-16": (3, 16.5), "cluster-30": (3, 9.5), "cluster-16-augmented": (3, 7),
        "cluster-30-augmented": (2.5, 5),
        "cluster-10-augmented": (2.5, 5), "reduce-2d-1000": (3, 4.2), "reduce-2d-unsupervised-augmented": (3, 6.8),
        "digit-classifier": (0.4, 1.0),
    },
    "rarest_digit": {"age": (0.03, 0.1)},
    "parzen_log_likelihood_10k": {"likelihood": (340, 345)},
}  # fmt: skip


@pytest.mark.parametrize("metric", BOUNDS)
def test_results_keep_their_bounds(metric):
    for name, (low, high) in BOUNDS[metric].items():
        values = values_of(name, metric)
        assert len(values) and (values >= low).all() and (values <= high).all(), name


def test_results_stand_as_the_notebooks_say():
    def mean(name, metric="test_error_percent"):
        return values_of(name, metric).mean()

    plain = mean("autoencoder", "reconstruction_error")
    for name, curve in (("aae-gaussian", VAE_CURVE), ("aae-mixture", VAE_MIXTURE_CURVE)):
        assert (values_of(name, "reconstruction_error") <= 1.15 * plain).all()
        errors = [mean(each, "reconstruction_error") for each in curve]
        assert errors == sorted(errors, reverse=True), "a smaller KL weight reconstructs better"
        assert errors[-1] <= mean(name, "reconstruction_error") <= errors[0]
    assert values_of("aae-mixture", "sliced_wasserstein").max() <= 4 * band(GaussianMixture())["sliced_wasserstein"][1]
    for ending in ("", AUGMENTED):
        semi = [mean(f"semi-{count}{ending}") for count in (100, 1000, "all")]
        assert semi == sorted(semi, reverse=True) and semi[0] < 0.5 * mean(f"labels-100{ending}")
        assert all(mean(f"m2-{count}{ending}") < mean(f"labels-{count}{ending}") for count in (100, 1000))
    both = [name for name in EXPERIMENTS if len(values_of(name + AUGMENTED, tables.ERROR))]
    assert all(mean(name + AUGMENTED) < mean(name) for name in both), "augmentation helps"
    styles = [mean(name, "reconstruction_error") for name in ("supervised", "supervised-8d", "supervised-2d")]
    assert styles == sorted(styles) and styles[-1] < mean("aae-gaussian", "reconstruction_error")
    assert mean("digit-classifier", "fid") < mean("ali", "fid") < mean("age", "fid") < mean("vae-conv", "fid")
