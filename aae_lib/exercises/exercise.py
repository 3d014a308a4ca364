"""An exercise: its right answer, the usual slips, and the check that names them."""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from textwrap import dedent

import torch

from aae_lib.errors import AaeError

CLOSE = 1e-3  # numbers agree to one part in a thousand
NONE_YET = "not solved yet"
RIGHT = "correct"


class ExerciseError(AaeError, AssertionError):
    """An answer is not correct, where all must be: with ``AAE_STRICT=1`` in the environment."""


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        right: a right answer: a function, whose source is the solution that readers see, or a value.
        verdict: takes an answer and returns "" if it is right, and else one sentence that says what is wrong.
        slips: a sentence of the verdict, or a part of it, and a wrong answer that gets it.
        because: why the right answer is right, in Markdown.
        minutes: how long a student needs.
    """

    right: object
    verdict: Callable[[object], str]
    slips: Mapping[str, object]
    because: str = ""
    minutes: int = 5

    @property
    def solution(self) -> str:
        """The right answer as Python source."""
        return dedent(inspect.getsource(self.right)) if callable(self.right) else repr(self.right)


def function(
    right: Callable, arguments: Callable[[], tuple], slips: Mapping[str, Callable], because: str = "", minutes: int = 5
) -> Exercise:
    """An exercise whose answer is a function: it must return what ``right`` returns.

    Args:
        right: the correct function.
        arguments: makes the arguments, the same ones each time. What a call changes in them is not seen by the next.
        slips: a sentence for each usual mistake, and a function that makes it.
        because: why it is right, in Markdown.
        minutes: how long a student needs.
    """

    def judge(theirs: object) -> str:
        difference = differing(theirs, right(*arguments()))
        found = (slip for slip, made in slips.items() if not differing(theirs, made(*arguments())))
        return difference and next(found, difference)

    return outcome(right, lambda answer: answer(*arguments()), judge, slips, because, minutes)


def outcome(
    right: Callable, run: Callable[[Callable], object], judge: Callable[[object], str], slips: Mapping[str, Callable],
    because: str = "", minutes: int = 5,
) -> Exercise:  # fmt: skip
    """An exercise whose answer is a function that can be right in many ways, such as one that draws samples.

    Args:
        right: a right function.
        run: calls an answer and returns what came out.
        judge: says what is wrong with that, or returns "".
        slips, because, minutes: as for :func:`function`.
    """

    def verdict(answer: object) -> str:
        if not callable(answer):
            return f"a function is expected, this is {type(answer).__name__}"
        came_out = run(answer)
        return NONE_YET if came_out is None else judge(came_out)

    return Exercise(right, verdict, slips, because, minutes)


def number(
    right: float, slips: Mapping[str, float], because: str = "", minutes: int = 2, within: float = CLOSE
) -> Exercise:
    """An exercise whose answer is a number, such as a prediction: right to the share ``within`` of its size."""

    def near(answer: float, value: float) -> bool:
        return abs(answer - value) <= max(within * abs(value), 1e-9)

    def verdict(answer: object) -> str:
        if isinstance(answer, bool) or not isinstance(answer, int | float):
            return f"a number is expected, this is {type(answer).__name__}"
        if near(answer, right):
            return ""
        return next((slip for slip, value in slips.items() if near(answer, value)), "not yet: another number")

    return Exercise(right, verdict, slips, because, minutes)


def differing(theirs: object, ours: object) -> str:
    """What differs, or "": numbers and tensors are equal to one part in a thousand; tuples go part by part."""
    if isinstance(ours, tuple):
        if not isinstance(theirs, tuple | list) or len(theirs) != len(ours):
            return f"{len(ours)} values are expected, separated by commas"
        return next((found for pair in zip(theirs, ours, strict=True) if (found := differing(*pair))), "")
    if isinstance(ours, str):
        return "" if theirs == ours else f"not yet: {theirs!r} is not it"
    try:
        theirs, ours = torch.as_tensor(theirs).detach().double(), torch.as_tensor(ours).detach().double()
    except (TypeError, ValueError, RuntimeError):
        return f"numbers are expected, this is {type(theirs).__name__}"
    if theirs.shape != ours.shape:
        return f"the answer has shape {list(theirs.shape)}, the correct one {list(ours.shape)}"
    if torch.allclose(theirs, ours, rtol=CLOSE, atol=1e-6):
        return ""
    return f"not yet: the largest difference from the correct answer is {(theirs - ours).abs().max():.3g}"


def judged(exercise: Exercise, answer: object) -> str:
    """The verdict in words, of any answer: what an answer raises is a part of the verdict."""
    if answer is None:
        return NONE_YET
    try:
        return exercise.verdict(answer) or RIGHT
    except Exception as error:
        return f"your code raises {type(error).__name__}: {error}"


def is_strict() -> bool:
    """Whether an answer that is not correct raises, as a grader wants it: ``AAE_STRICT=1`` in the environment."""
    return os.environ.get("AAE_STRICT", "") not in ("", "0")


def merged(parts: Iterable[Mapping[str, Exercise]]) -> dict[str, Exercise]:
    """All exercises by their names, each of which stands for one."""
    found: dict[str, Exercise] = {}
    for part in parts:
        if twice := found.keys() & part.keys():
            raise ValueError(f"two exercises have the name {sorted(twice)[0]!r}")
        found.update(part)
    return found
