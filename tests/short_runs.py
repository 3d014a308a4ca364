"""What the tests of training share: short runs in float32 on the CPU, and what they leave."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.models import AdversarialAutoencoder, Autoencoder, Model, VariationalAutoencoder
from aae_lib.training import Recipe, Report, train

Updates = Iterator[tuple[str, Tensor]]
KINDS = [Autoencoder, AdversarialAutoencoder, VariationalAutoencoder]


def reports_of(model: Model, images: Images | Sequence[Images], recipe: Recipe, **arguments: Any) -> Iterator[Report]:
    return train(model, images, recipe, **{"device": "cpu", "bfloat16": False, **arguments})


def run(model: Model, images: Images | Sequence[Images], recipe: Recipe, **arguments: Any) -> list[Report]:
    return list(reports_of(model, images, recipe, **arguments))


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the parameters."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether all bits agree."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def without_seconds(reports: list[Report]) -> list[tuple]:
    return [(report.step, report.clock, report.losses, report.learning_rates, report.measures) for report in reports]


class Pair(Autoencoder):
    """Takes two minibatches and writes down the labels of each."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__(encoder, decoder)
        self.seen: list[list[Tensor]] = [[], []]

    def updates(self, first: Images, second: Images) -> Updates:
        for diary, batch in zip(self.seen, (first, second), strict=True):
            diary.append(batch.labels)
        yield from super().updates(
            Images(torch.cat([first.images, second.images]), torch.cat([first.labels, second.labels]))
        )


class Weighted(Autoencoder):
    """Its loss has two weights; it writes down which they are in each step."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__(encoder, decoder)
        self.share_weight, self.count_weight, self.share, self.kind_weight = 0.8, 3, 0.5, "text"
        self.seen: list[tuple[float, float]] = []

    def updates(self, batch: Images) -> Updates:
        self.seen.append((self.share_weight, self.count_weight))
        for name, loss in super().updates(batch):
            yield name, self.share_weight * self.count_weight * loss
