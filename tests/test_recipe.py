"""Recipes: schedules of rates, noise and weights by the clock, and recipes as plain data."""

import json
import math
from dataclasses import replace

import pytest
import torch
from short_runs import Updates, Weighted, reports_of, run, weights
from torch import nn

from aae_lib.data import Images
from aae_lib.errors import TrainingError
from aae_lib.models import Autoencoder, Model
from aae_lib.networks import Dropout, GaussianNoise, RandomAffine
from aae_lib.training import SGD, Adam, Constant, Cosine, Drops, Recipe, Rise, Schedule, WarmUp

# Schedules


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (Constant(), {0: 1, 1e6: 1}),
        (
            Cosine(100, 300, 0.01),
            {0: 1, 100: 1, 150: 0.01 + 0.99 * (1 + math.sqrt(0.5)) / 2, 200: 0.505, 300: 0.01, 1e6: 0.01},
        ),
        (Drops(at=(10, 20), factor=0.1), {0: 1, 9.99: 1, 10: 0.1, 19: 0.1, 20: 0.01}),
        (Rise(0.2, 100, 300), {0: 0.2, 100: 0.2, 101: 0.204, 150: 0.4, 200: 0.6, 299: 0.996, 300: 1, 1e6: 1}),
        (WarmUp(40, Constant()), {0: 0, 10: 0.25, 30: 0.75, 40: 1, 1e6: 1}),
        (WarmUp(40, Drops((20, 50), 0.5)), {10: 0.25, 30: 0.375, 40: 0.5, 50: 0.25}),  # its times pass meanwhile
        (WarmUp(10, Cosine(100, 200, 0.0)), {5: 0.5, 10: 1, 150: 0.5, 200: 0}),
    ],
)
def test_schedules(schedule: Schedule, values: dict[float, float]) -> None:
    assert {clock: schedule(clock) for clock in values} == pytest.approx(values)


@pytest.mark.parametrize("make", [lambda: WarmUp(0, Constant()), lambda: Cosine(5, 5), lambda: Rise(0.1, 7, 3)])
def test_a_schedule_that_ends_before_it_starts_is_refused(make) -> None:
    with pytest.raises(TrainingError, match="ends at"):
        make()


# Rates


def test_each_update_has_its_own_rate_and_can_have_its_own_schedule(images, make_model) -> None:
    optimizers = {"reconstruction": SGD(0.001), "discriminator": SGD(0.02), "generator": SGD(0.0)}
    stop = Drops(at=(3,), factor=0.0)
    model, states, reports = make_model(), [], []
    schedules = {"reconstruction": Constant(), "discriminator": stop, "generator": Cosine(1, 5)}
    for report in reports_of(model, images, Recipe(optimizers, 6, schedules), report_every=1):
        states.append(weights(model))
        reports.append(report)
    for before, after, report, step in zip(states[:-1], states[1:], reports[1:], range(1, 6), strict=True):
        moved = {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])}
        assert moved == {"encoder", "decoder"} | ({"discriminator"} if step < 3 else set())
        assert report.learning_rates == {"reconstruction": 0.001, "discriminator": 0.02 * (step < 2), "generator": 0.0}


# Noise


class Disturbed(Autoencoder):
    """With three classes of noise in front of its encoder; it writes down how strong they are in each pass."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__(nn.Sequential(RandomAffine(2.0), GaussianNoise(0.3), Dropout(0.4), *encoder), decoder)
        self.strengths: list[list[float]] = [[], [], []]
        for layer, found in zip(self.encoder, self.strengths, strict=False):
            layer.register_forward_hook(lambda layer, inputs, output, found=found: found.append(layer._strength))


HALVED = Drops(at=(2, 4), factor=0.5)
CONSTANT, FALLING = [1.0] * 12, [1.0] * 4 + [0.5] * 4 + [0.25] * 4  # of steps that are half an update of 100 images
RISING = [0.2] * 3 + [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1]


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (None, (CONSTANT, CONSTANT, CONSTANT)),
        (HALVED, (FALLING, FALLING, FALLING)),
        ({"GaussianNoise": HALVED}, (CONSTANT, FALLING, CONSTANT)),
        ({"RandomAffine": HALVED, "Dropout": Rise(0.2, 1, 5)}, (FALLING, CONSTANT, RISING)),
    ],
)
def test_noise_follows_the_recipe_by_the_clock_and_is_whole_outside(
    noise: Schedule | dict | None, expected: tuple, images, make_model, make_recipe
) -> None:
    model = make_model(Disturbed)
    run(model, images, replace(make_recipe(model, 12, batch_size=50), noise=noise))
    assert [*map(pytest.approx, expected)] == model.strengths
    model.encode(images.images)
    assert all(found[-1] == 1 for found in model.strengths)


# Weights


def test_weights_follow_the_recipe_by_the_clock_and_are_the_models_own_outside(images, make_model, make_recipe) -> None:
    model, asked = make_model(Weighted), []

    def measure(model: Weighted) -> dict[str, float]:
        asked.append((model.share_weight, model.count_weight))
        return {}

    rising = {"share_weight": Rise(0.5, 1, 3), "count_weight": Drops(at=(2,), factor=0.5)}
    recipe = replace(make_recipe(model, 8, batch_size=50), weights=rising)
    for _ in reports_of(model, images, recipe, report_every=3, measure=measure):
        assert (model.share_weight, model.count_weight) == (0.8, 3) and isinstance(model.count_weight, int)
    shares, counts = zip(*model.seen, strict=True)
    assert shares == pytest.approx([0.4, 0.4, 0.4, 0.5, 0.6, 0.7, 0.8, 0.8])  # at 0, 1/2, 1, ... updates of 100 images
    assert counts == (3, 3, 3, 3, 1.5, 1.5, 1.5, 1.5)
    assert asked == [(0.8, 3)] * 3


class Failing(Weighted):
    """Breaks in the middle of its fourth step."""

    def updates(self, batch: Images) -> Updates:
        yield from super().updates(batch)
        if len(self.seen) == 4:
            raise KeyboardInterrupt


def test_an_error_inside_a_step_leaves_weights_and_noise_as_they_were_built(images, make_model, make_recipe) -> None:
    model = make_model(Failing)
    with pytest.raises(KeyboardInterrupt):
        run(model, images, replace(make_recipe(model), weights={"share_weight": Rise(0.5, 1, 5)}))
    assert [share for share, _ in model.seen] == pytest.approx([0.4, 0.4, 0.5, 0.6])
    assert (model.share_weight, model.count_weight) == (0.8, 3)


# Recipes that do not fit a model


@pytest.mark.parametrize("names", [["reconstruction"], ["reconstruction", "discriminator", "generator", "more"], []])
def test_a_recipe_for_other_updates_is_refused(names: list[str], images, make_model) -> None:
    model = make_model()
    with pytest.raises(TrainingError, match=r"optimizers for .*updates \['discriminator', 'generator'"):
        run(model, images, Recipe(dict.fromkeys(names, SGD(0.1)), 10))
    with pytest.raises(TrainingError, match=r"schedules for"):
        run(model, images, Recipe(dict.fromkeys(model.moves, SGD(0.1)), 3, dict.fromkeys(names, Constant())))


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        (Autoencoder, {"noise": HALVED}, "training noise.*none.*GaussianNoise"),
        (Autoencoder, {"noise": {"GaussianNoise": HALVED}}, "training noise.*none"),
        (Disturbed, {"noise": {"GaussianNoise": HALVED, "Linear": HALVED}}, r"\['Linear'\].*'RandomAffine'\]"),
        (Weighted, {"weights": {"share_weight": HALVED, "share": HALVED}}, r"\['share'\].*'share_weight'\]"),
        (Weighted, {"weights": {"kind_weight": HALVED}}, r"\['kind_weight'\].*'share_weight'\]"),
        (Weighted, {"weights": {"encoder": HALVED}}, r"\['encoder'\].*'share_weight'\]"),
    ],
)
def test_a_schedule_for_what_a_model_does_not_have_is_refused(
    kind: type[Model], change: dict, words: str, images, make_model, make_recipe
) -> None:
    model = make_model(kind)
    with pytest.raises(TrainingError, match=words):
        run(model, images, replace(make_recipe(model), **change))


@pytest.mark.parametrize("change", [{"steps": 0}, {"steps": 2.5}, {"batch_size": 0}, {"batch_size": -1}])
def test_a_recipe_without_steps_or_images_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(TrainingError, match=f"{next(iter(change))} of at least 1"):
        Recipe(**{"optimizers": {}, "steps": 10, **change})


# As data


def test_a_recipe_goes_through_json() -> None:
    optimizers = {"reconstruction": SGD(0.01, 0.9), "generator": Adam(0.001, betas=(0.5, 0.9))}
    for recipe in (
        Recipe(optimizers, 20),
        Recipe(optimizers, 20, Cosine(2, 10), 50, WarmUp(5, Drops((3, 4))), {"label_weight": Rise(0.3, 1, 3)}),
        Recipe(optimizers, 20, dict.fromkeys(optimizers, Drops(at=(1,))), noise={"Dropout": Constant()}),
    ):
        data = recipe.to_data()
        assert Recipe.from_data(json.loads(json.dumps(data))) == recipe
        assert data["kind"] == "Recipe" and data["optimizers"]["generator"]["kind"] == "Adam"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "Constant"},
        {"kind": "Recipe", "optimizers": {"r": {"kind": "eval"}}, "steps": 3},
        {"kind": "Recipe", "optimizers": {}, "steps": 3, "more": 1},
        {"kind": "Recipe", "optimizers": {}, "steps": 0},
        {"kind": ["Recipe"]},
        "Recipe",
    ],
)
def test_data_that_are_no_recipe_are_refused(data: object) -> None:
    with pytest.raises(TrainingError, match="recipe"):
        Recipe.from_data(data)
