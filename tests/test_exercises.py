"""Claims and exercises: they can fail, and an exercise names the slip."""

import pytest
import torch

from aae_lib.exercises import EXERCISES, ClaimError, ExerciseError, check, claim
from aae_lib.exercises.exercise import NONE_YET, RIGHT, function, judged, number


def test_a_claim_prints_itself_or_raises_with_what_was_found(capsys):
    claim("two is less than three", 2 < 3)
    assert capsys.readouterr().out == "ok  two is less than three\n"
    with pytest.raises(ClaimError, match="found 2"):
        claim("two is less than one", 2 < 1, "2")


DOUBLE = function(lambda x: 2 * x, lambda: (torch.ones(3),), {"that is half": lambda x: x / 2})


@pytest.mark.parametrize(
    "answer, verdict",
    [(lambda x: None, NONE_YET), (None, NONE_YET), (lambda x: 2 * x, RIGHT), (lambda x: x / 2, "that is half"),
     (lambda x: 2 * x + 0.1, "difference"), (lambda x: x * float("nan"), "not yet"), (lambda x: x[:1], "shape [1]"),
     (lambda x: (x, x), "this is tuple"), (lambda x: "two", "numbers are expected"),
     (lambda x: 1 / 0, "ZeroDivisionError"),
     (lambda: 3, "TypeError"), (7, "a function is expected")],
)  # fmt: skip
def test_an_answer_is_open_right_or_wrong(answer, verdict):
    assert verdict in judged(DOUBLE, answer)


def test_a_slip_is_named_only_where_it_is_made():
    exercise = number(98, {"twice too large": 196})
    assert [judged(exercise, guess) for guess in (98.01, 196)] == [RIGHT, "twice too large"]
    assert "another number" in judged(exercise, 3) and "a number is expected" in judged(exercise, "98")


@pytest.mark.parametrize("name", EXERCISES)
def test_each_check_takes_the_right_answer_names_two_slips_and_survives_nonsense(name):
    exercise = EXERCISES[name]
    assert judged(exercise, exercise.right) == RIGHT
    assert len(exercise.slips) >= 2 and exercise.because
    for slip, wrong in exercise.slips.items():
        assert slip in judged(exercise, wrong)
    for nonsense in ("nonsense", lambda *anything: "nonsense", object(), float("nan"), [[1, 2], [3]]):
        assert judged(exercise, nonsense) not in (RIGHT, NONE_YET)


def test_a_grader_can_make_every_wrong_answer_an_error(monkeypatch, capsys):
    check("half_squared_error", None)
    assert NONE_YET in capsys.readouterr().out
    monkeypatch.setenv("AAE_STRICT", "1")
    check("half_squared_error", EXERCISES["half_squared_error"].right)
    for wrong in (None, lambda r, x: 0 * r):
        with pytest.raises(ExerciseError):
            check("half_squared_error", wrong)
