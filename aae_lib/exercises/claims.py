"""What a notebook checks of its own: claims about training."""

from aae_lib.errors import AaeError


class ClaimError(AaeError, AssertionError):
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
