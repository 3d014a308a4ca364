"""Exercises of notebook 06: semi-supervised classification."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.exercises.exercise import Exercise, function, outcome
from aae_lib.networks import multilayer_perceptron
from aae_lib.seeding import seeded


def two_entropies(label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean entropy of each image's label, and the entropy of all together, in nats: probabilities [n, classes]."""
    of_each = torch.special.entr(label).sum(dim=1).mean()
    of_all = torch.special.entr(label.mean(dim=0)).sum()
    return of_each, of_all


def error_of_the_rest(confidence: torch.Tensor, wrong: torch.Tensor, share: float) -> float:
    """Error in percent without the least confident digits: floats [n], booleans [n], a share in [0, 1)."""
    kept = confidence.argsort()[int(len(confidence) * share) :]
    return 100 * wrong[kept].double().mean().item()


def gradient_penalty(
    discriminator: nn.Module, real: torch.Tensor, fake: torch.Tensor, shares: torch.Tensor
) -> torch.Tensor:
    """The mean of (slope - 1)^2 at places between real and fake codes [n, d]: shares [n] of the way from fake to real.

    The slope is the length of the gradient of the discriminator's logit. The result has a gradient of its own.
    """
    between = torch.lerp(fake, real, shares[:, None]).requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(between).sum(), between, create_graph=True)
    return (gradient.norm(dim=1) - 1).square().mean()


def label_loss(encoder: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The classification loss of update 4: the encoder's first ten outputs are the logits of y."""
    logits = encoder(images)[:, :10]
    return F.cross_entropy(logits, labels)


def _labels_of_images() -> tuple[Tensor]:
    with seeded(0):
        return ((3 * torch.randn(50, 10)).softmax(1),)


def _confidences() -> tuple[Tensor, Tensor, float]:
    generator = torch.Generator().manual_seed(1)
    confidences = (torch.randperm(200, generator=generator) / 200).sqrt()
    return confidences, torch.rand(200, generator=generator) > confidences, 0.15


def _rejected(confidence: Tensor, wrong: Tensor, share: float) -> tuple[Tensor, int]:
    kept = confidence.argsort()[int(len(confidence) * share) :]
    return wrong[kept].sum(), len(wrong)


# The gradient penalty


def _codes() -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    with seeded(0):
        discriminator = multilayer_perceptron(10, 1, (32, 32), deviation=None)
        return discriminator, F.one_hot(torch.arange(10).repeat(4), 10).float(), torch.rand(40, 10), torch.rand(40)


def _penalized(answer: Callable) -> object:
    """The answer's penalty, and its gradient for the discriminator's first weights."""
    discriminator, *codes = _codes()
    penalty = answer(discriminator, *codes)
    if not isinstance(penalty, Tensor):
        return penalty
    first = next(discriminator.parameters())
    moved = torch.autograd.grad(penalty, first)[0] if penalty.ndim == 0 and penalty.requires_grad else None
    return penalty.detach(), moved


def _wrong_with_penalty(found: object) -> str:
    if not isinstance(found, tuple) or not isinstance(found[0], Tensor) or found[0].ndim:
        return "one number is expected, a tensor without dimensions"
    for sentence, slip in PENALTY_SLIPS.items():
        if slip is not _as_a_constant and torch.allclose(found[0], _penalized(slip)[0], rtol=1e-3):
            return sentence
    penalty, moved = _penalized(gradient_penalty)
    if not torch.allclose(found[0], penalty, rtol=1e-3):
        return f"not yet: {penalty.item():.4f} is expected, found {found[0].item():.4f}"
    if found[1] is None or not torch.allclose(found[1], moved, rtol=1e-2, atol=1e-6):
        return next(iter(PENALTY_SLIPS))
    return ""


def _slopes(discriminator: nn.Module, places: Tensor) -> Tensor:
    places = places.detach().requires_grad_()
    return torch.autograd.grad(discriminator(places).sum(), places, create_graph=True)[0]


def _as_a_constant(discriminator: nn.Module, real: Tensor, fake: Tensor, shares: Tensor) -> Tensor:
    return (_slopes(discriminator, torch.lerp(fake, real, shares[:, None])).detach().norm(dim=1) - 1).square().mean()


PENALTY_SLIPS: dict[str, Callable] = {
    "the number is right, but no gradient reaches the discriminator: take the slope with `create_graph=True`":
        _as_a_constant,
    "one length for the whole minibatch: take that of each code's gradient": lambda d, real, fake, shares: (
        _slopes(d, torch.lerp(fake, real, shares[:, None])).norm() - 1).square(),
    "at the fake codes: the places lie between fake and real": lambda d, real, fake, shares: (
        _slopes(d, fake).norm(dim=1) - 1).square().mean(),
    "the wrong way round: a share of 0 is the fake code": lambda d, real, fake, shares: (
        _slopes(d, torch.lerp(real, fake, shares[:, None])).norm(dim=1) - 1).square().mean(),
    "a slope of 1 costs nothing, not one of 0": lambda d, real, fake, shares: (
        _slopes(d, torch.lerp(fake, real, shares[:, None])).square().sum(dim=1).mean()),
}  # fmt: skip


# The bug


def _encoder_and_digits() -> tuple[nn.Module, Tensor, Tensor]:
    with seeded(0):
        return multilayer_perceptron(784, 20, (16,), deviation=None), 3 * torch.rand(30, 784), torch.arange(30) % 10


def _softmax_twice(encoder: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    probabilities = F.softmax(encoder(images)[:, :10], dim=1)
    return F.cross_entropy(probabilities, labels)


def _no_logarithm(encoder: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return F.nll_loss(F.softmax(encoder(images)[:, :10], dim=1), labels)


EXERCISES: dict[str, Exercise] = {
    "two_entropies": function(
        two_entropies, _labels_of_images,
        {
            "the two are exchanged": lambda label: two_entropies(label)[::-1],
            "these are bits: the natural logarithm is expected":
                lambda label: tuple(each / torch.tensor(2.0).log() for each in two_entropies(label)),
            "both are means over the images: average the probabilities first for the second":
                lambda label: (two_entropies(label)[0],) * 2,
        },
        because="The order of mean and entropy is the whole difference. The first is 0 if each image is decided, "
        "the second $\\log 10$ if all together use the ten labels evenly. `entr(p)` is $-p \\log p$, and 0 at 0, "
        "where `-p * p.log()` is nan.",
        minutes=5,
    ),
    "error_of_the_rest": function(
        error_of_the_rest, _confidences,
        {
            "divided by all digits: divide by those that are kept":
                lambda *given: 100 * _rejected(*given)[0] / _rejected(*given)[1],
            "the most confident were rejected: sort the other way round":
                lambda confidence, wrong, share: error_of_the_rest(-confidence, wrong, share),
            "a share, not percent": lambda *given: error_of_the_rest(*given) / 100,
            "the error among the rejected": lambda confidence, wrong, share: error_of_the_rest(
                -confidence, wrong, 1 - share),
        },
        because="Sorted by confidence, the first digits are the doubtful ones. Only the order counts, so a "
        "confidence that is too high does no harm.",
        minutes=10,
    ),
    "gradient_penalty": outcome(
        gradient_penalty, _penalized, _wrong_with_penalty, PENALTY_SLIPS,
        because="A discriminator with slopes near 1 can neither be flat nor a cliff, so the generator always has a "
        "gradient of fair size (Gulrajani et al. 2017). `create_graph=True` keeps the graph of the slope: the penalty "
        "is a loss, and its own gradient, through the slope, must reach the discriminator's weights.",
        minutes=25,
    ),
    "label_loss": function(
        label_loss, _encoder_and_digits,
        {
            "a softmax too many: the loss never falls below 1.461, and a confident error gets almost no gradient":
                _softmax_twice,
            "a logarithm is missing: nll_loss expects log-probabilities": _no_logarithm,
        },
        because="`cross_entropy` takes logits and has a softmax of its own. The encoder's softmax makes $y$ for the "
        "decoder and the label's adversary; the classification loss takes what goes into it.",
        minutes=10,
    ),
}  # fmt: skip
