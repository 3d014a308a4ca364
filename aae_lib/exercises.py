"""What a notebook checks: claims about training, and the reader's answers to exercises."""

from collections.abc import Callable

import torch


class ClaimError(AssertionError):
    """A claim of a notebook does not hold on this machine."""


def claim(text: str, holds: bool, found: str = "") -> None:
    """Print ``ok  text``, or raise. Trained numbers differ between processors; claims must hold on all of them.

    Args:
        text: the claim, with its threshold; constant, so that it can be a stored and tested output.
        holds: whether it does.
        found: what was found instead, for the error.

    Raises:
        ClaimError: if it does not hold.
    """
    if not holds:
        raise ClaimError(f"does not hold: {text} (found {found})")
    print(f"ok  {text}")


def check_answer(name: str, answer: Callable, correct: Callable, *arguments: object) -> None:
    """Compare the reader's function with a correct one on the same arguments and print the verdict.

    A function that still returns None prints that it is not solved yet, so that a notebook runs before its exercises
    are done. Numbers and tensors agree to one part in a thousand.
    """
    theirs, ours = answer(*arguments), correct(*arguments)
    if theirs is None:
        print(f"{name}: not solved yet")
        return
    theirs, ours = torch.as_tensor(theirs).double(), torch.as_tensor(ours).double()
    if theirs.shape != ours.shape:
        print(f"{name}: the answer has shape {list(theirs.shape)}, the correct one {list(ours.shape)}")
        return
    if torch.allclose(theirs, ours, rtol=1e-3, atol=1e-6):
        print(f"{name}: correct")
        return
    print(f"{name}: not yet; the largest difference from the correct answer is {(theirs - ours).abs().max():.3g}")
