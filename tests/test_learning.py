"""A few hundred steps on real digits: models learn what labels tell. Notebooks check what else they learn."""

import pytest
import torch
from short_runs import run
from support import SYSTEMS, labeled_as

from aae_lib.data import DataSet, Images, balanced_subset
from aae_lib.models import Model
from aae_lib.priors import Gaussian
from aae_lib.seeding import seeded
from aae_lib.training import SGD, Adam, Recipe

GAME = {"reconstruction": SGD(0.01, 0.9), "discriminator": SGD(0.1, 0.1), "generator": SGD(0.1, 0.1)}
CLASSIFICATION = {"classification": SGD(0.1, 0.9)}
CODES_OF_FIVE = {"prior": Gaussian(5), "hidden": (64,)}


def trained(name: str, sets: tuple[Images, ...], recipe: Recipe, prior: Gaussian, **settings: object) -> Model:
    """With the initial weights of the paper."""
    with seeded(0):
        model = SYSTEMS[name].build((1, 28, 28), 10, prior, **settings)
    run(model, sets, recipe)
    return model


def a_hundred(digits: DataSet) -> Images:
    return digits.train[balanced_subset(digits.train.labels, 100, seed=0)]


def error_percent(model: Model, test: Images) -> float:
    with torch.no_grad():
        return 100 * (model.classify(test.images).argmax(1) != test.labels).double().mean().item()


@pytest.mark.parametrize(
    ("name", "recipe", "error"),
    [
        ("semi-supervised", Recipe(GAME | CLASSIFICATION, 250), 38),
        ("M2", Recipe({"evidence_lower_bound": Adam(0.003)}, 60), 35),
        ("classifier", Recipe(CLASSIFICATION, 150), 32),
    ],
)  # fmt: skip
def test_a_hundred_labels_name_held_out_digits(name: str, recipe: Recipe, error: float, digits: DataSet) -> None:
    sets = (digits.train.without_labels(), a_hundred(digits))
    settings = {"classification_weight": 100.0} if name == "M2" else {}
    model = trained(name, sets[1:] if name == "classifier" else sets, recipe, **CODES_OF_FIVE, **settings)
    assert error_percent(model, digits.test) < error  # 90 by chance
    if name == "semi-supervised":
        with torch.no_grad():
            label, style = model.prior.split(model.encode(digits.test.images))
        assert label.amax(1).mean() > 0.75 and (label.mean(0) - 0.1).abs().max() < 0.09  # definite, and all in use
        assert 0.3 < style.std(0).mean() < 5  # it starts near 0, and the samples have 1


def test_the_supervised_decoder_comes_to_draw_the_digit_it_is_told(digits: DataSet) -> None:
    recipe = Recipe({**GAME, "reconstruction": Adam(0.003)}, 300)
    model = trained("supervised", (digits.train,), recipe, Gaussian(3), hidden=(100,))
    test = digits.test

    @torch.no_grad()
    def error(images: Images) -> float:
        return 0.5 * (model.decode(model.code_of(images)) - images.images).square().sum(1).mean().item()

    others = [error(labeled_as(test, (test.labels + shift) % 10)) for shift in range(1, 10)]
    assert error(test) < 27 and min(others) > 1.1 * error(test)
    # Of ten images with the same style, the one of a label is on average nearest to the mean of that digit.
    means = torch.stack([digits.train.images[digits.train.labels == digit].mean(0) for digit in range(10)])
    with torch.no_grad():
        styles = model.prior.style.sample(100).repeat_interleave(10, 0)
        drawn = model.decode(torch.cat([torch.eye(10).repeat(100, 1), styles], 1))
    nearest = torch.cdist(drawn, means).argmin(1)
    assert (nearest == torch.arange(1000) % 10).double().mean() > 0.6
