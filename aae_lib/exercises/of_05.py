"""Exercises of notebook 05: style and content."""

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from aae_lib.data import Images, load_sample
from aae_lib.exercises.exercise import Exercise, function
from aae_lib.experiments import load_trained
from aae_lib.models import SupervisedAutoencoder


def written_as(model: SupervisedAutoencoder, images: torch.Tensor, label: int) -> torch.Tensor:
    """The digit ``label`` in the style of each image: [n, 784] -> [n, 784]."""
    one_hot = F.one_hot(torch.full((len(images),), label), 10).float()
    return model.decode(torch.cat([one_hot, model.encode(images)], dim=1))


def knob(model: SupervisedAutoencoder, measure: Callable, label: int) -> torch.Tensor:
    """The unit vector [style dimensions] along which ``measure`` ([n, 784] -> [n]) grows fastest, at style 0."""
    one_hot = F.one_hot(torch.tensor([label]), 10).float()
    style = torch.zeros(1, model.prior.style.dimensions, requires_grad=True)
    measured = measure(model.decode(torch.cat([one_hot, style], dim=1))).sum()
    (gradient,) = torch.autograd.grad(measured, style)
    return gradient[0] / gradient.norm()


def separation(styles: torch.Tensor, measured: torch.Tensor) -> float:
    """How well each measure has an axis of its own: styles [n, d] and measures [n, k] of n images -> from 0 to 1."""
    dimensions = styles.shape[1]
    correlations = torch.corrcoef(torch.cat([styles, measured], dim=1).T)[:dimensions, dimensions:]
    best = correlations.square().sort(dim=0, descending=True).values  # [d, k]
    return (best[0] - best[1]).mean().item()


def reconstructed(encoder: Callable, decoder: Callable, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Images as the decoder draws them from their labels and styles: [n, 784] and integers [n] -> [n, 784]."""
    one_hot = torch.zeros(len(labels), 10).scatter(1, labels[:, None], 1.0)
    return decoder(torch.cat([one_hot, encoder(images)], dim=1))


@cache
def _model(name: str) -> SupervisedAutoencoder:
    return load_trained(name).model


@cache
def _digits() -> Images:
    return load_sample().test


def _sevens() -> tuple[SupervisedAutoencoder, Tensor, int]:
    digits = _digits()
    return _model("supervised-2d"), digits.images[digits.labels == 7][:20], 4


def _ink_of_fours() -> tuple[SupervisedAutoencoder, Callable, int]:
    return _model("supervised"), lambda images: images.sum(1), 4


def _with_the_label(model: SupervisedAutoencoder, measure: Callable, label: int) -> Tensor:
    code = F.one_hot(torch.tensor([label]), 10 + model.prior.style.dimensions).float().requires_grad_()
    (gradient,) = torch.autograd.grad(measure(model.decode(code)).sum(), code)
    return gradient[0] / gradient.norm()


def _styles_and_measures() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    styles = torch.randn(300, 3, generator=generator)
    mixed = torch.tensor([[1.0, 0.3, 0.0, 0.4], [-0.2, -0.9, 0.5, 0.1], [0.1, 0.0, -0.5, 0.2]])
    return styles, styles @ mixed + 0.5 * torch.randn(300, 4, generator=generator)


def _sorted(styles: Tensor, measured: Tensor, dim: int = 0, power: int = 2) -> Tensor:
    dimensions = styles.shape[1]
    correlations = torch.corrcoef(torch.cat([styles, measured], dim=1).T)[:dimensions, dimensions:]
    return correlations.abs().pow(power).sort(dim=dim, descending=True).values.movedim(dim, 0)


def _gap(sizes: Tensor) -> Tensor:
    return (sizes[0] - sizes[1]).mean()


def _told() -> tuple[Callable, Callable, Tensor, Tensor]:
    model, digits = _model("supervised-2d"), _digits()[:20]
    return model.encode, model.decode, digits.images.clone(), digits.labels.clone()


def _untold(encoder: Callable, decoder: Callable, images: Tensor, labels: Tensor) -> Tensor:
    one_hot = torch.zeros(len(labels), 10)
    one_hot.scatter(1, labels[:, None], 1.0)
    return decoder(torch.cat([one_hot, encoder(images)], dim=1))


EXERCISES: dict[str, Exercise] = {
    "written_as": function(
        written_as, _sevens,
        {
            "the code is the label first, then the style":
                lambda model, images, label: model.decode(
                    torch.cat([model.encode(images), F.one_hot(torch.full((len(images),), label), 10).float()], 1)),
            "these are reconstructions with the label 7: the decoder needs the other label":
                lambda model, images, label: written_as(model, images, 7),
            "all images have the same style: encode each":
                lambda model, images, label: written_as(model, images[:1].expand_as(images), label),
        },
        because="The style comes from the image and the label from you. The decoder never met most of these pairs "
        "in training.",
        minutes=5,
    ),
    "knob": function(
        knob, _ink_of_fours,
        {
            "the gradient is that of the whole code: without the ten numbers of the label, or the 4 turns into a digit "
            "with more ink": _with_the_label,
            "downhill: along it the measure falls": lambda model, measure, label: -knob(model, measure, label),
            "a unit vector is expected: divide by the length":
                lambda model, measure, label: 3 * knob(model, measure, label),
        },
        because="The gradient of a measure with respect to the style is the direction of its steepest growth. It goes "
        "through the decoder, and the label stays as it is.",
        minutes=15,
    ),
    "separation": function(
        separation, _styles_and_measures,
        {
            "correlations are squared": lambda *both: _gap(_sorted(*both, power=1)),
            "the two best axes of each measure, not the two best measures of each axis":
                lambda *both: _gap(_sorted(*both, dim=1)),
            "the best axis alone: subtract the second best": lambda *both: _sorted(*both)[0].mean(),
            "the mean over the measures, not the sum": lambda *both: 4 * _gap(_sorted(*both)),
        },
        because="This is the SAP score (Kumar et al. 2018) for measures that are numbers: a squared correlation is "
        "the share of a measure's variance that an axis explains. If two axes explain it equally well, "
        "the gap is 0: the measure has no axis of its own.",
        minutes=25,
    ),
    "reconstructed": function(
        reconstructed, _told,
        {
            "the decoder ignores the labels: `scatter` without underscore returns a new tensor, which is dropped, "
            "and all ten entries stay 0": _untold,
            "the code is the label first, then the style":
                lambda encoder, decoder, images, labels: decoder(
                    torch.cat([encoder(images), F.one_hot(labels, 10).float()], 1)),
        },
        because="`scatter` leaves its tensor as it is; `scatter_` writes into it. Python does not warn of a result "
        "that nobody keeps. `F.one_hot(labels, 10).float()` cannot go wrong in this way.",
        minutes=10,
    ),
}  # fmt: skip
