"""Claims and exercises: they can fail."""

import pytest
import torch

from aae_lib.exercises import ClaimError, check_answer, claim


def test_a_claim_prints_itself_or_raises_with_what_was_found(capsys):
    claim("two is less than three", 2 < 3)
    assert capsys.readouterr().out == "ok  two is less than three\n"
    with pytest.raises(ClaimError, match="found 2"):
        claim("two is less than one", 2 < 1, "2")


@pytest.mark.parametrize(
    "answer, verdict",
    [(lambda x: None, "not solved yet"), (lambda x: 2 * x, "correct"), (lambda x: 2 * x + 0.1, "not yet"),
     (lambda x: x * float("nan"), "not yet"), (lambda x: x[:1], "shape [1]")],
)  # fmt: skip
def test_an_exercise_is_open_right_or_wrong(answer, verdict, capsys):
    check_answer("double", answer, lambda x: 2 * x, torch.ones(3))
    assert verdict in capsys.readouterr().out
