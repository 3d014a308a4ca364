"""Figures and results: every entry of the registries, and the numbers behind them."""

import json
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from scipy import stats

from aae_lib.data import load_mnist
from aae_lib.drawing import decoded_manifold
from aae_lib.experiments import (
    EXPERIMENTS,
    VAE_CURVE,
    examine,
    find,
    load_evidence,
    load_trained,
    measure,
    shipped_seeds,
)
from aae_lib.figures import FIGURES, count_inside, find_figure
from aae_lib.models import AdversarialAutoencoder
from aae_lib.priors import Gaussian
from aae_lib.results import METRICS, equal_reconstruction, interval, results_of, summary, table, values_of
from aae_lib.storage import StorageError

matplotlib.use("Agg")
ROOT = Path(__file__).parent.parent
SHIPPED = ("autoencoder", "aae-gaussian", "vae-gaussian")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_can_be_drawn_and_stands_in_its_notebook_and_in_figures(name):
    figure, integers = FIGURES[name].draw()
    assert integers and all(isinstance(value, int) for value in integers.values())
    pixels = np.asarray(figure.canvas.buffer_rgba()) if not figure.canvas.draw() else None
    assert pixels[..., :3].std() > 10, "an empty picture"
    matplotlib.pyplot.close(figure)
    notebook = (ROOT / "notebooks" / f"{FIGURES[name].notebook}.ipynb").read_text()
    assert f'FIGURES[\\"{name}\\"]' in notebook
    assert (ROOT / "figures" / f"{name}.png").stat().st_size > 10_000


def test_unknown_names_list_the_known_ones():
    with pytest.raises(KeyError, match="figure-2a"):
        find_figure("figure-99")
    with pytest.raises(KeyError, match="aae-gaussian"):
        find("aae-gausian")


def test_samples_of_the_gaussian_lie_inside_its_circles():
    torch.manual_seed(0)
    counts = list(count_inside(torch.randn(10_000, 2)).values())
    assert np.allclose(counts, [3935, 8647, 9889], atol=150)


def test_the_manifold_steps_evenly_through_the_percentiles():
    class Identity(AdversarialAutoencoder):
        def decode(self, codes):
            return codes

    codes = decoded_manifold(Identity(Gaussian(2, 3.0), hidden=(4,)), side=9)
    percentiles = stats.norm.cdf(codes.reshape(9, 9, 2) / 3)
    assert np.allclose(percentiles[0, :, 0], np.arange(1, 10) / 10, atol=1e-4), "z1 grows to the right"
    assert np.allclose(percentiles[:, 0, 1], np.arange(9, 0, -1) / 10, atol=1e-4), "z2 grows upwards"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_experiments_have_three_seeds_and_say_how_they_were_made(name):
    assert shipped_seeds(name)[:3] == [0, 1, 2]
    for seed in shipped_seeds(name):
        header = load_evidence(name, seed).header
        assert header["experiment"] == name and header["seed"] == seed
        assert header["steps"] == find(name).recipe.steps, "final numbers come from the last update of a whole run"
        assert header["recipe"] == repr(find(name).recipe), "the recipe has changed since this run"
        assert header["evaluated_on"] == "test" and header["trained_on"] == 60_000
        assert not header["revision"].endswith("+")
    assert load_trained(name).header["seed"] == 0


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_evidence_of_the_test_images(name):
    for seed in shipped_seeds(name):
        evidence = load_evidence(name, seed)
        assert evidence.codes.shape == (10_000, 2) and evidence.codes.dtype == torch.float16
        assert evidence.squared_errors.shape == (10_000,)
    assert shipped_seeds(name)


def test_different_seeds_give_different_codes():
    first, second = load_evidence("aae-gaussian", 0), load_evidence("aae-gaussian", 1)
    assert not torch.equal(first.codes, second.codes)


@pytest.mark.parametrize("name", SHIPPED)
def test_with_mnist_the_evidence_follows_from_the_shipped_weights(name):
    digits = load_mnist()
    if not digits.is_full:
        pytest.skip("needs all of MNIST (AAE_DATA)")
    stored, trained = load_evidence(name, 0), load_trained(name)
    found = examine(trained.model, digits.test, trained.header)
    assert torch.equal(found.labels, stored.labels)
    assert torch.allclose(found.codes.float(), stored.codes.float(), atol=0.02, rtol=0.01)
    assert torch.allclose(found.squared_errors, stored.squared_errors, atol=0.05, rtol=0.01)
    ours, theirs = measure(find(name), found), measure(find(name), stored)
    assert ours == pytest.approx(theirs, abs=2e-3)


def test_results_are_those_of_the_stored_file_and_of_the_readme():
    rows = json.loads((ROOT / "figures" / "results.json").read_text())
    stored = {(row["experiment"], row["seed"], row["metric"]): row["value"] for row in rows}
    found = {(row.experiment, row.seed, row.metric): row.value for name in EXPERIMENTS for row in results_of(name)}
    assert found.keys() == stored.keys()
    assert found == pytest.approx(stored, abs=1e-3)
    assert (ROOT / "figures" / "results.md").read_text().strip() == table().strip()
    assert table().strip() in (ROOT / "README.md").read_text(), "README's table: copy figures/results.md"


def test_intervals_are_student_s():
    values = np.array([1.0, 2.0, 4.0])
    low, high = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values))
    assert interval(values) == pytest.approx((high - low) / 2)
    assert summary(np.array([]), 2) == "-" and summary(np.array([1.234]), 2) == "1.23"


def test_the_adversarial_autoencoder_meets_its_bounds():
    plain = values_of("autoencoder", "reconstruction_error").mean()
    assert (values_of("aae-gaussian", "reconstruction_error") <= 1.15 * plain).all()
    assert set(METRICS) == {row.metric for row in results_of("aae-gaussian")}


def test_equal_reconstruction_reads_the_curve_between_its_points():
    ours, theirs = equal_reconstruction("reconstruction_error")
    assert ours == pytest.approx(theirs, abs=1e-6), "of the reconstruction error itself both are the same"
    errors = [values_of(name, "reconstruction_error").mean() for name in VAE_CURVE]
    assert errors == sorted(errors, reverse=True), "a smaller KL weight reconstructs better"


def test_weights_that_are_not_shipped_say_how_to_train_them(tmp_path):
    with pytest.raises(StorageError, match="python -m aae_lib train vae-gaussian-0.5"):
        load_trained("vae-gaussian-0.5")
