"""How a model is trained: an optimizer for each update, a schedule, a batch size and a number of steps.

All times are times of the clock, which counts updates of 100 images, whatever the batch size or the data: 600 is one
epoch of MNIST.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from aae_lib.errors import TrainingError

UPDATES_PER_EPOCH = 600  # of 100 images: one pass over MNIST's 60,000


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum: v <- momentum * v + gradient; weights <- weights - rate * v."""

    learning_rate: float
    momentum: float = 0.0

    def build(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=self.learning_rate, momentum=self.momentum, fused=True)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015)."""

    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=self.betas, fused=True)


@dataclass(frozen=True)
class Constant:
    """The factor 1 at all times."""

    def __call__(self, clock: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Drops:
    """A factor that starts as 1 and is multiplied by ``factor`` at each of the times ``at``."""

    at: tuple[float, ...]
    factor: float = 0.1

    def __call__(self, clock: float) -> float:
        return self.factor ** sum(clock >= drop for drop in self.at)


@dataclass(frozen=True)
class Cosine:
    """A factor that is 1 until ``start`` and falls to ``final`` at ``end``, along half a cosine."""

    start: float
    end: float
    final: float = 0.01

    def __post_init__(self) -> None:
        _check_period(self, self.start, self.end)

    def __call__(self, clock: float) -> float:
        progress = _progress(clock, self.start, self.end)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Rise:
    """A factor that is ``initial`` until ``start`` and rises evenly to 1 at ``end``."""

    initial: float
    start: float
    end: float

    def __post_init__(self) -> None:
        _check_period(self, self.start, self.end)

    def __call__(self, clock: float) -> float:
        return self.initial + (1 - self.initial) * _progress(clock, self.start, self.end)


@dataclass(frozen=True)
class WarmUp:
    """The factor of ``schedule``, times one that rises evenly from 0 to 1 at ``until``.

    A large learning rate, or noise at full strength, can destroy a game that has just begun.
    """

    until: float
    schedule: Constant | Drops | Cosine

    def __post_init__(self) -> None:
        _check_period(self, 0, self.until)

    def __call__(self, clock: float) -> float:
        return min(clock / self.until, 1.0) * self.schedule(clock)


Schedule = Constant | Drops | Cosine | Rise | WarmUp


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        optimizers: one for each update of the model, by the name of the update.
        steps: number of minibatches, at least 1.
        schedule: a factor on the learning rates, one schedule for all or one for each update. A run of fewer steps
            keeps the absolute times.
        batch_size: images in a minibatch, at least 1.
        noise: a factor in [0, 1] on the training noise of the networks (:class:`~aae_lib.networks.TrainingNoise`), one
            schedule for all layers, or one for each kind of layer by the name of its class, such as ``"RandomAffine"``.
        weights: factors on weights in the model's losses, by the name of the model's attribute, such as
            ``"label_weight"``. They multiply the value that the model was built with.
    """

    optimizers: Mapping[str, SGD | Adam]
    steps: int
    schedule: Schedule | Mapping[str, Schedule] = field(default_factory=Constant)
    batch_size: int = 100
    noise: Schedule | Mapping[str, Schedule] | None = None
    weights: Mapping[str, Schedule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise TrainingError(f"a recipe needs {name} of at least 1, not {value!r}")

    def learning_rate(self, update: str, clock: float) -> float:
        """The learning rate of an update at a time of the clock."""
        schedule = self.schedule[update] if isinstance(self.schedule, Mapping) else self.schedule
        return self.optimizers[update].learning_rate * schedule(clock)

    def noise_strength(self, layer: str, clock: float) -> float:
        """The factor on the noise of layers of that class at a time of the clock."""
        schedule = self.noise.get(layer) if isinstance(self.noise, Mapping) else self.noise
        return 1.0 if schedule is None else schedule(clock)

    def to_data(self) -> dict[str, Any]:
        """The recipe as plain data that JSON can hold."""
        return _to_data(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Recipe":
        """The recipe that :meth:`to_data` wrote; other data raise a :class:`TrainingError`."""
        recipe = None
        with suppress(KeyError, TypeError, AttributeError):
            recipe = _from_data(data)
        if not isinstance(recipe, cls):
            raise TrainingError(f"expected a recipe as Recipe.to_data writes it, found {data!r:.200}")
        return recipe


KINDS = {kind.__name__: kind for kind in (SGD, Adam, Constant, Drops, Cosine, Rise, WarmUp, Recipe)}


def _to_data(value: Any) -> Any:
    if is_dataclass(value):
        entries = {entry.name: _to_data(getattr(value, entry.name)) for entry in fields(value)}
        return {"kind": type(value).__name__, **entries}
    if isinstance(value, Mapping):
        return {name: _to_data(entry) for name, entry in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _from_data(value: Any) -> Any:
    if isinstance(value, Mapping):
        entries = {name: _from_data(entry) for name, entry in value.items() if name != "kind"}
        return KINDS[value["kind"]](**entries) if "kind" in value else entries
    return tuple(value) if isinstance(value, list) else value


def _progress(clock: float, start: float, end: float) -> float:
    """The share of the way from ``start`` to ``end``: 0 before and 1 after it."""
    return min(max((clock - start) / (end - start), 0.0), 1.0)


def _check_period(schedule: Any, start: float, end: float) -> None:
    if not start < end:
        raise TrainingError(f"{schedule} ends at {end:g}, not after its start at {start:g}")
