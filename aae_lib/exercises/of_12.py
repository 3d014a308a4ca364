"""Exercises of notebook 12: your own images."""

from collections.abc import Callable
from dataclasses import replace

import torch

from aae_lib.exercises.exercise import Exercise, function, number


def from_paper(images: torch.Tensor) -> torch.Tensor:
    """Images [n, pixels] of dark ink on light paper as light ink on black, each from 0 to 1."""
    low, high = images.amin(1, keepdim=True), images.amax(1, keepdim=True)
    return 1 - (images - low) / (high - low)


def _by_all_images(images: torch.Tensor) -> torch.Tensor:
    return 1 - (images - images.min()) / (images.max() - images.min())


def _scans() -> tuple[torch.Tensor]:
    return (0.3 + 0.5 * torch.rand(6, 40, generator=torch.Generator().manual_seed(0)),)


def flat_pictures(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures [n, height, width, 3] of bytes as rows of numbers in [0, 1]: all of red, then green, then blue."""
    channels_first = pictures.permute(0, 3, 1, 2)
    return channels_first.reshape(len(pictures), -1) / 255


def _bytes() -> tuple[torch.Tensor]:
    return (torch.randint(256, (5, 6, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),)


def standardized(train: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both tables, [n, columns] and [m, columns], by the mean and deviation of each column of the first.

    A column that is constant in the first table is not divided.
    """
    mean, deviation = train.mean(0), train.std(0)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    return (train - mean) / deviation, (test - mean) / deviation


def _each_by(statistics: Callable, dim: int = 0) -> Callable:
    """Tables standardized by the tables that ``statistics`` gives for each."""

    def tables(train: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = []
        for own, of in zip((train, test), statistics(train, test), strict=True):
            deviation = of.std(dim, keepdim=True)
            found.append((own - of.mean(dim, keepdim=True)) / torch.where(deviation > 0, deviation, 1.0))
        return tuple(found)

    return tables


def _not_guarded(train: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return (train - train.mean(0)) / train.std(0), (test - train.mean(0)) / train.std(0)


def _tables() -> tuple[torch.Tensor, torch.Tensor]:
    """The third column is constant in the first table, and not in the second."""
    generator = torch.Generator().manual_seed(0)
    train, test = 5 + 3 * torch.randn(40, 4, generator=generator), 4 + 2 * torch.randn(15, 4, generator=generator)
    train[:, 2] = 3.0
    return train, test


_STANDARDIZED = function(
    standardized, _tables,
    {
        "each table has its own mean and deviation: the same measurement gets two different numbers":
            _each_by(lambda train, test: (train, test)),
        "the test rows are in the mean and deviation: what is tested must not take part in training":
            _each_by(lambda train, test: (torch.cat([train, test]),) * 2),
        "rows are standardized, not columns": _each_by(lambda train, test: (train, test), dim=1),
        "the mean is not taken off": lambda train, test: tuple(
            table / torch.where(train.std(0) > 0, train.std(0), 1.0) for table in (train, test)),
    },
    because="A model learns what a number means from the training rows, so test rows must come in the same units. "
    "Means and deviations over all rows would let the test rows take part in training.",
    minutes=15,
)  # fmt: skip
_ZERO = "a constant column has deviation 0, and its numbers become infinite or none at all"


def _finite(answer: Callable) -> str:
    """The verdict, with a sentence of its own for division by 0."""
    verdict = _STANDARDIZED.verdict(answer)
    is_made = verdict.startswith("not yet") and all(isinstance(table, torch.Tensor) for table in answer(*_tables()))
    return _ZERO if is_made and not all(table.isfinite().all() for table in answer(*_tables())) else verdict


EXERCISES: dict[str, Exercise] = {
    "numbers_of_a_picture": number(
        2880,
        {
            "that is one color: there are three": 960,
            "that is the longer side squared: `size=(24, 40)` is not square": 4800,
            "pixels are multiplied, not added": 192,
        },
        because="24 rows of 40 pixels with 3 colors each: 24 · 40 · 3 = 2,880, the inputs of a perceptron's first "
        "layer. A convolutional encoder takes the same row of numbers and the shape `(3, 24, 40)`.",
        minutes=2,
    ),
    "from_paper": function(
        from_paper, _scans,
        {
            "you took the darkest and brightest pixel of all images: then one bright page decides for the others":
                _by_all_images,
            "the images are inverted, but not stretched": lambda images: 1 - images,
            "the images are stretched, but not inverted": lambda images: 1 - from_paper(images),
        },
        because="`amin(1)` is the darkest pixel of each image; `keepdim=True` keeps the shape `[n, 1]`, so each row is "
        "divided by its own range.",
        minutes=10,
    ),
    "flat_pictures": function(
        flat_pictures, _bytes,
        {
            "`reshape` keeps the order of the numbers: red, green and blue of one pixel become three neighbors in one "
            "channel": lambda pictures: pictures.reshape(len(pictures), 3, -1).flatten(1) / 255,
            "height and width are exchanged: the pictures lie on their side":
                lambda pictures: pictures.permute(0, 3, 2, 1).flatten(1) / 255,
            "the numbers run to 255: divide by 255": lambda pictures: pictures.permute(0, 3, 1, 2).flatten(1).float(),
        },
        because="`reshape` cuts the same sequence of numbers at other places. `permute` changes the order of the "
        "dimensions, and with it the sequence. The shapes agree in both cases and training runs: only a look at the "
        "pictures shows the difference. `load_arrays` does this for you.",
        minutes=10,
    ),
    "standardized": replace(_STANDARDIZED, verdict=_finite, slips={**_STANDARDIZED.slips, _ZERO: _not_guarded}),
}  # fmt: skip
