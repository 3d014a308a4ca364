"""What notebooks check: their own claims, and the reader's answers to exercises."""

from typing import TYPE_CHECKING, Any

from aae_lib.errors import UnknownNameError
from aae_lib.exercises import (
    of_00,
    of_01,
    of_02,
    of_03,
    of_04,
    of_05,
    of_06,
    of_07,
    of_08,
    of_09,
    of_10,
    of_11,
    of_12,
    of_13,
)
from aae_lib.exercises.claims import ClaimError, claim
from aae_lib.exercises.exercise import RIGHT, Exercise, ExerciseError, is_strict, judged, merged

NOTEBOOKS = (
    of_00, of_01, of_02, of_03, of_04, of_05, of_06, of_07, of_08, of_09, of_10, of_11, of_12, of_13,
)  # fmt: skip
EXERCISES = merged(part.EXERCISES for part in NOTEBOOKS)

if TYPE_CHECKING:
    from IPython.display import Markdown

__all__ = [
    "EXERCISES", "ClaimError", "Exercise", "ExerciseError", "answered", "check", "claim", "solution",
]  # fmt: skip


def exercise_named(name: str) -> Exercise:
    """The exercise of this name."""
    if name not in EXERCISES:
        raise UnknownNameError(f"no exercise has the name {name!r}")
    return EXERCISES[name]


def check(name: str, answer: object) -> None:
    """Print the verdict on an answer: correct, not solved yet, or what is wrong with it. Any answer is survived.

    Args:
        name: of the exercise.
        answer: the reader's function or value; None, or a function that returns None, is not solved yet.

    Raises:
        ExerciseError: in strict mode (``AAE_STRICT=1`` in the environment) for all that is not correct.
    """
    verdict = judged(exercise_named(name), answer)
    if is_strict() and verdict != RIGHT:
        raise ExerciseError(f"{name}: {verdict}")
    print(f"{name}: {verdict}")


def answered(name: str, answer: Any) -> Any:
    """The reader's answer if it is correct, and else the right one: for cells that use it."""
    exercise = exercise_named(name)
    return answer if judged(exercise, answer) == RIGHT else exercise.right


def solution(name: str) -> "Markdown":
    """The right answer and why, folded, to be shown in a notebook."""
    from IPython.display import Markdown

    exercise = exercise_named(name)
    source = exercise.solution if callable(exercise.right) else f"{name} = {exercise.solution}"
    shown = (
        f"<details><summary>Solution</summary>\n\n```python\n{source.rstrip()}\n```\n\n{exercise.because}\n</details>"
    )
    return Markdown(shown)
