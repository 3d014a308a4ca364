"""The adversarial game: its training, its recordings, and their page in headless Chromium, without a network."""

import gzip

import numpy as np
import pytest
import torch
from traitlets import TraitError

from aae_lib.data import Images
from aae_lib.data.points import draw_points
from aae_lib.errors import ShapeError, UnknownNameError
from aae_lib.explore.game import POINTS, DrawnPrior, GameExplorer, code_game, point_game, record_game
from aae_lib.explore.page import write_games


def points_of(recording):
    """The fakes of each frame, [frames, points, 2]."""
    content = gzip.decompress(recording["content"])[8 * POINTS :]
    numbers = np.frombuffer(content, np.int16).reshape(len(recording["frames"]), -1).cumsum(0, dtype=np.int16)
    return numbers[:, : 2 * POINTS].reshape(-1, POINTS, 2) / 2048


@pytest.fixture(scope="module")
def games():
    made = {"ring": point_game(draw_points("ring")), "collapse": point_game(draw_points("spots"), 1e-3, 2e-2)}
    return {name: record_game(game, 200, 8) for name, game in made.items()}


def test_a_recorded_game_converges_and_another_collapses(games):
    distances = [frame["distance"] for frame in games["ring"]["frames"]]
    assert len(distances) == 26 and distances[0] > 0.2 and distances[-1] < 0.08
    assert games["ring"]["frames"][-1]["step"] == 200
    assert points_of(games["ring"])[-1].std(0).min() > 0.3
    assert np.median(points_of(games["collapse"])[5:].std(1)) < 0.02
    assert games["collapse"]["frames"][-1]["distance"] > 0.2


def test_a_recording_is_that_of_its_seed(games):
    again = record_game(point_game(draw_points("ring")), 8, 8)
    assert (points_of(again) == points_of(games["ring"])[:2]).all()


@pytest.mark.parametrize("update", ["discriminator", "generator"])
def test_one_update_moves_its_own_network(update):
    explorer = GameExplorer()
    model = explorer.game.model
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
    fakes = explorer.game.fakes()
    explorer.play(2)
    assert explorer.game.fakes().equal(fakes)
    explorer.reset([[(0.2, 0.2), (0.8, 0.2)], [(0.5, 0.9)]])
    across, up = explorer.game.real.T
    assert 0.1 < across.min() < 0.25 and 0.75 < across.max() < 0.9 and up.median() < 0.3
    with pytest.raises(UnknownNameError, match="spiral"):
        explorer.reset("circle")


def test_codes_of_digits_are_colored_and_a_still_picture_is_stored():
    game = code_game()
    explorer = GameExplorer(game.model, game.images[:500], game.recipe)
    explorer.play(1)
    answer, blocks = explorer.answer({"what": "look"})
    assert answer["description"]["labels"] == game.images.labels[:POINTS].tolist() and answer["targets"] == []
    assert answer["said"]["step"] == 1 and set(answer["said"]["losses"]) == set(game.model.moves)
    data, _ = explorer._repr_mimebundle_()
    assert len(data["image/png"]) < 200_000 and explorer.picture().width > 300


def test_a_prior_can_be_drawn_and_drawn_anew():
    game = code_game()
    game.model.prior = DrawnPrior([[(0.1, 0.2), (0.9, 0.2)]])
    explorer = GameExplorer(game.model, game.images[:500], game.recipe)
    assert 0.5 < explorer.game.real[:, 0].max() <= 2 and explorer.game.real[:, 1].max() < -0.8
    explorer.play(1)
    view = explorer.game.describe()[0]["view"]
    answer, _ = explorer.answer({"what": "reset", "target": [[[-2.0, 2.0], [2.0, 2.0]]]})  # in the plane of codes
    assert answer["targets"] and explorer.game.real[:, 1].min() > 1.4 and explorer.steps == 0
    assert answer["description"]["view"] == view  # a second stroke is drawn in the same one
    explorer.reset("ring")
    assert explorer.game.real.norm(dim=1).median() == pytest.approx(1.4, abs=0.1)


def test_points_of_three_numbers_are_refused():
    with pytest.raises((ShapeError, RuntimeError)):
        point_game(Images(torch.rand(200, 3), torch.full([200], -1)))


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
    with pytest.raises(TraitError, match="discriminator, generator"):
        game.rates = rates
    game.rates = {"discriminator": 0.0, "generator": 1e-3}
    assert game.game.rates["discriminator"] == 0
