"""The errors that this library raises. A message says what was expected, what was found, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AaeError(Exception):
    """What every error of this library is. Its text has no control characters: some of it may come from a file."""

    def __str__(self) -> str:
        return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in super().__str__())


class DataError(AaeError, RuntimeError):
    """Images or labels are missing, damaged, or not what was asked for."""


class StorageError(AaeError, RuntimeError):
    """A file of weights, evidence or training state is missing, damaged, or holds something else."""


class TrainingError(AaeError, RuntimeError):
    """Training was asked for something that cannot work, or has stopped working."""


class PriorError(AaeError, ValueError):
    """A prior cannot be used as asked: its samples are broken, or it lacks the density or the classes needed."""


class ShapeError(AaeError, ValueError):
    """Images do not have the shape that they should have, or cannot have it."""


class ModelError(AaeError, TypeError):
    """What was given is no model, or it lacks a network that is needed."""


class UnknownNameError(AaeError, LookupError):
    """No experiment, figure, data set or image has this name or number; the message says which there are."""


class SettingError(AaeError, ValueError):
    """An experiment or explorer has no setting of this name, or the value is not of its type."""


def check_ending(path: Path, *endings: str) -> None:
    """Refuse, by a SettingError, a file to write that has another ending: a slip must not cost somebody's thesis."""
    if path.suffix.lower() not in endings:
        raise SettingError(f"expected a file to write that ends in {' or '.join(endings)}, found {str(path)!r:.200}")


@contextmanager
def writing(where: Path, remedy: str) -> Iterator[None]:
    """Inside, errors of writing become a StorageError that says where and what to do."""
    from safetensors import SafetensorError  # not needed for the errors alone

    try:
        yield
    except BrokenPipeError:  # of the terminal, not of a file
        raise
    except (OSError, SafetensorError) as error:
        raise StorageError(f"cannot write to {where} ({error}). {remedy}") from error
