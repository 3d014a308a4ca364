"""The adversarial game: its training, its recordings, and their page in headless Chromium, without a network."""

import gzip

import numpy as np
import pytest
import torch
from support import tiny
from torch import nn

from aae_lib.data import Images, load_sample
from aae_lib.errors import AaeError, SettingError, ShapeError, TrainingError, UnknownNameError
from aae_lib.explore.game import POINTS, GameExplorer
from aae_lib.explore.page import write_games
from aae_lib.models import AdversarialAutoencoder
from aae_lib.priors import DrawnPrior
from aae_lib.training import SGD, Recipe


def points_of(recording):
    """The fakes of each frame, [frames, points, 2]."""
    played, content = recording
    changes = np.frombuffer(gzip.decompress(content)[8 * POINTS :], np.int16).reshape(len(played["frames"]), -1)
    numbers = changes.cumsum(0, dtype=np.int16)
    return numbers[:, : 2 * POINTS].reshape(-1, POINTS, 2) / 2048


@pytest.fixture(scope="module")
def games():
    collapsing = GameExplorer(images="spots")
    collapsing.rates = {"discriminator": 1e-3, "generator": 2e-2}
    return {"ring": GameExplorer().record(200, 8), "collapse": collapsing.record(200, 8)}


def test_a_recorded_game_converges_and_another_collapses(games):
    frames = games["ring"][0]["frames"]
    distances = [frame["distance"] for frame in frames]
    assert len(distances) == 26 and distances[0] > 0.2 and distances[-1] < 0.08
    assert frames[-1]["step"] == 200
    assert points_of(games["ring"])[-1].std(0).min() > 0.3
    assert np.median(points_of(games["collapse"])[5:].std(1)) < 0.02
    assert games["collapse"][0]["frames"][-1]["distance"] > 0.2


def test_a_recording_is_that_of_its_seed(games):
    again = GameExplorer().record(8, 8)
    assert (points_of(again) == points_of(games["ring"])[:2]).all()


@pytest.mark.parametrize("update", ["discriminator", "generator"])
def test_one_update_moves_its_own_network(update):
    explorer = GameExplorer()
    model = explorer.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explorer.step(update)
    moved = {name.split(".")[0] for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert moved == set(model.moves[update]) and explorer.steps == 1
    explorer.play(2)
    assert explorer.steps == 3 and not any(value.equal(before[name]) for name, value in model.state_dict().items())
    explorer.reset()
    assert explorer.steps == 0 and all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_a_rate_of_zero_holds_a_network_and_strokes_are_a_target():
    explorer = GameExplorer(images="spots")
    explorer.rates = {**explorer.rates, "generator": 0.0}
    fakes = explorer.fakes()
    explorer.play(2)
    assert explorer.fakes().equal(fakes)
    explorer.reset([[(0.2, 0.2), (0.8, 0.2)], [(0.5, 0.9)]])
    across, up = explorer.real.T
    assert 0.1 < across.min() < 0.25 and 0.75 < across.max() < 0.9 and up.median() < 0.3
    with pytest.raises(UnknownNameError, match="spiral"):
        explorer.reset("circle")


def test_codes_of_digits_are_colored_and_a_still_picture_is_stored():
    images, moves = load_sample().train[:500], AdversarialAutoencoder.moves
    explorer = GameExplorer(tiny("adversarial"), images, Recipe(dict.fromkeys(moves, SGD(0.01)), 10))
    explorer.play(1)
    answer, blocks = explorer.answer({"what": "look"})
    assert answer["description"]["labels"] == images.labels[:POINTS].tolist() and answer["targets"] == []
    assert [said["step"] for said in answer["said"]] == [0, 1] and len(blocks) == 3  # what was seen before, too
    assert set(answer["said"][1]["losses"]) == set(moves)
    data, _ = explorer._repr_mimebundle_()
    assert len(data["image/png"]) < 200_000 and explorer.still().get_figwidth() > 4


def test_a_prior_can_be_drawn_and_drawn_anew():
    model, images = tiny("adversarial"), load_sample().train[:500]
    model.prior = DrawnPrior([[(0.1, 0.2), (0.9, 0.2)]])
    explorer = GameExplorer(model, images, Recipe(dict.fromkeys(model.moves, SGD(0.01)), 10))
    assert 0.5 < explorer.real[:, 0].max() <= 2 and explorer.real[:, 1].max() < -0.8
    explorer.play(1)
    view = explorer.answer({"what": "look"})[0]["description"]["view"]
    answer, _ = explorer.answer({"what": "reset", "target": [[[0.0, 1.0], [1.0, 1.0]]]})
    assert answer["targets"] and explorer.real[:, 1].min() > 1.4 and explorer.steps == 0
    assert answer["description"]["view"] == view  # a second stroke is drawn in the same one
    explorer.reset("ring")
    assert explorer.real.norm(dim=1).median() == pytest.approx(1.4, abs=0.1)


def test_what_cannot_be_played_is_refused():
    points, recipe = Images(torch.rand(200, 3), torch.full([200], -1)), Recipe({}, 10)
    with pytest.raises(ShapeError, match="3 dimensions"):
        GameExplorer(images=points)
    for wrong in ((nn.Linear(2, 2), points, recipe), (tiny("GAN"), points), (tiny("adversarial"), "ring", recipe)):
        with pytest.raises(AaeError):
            GameExplorer(*wrong)
    game = GameExplorer()
    for steps in (0, -1, 1.5, "ten"):
        with pytest.raises(TrainingError, match="at least 1"):
            game.play(steps)
    with pytest.raises(UnknownNameError, match="'encoder'.*discriminator, generator"):
        game.step("encoder")


def test_the_page_plays_a_recording(games, tmp_path, driver):
    from browser import Keys, Page

    page = Page(driver, write_games(tmp_path / "game.html", games))
    first = page.shown(".aae-plane")
    page.keys("k")
    page.wait(lambda: page.js("return game.at") > 4)
    page.keys("k")
    at = page.js("return game.at")
    assert page.shown(".aae-plane") != first and f"step {8 * at}" in page.text(".aae-status")
    found = page.js("return Array.from(game.frame.fakes)")
    assert np.allclose(np.array(found).reshape(-1, 2) / 2048, points_of(games["ring"])[at])
    scrub = "const input = document.querySelector('.aae-scrub input'); input.value = 25;"
    page.js(f"{scrub} input.dispatchEvent(new Event('input'))")
    assert page.js("return game.at") == 25 and "step 200" in page.text(".aae-status")
    page.keys("j", "w", "s")
    assert page.js("return [game.at, game.slow]") == [25, True]
    before = page.shown(".aae-plane")
    page.keys("m", "a")
    assert page.js("return game.layers.size") == 0 and page.wait(lambda: page.shown(".aae-plane") != before)
    pace = page.js("return game.pace")
    page.keys("e", Keys.ARROW_RIGHT)
    assert page.js("return game.pace") == pace + 1
    page.keys("n")
    assert page.text("h2") == "collapse" and page.js("return game.at") == 0
    assert page.js("return document.documentElement.scrollWidth") <= 1000 and not page.errors()


@pytest.mark.parametrize("rates", [{}, {"generator": 1e-3}, {"discriminator": -1.0, "generator": 1e-3},
                                   {"discriminator": float("nan"), "generator": 1e-3}])  # fmt: skip
def test_rates_that_cannot_be_are_refused(rates: dict[str, float]) -> None:
    game = GameExplorer()
    with pytest.raises(SettingError, match="discriminator, generator"):
        game.rates = rates
    game.rates = {"discriminator": 0.0, "generator": 1e-3}
    game.play(1)
    assert game.steps == 1
