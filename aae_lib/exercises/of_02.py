"""Exercises of notebook 02: the adversarial autoencoder."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from aae_lib.exercises.exercise import Exercise, differing, function, number, outcome
from aae_lib.models import AdversarialAutoencoder
from aae_lib.priors import Gaussian
from aae_lib.seeding import seeded


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E log D(real) - E log(1 - D(fake)) from logits [batch, 1], finite for all of them."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def _by_logarithms(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    return -real_logits.sigmoid().log().mean() - (1 - fake_logits.sigmoid()).log().mean()


def _of_large_logits(answer: Callable) -> object:
    real, fake = [-50.0, 3.0, 1.0, 2.0, 200.0], [-200.0, -4.0, 0.5, -1.0, 100.0]
    return answer(torch.tensor(real)[:, None], torch.tensor(fake)[:, None])


def _wrong_with_loss(loss: object) -> str:
    right = _of_large_logits(discriminator_loss)
    exchanged = _of_large_logits(lambda real, fake: discriminator_loss(fake, real))
    if not (difference := differing(loss, right)):
        return ""
    if isinstance(loss, Tensor) and not loss.isfinite().all():
        return "not finite: for a logit of 100 or more the sigmoid is exactly 1, and the logarithm of 1 - 1 is -inf"
    if not differing(loss, exchanged):
        return "real and fake are exchanged"
    if not differing(loss, right / 2):
        return "half as large: the two means are added, not averaged"
    return difference


def cross_entropy(logits: Tensor, images: Tensor) -> Tensor:
    """The binary cross-entropy of logits and images [batch, 784], summed over pixels, averaged over the minibatch."""
    of_each_pixel = F.binary_cross_entropy_with_logits(logits, images, reduction="none")
    return of_each_pixel.sum(dim=1).mean()


def _logits_and_images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return 3 * torch.randn(20, 784, generator=generator), torch.rand(20, 784, generator=generator)


# The bugs


def regularization_losses(encoder: nn.Module, discriminator: nn.Module, images: Tensor, real: Tensor) -> tuple:
    """The losses of the discriminator and of the generator for images [n, 784] and samples of the prior [n, 2]."""
    code = encoder(images)
    of_real, of_codes = discriminator(real), discriminator(code.detach())
    of_discriminator = F.softplus(-of_real).mean() + F.softplus(of_codes).mean()
    of_generator = F.softplus(-discriminator(code)).mean()
    return of_discriminator, of_generator


def _detached_for_both(encoder: nn.Module, discriminator: nn.Module, images: Tensor, real: Tensor) -> tuple:
    return regularization_losses(lambda images: encoder(images).detach(), discriminator, images, real)


def _detached_for_none(encoder: nn.Module, discriminator: nn.Module, images: Tensor, real: Tensor) -> tuple:
    of_discriminator, of_generator = regularization_losses(encoder, discriminator, images, real)
    return of_discriminator + 0 * encoder(images).sum(), of_generator


def _exchanged(encoder: nn.Module, discriminator: nn.Module, images: Tensor, real: Tensor) -> tuple:
    code = encoder(images)
    of_discriminator = F.softplus(discriminator(real)).mean() + F.softplus(-discriminator(code.detach())).mean()
    return of_discriminator, F.softplus(-discriminator(code)).mean()


def _losses_and_reach(answer: Callable) -> object:
    """Both losses, and whether the encoder gets a gradient of each."""
    with seeded(2):
        encoder, discriminator = nn.Linear(20, 2), nn.Linear(2, 1)
        losses = answer(encoder, discriminator, torch.rand(30, 20), torch.randn(30, 2))
    if not isinstance(losses, tuple | list) or len(losses) != 2:
        return losses
    return losses, [torch.autograd.grad(loss, encoder.weight, allow_unused=True)[0] is not None
                    if loss.requires_grad else False for loss in losses]  # fmt: skip


def _wrong_with_losses(found: object) -> str:
    if not isinstance(found, tuple):
        return "two losses are expected: the discriminator's and the generator's"
    (losses, reaches), (right, _) = found, _losses_and_reach(regularization_losses)
    if not differing(losses[0], _losses_and_reach(_exchanged)[0][0]):
        return "real and fake are exchanged in the discriminator's loss"
    if difference := differing(losses, tuple(right)):
        return difference
    if not reaches[1]:
        return "the generator's loss does not reach the encoder, so nothing pulls the codes to the prior"
    if reaches[0]:
        return "the discriminator's loss reaches the encoder, which would learn to be told apart"
    return ""


def training_step(model: AdversarialAutoencoder, optimizers: dict[str, Optimizer], images: Tensor) -> None:
    """One step of training on images [n, 784], in place."""
    encoder, decoder, discriminator = model.encoder, model.decoder, model.discriminator
    loss = 0.5 * (decoder(encoder(images)).sigmoid() - images).square().sum(dim=1).mean()
    optimizers["reconstruction"].zero_grad()
    loss.backward()
    optimizers["reconstruction"].step()

    real, fake = torch.randn(len(images), 2), encoder(images)
    loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake.detach())).mean()
    optimizers["discriminator"].zero_grad()
    loss.backward()
    optimizers["discriminator"].step()

    loss = F.softplus(-discriminator(fake)).mean()
    optimizers["generator"].zero_grad()
    loss.backward()
    optimizers["generator"].step()


class _Silent:
    """An optimizer of which some methods do nothing."""

    def __init__(self, optimizer: Optimizer, *methods: str):
        self.optimizer, self.methods = optimizer, methods

    def __getattr__(self, name: str) -> Callable:
        return (lambda: None) if name in self.methods else getattr(self.optimizer, name)


def _without(name: str, method: str) -> Callable:
    def step(model: AdversarialAutoencoder, optimizers: Mapping[str, Optimizer], images: Tensor) -> None:
        training_step(model, {**optimizers, name: _Silent(optimizers[name], method)}, images)

    return step


def _weights_after_two_steps(answer: Callable) -> object:
    with seeded(3):
        networks = nn.Linear(20, 2), nn.Linear(2, 20), nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
        model = AdversarialAutoencoder(Gaussian(2), *networks)
        optimizers = {
            name: torch.optim.SGD([w for each in moved for w in getattr(model, each).parameters()], lr=0.1)
            for name, moved in model.moves.items()
        }
        for _ in range(2):
            answer(model, optimizers, torch.rand(30, 20))
    return torch.cat([weights.detach().flatten() for weights in model.parameters()])


STEPS = {
    "the discriminator's gradients are never set to zero: those of the generator's loss are still there, "
    "and with them the discriminator learns to be fooled": _without("discriminator", "zero_grad"),
    "nothing has moved": lambda model, optimizers, images: None,
    "the generator makes no step": _without("generator", "step"),
    "the discriminator makes no step": _without("discriminator", "step"),
}


def _wrong_with_weights(weights: object) -> str:
    if not (difference := differing(weights, _weights_after_two_steps(training_step))):
        return ""
    slips = (slip for slip, step in STEPS.items() if not differing(weights, _weights_after_two_steps(step)))
    return next(slips, difference.replace("answer", "weights"))


EXERCISES: dict[str, Exercise] = {
    "equilibrium_loss": number(
        1.3863,
        {
            "this is one of its two terms, and the generator's loss": 0.6931,
            "the logarithm is the natural one": 2.0,
            "this is D; the loss is the mean of -log D(real) plus the mean of -log(1 - D(fake))": 0.5,
        },
        because=r"Both terms are $-\log \frac12 = 0.693$, so the loss is $2 \log 2 = 1.386$.",
        within=0.01,
    ),
    "discriminator_loss": outcome(
        discriminator_loss, _of_large_logits, _wrong_with_loss,
        {
            "not finite": _by_logarithms,
            "real and fake are exchanged": lambda real, fake: discriminator_loss(fake, real),
            "the two means are added": lambda real, fake: discriminator_loss(real, fake) / 2,
        },
        because=r"`softplus(l)` is $\log(1 + e^l)$, computed without $e^l$ for a large $l$. Since "
        r"$1 - \sigma(\ell) = \sigma(-\ell)$, the second term is the first with the sign turned. "
        "`binary_cross_entropy_with_logits` with labels 1 for real and 0 for fake gives the same.",
        minutes=10,
    ),
    "cross_entropy": function(
        cross_entropy, _logits_and_images,
        {
            "you averaged over the pixels, too: 784 times too small":
                lambda logits, images: F.binary_cross_entropy_with_logits(logits, images),
            "the sigmoid is in the loss already: yours is applied twice":
                lambda logits, images: cross_entropy(logits.sigmoid(), images),
            "you summed over the minibatch, too": lambda logits, images: 20 * cross_entropy(logits, images),
        },
        because="Its gradient for a logit is $D - x$ of that pixel, without the factor $D(1-D)$ of the squared error. "
        "So wrong pixels that are nearly black or white still learn. Its scale is another, so the rates have to be "
        "chosen anew: with it the reconstruction weighs more against the adversary.",
        minutes=20,
    ),
    "regularization_losses": outcome(
        regularization_losses, _losses_and_reach, _wrong_with_losses,
        {
            "does not reach the encoder": _detached_for_both,
            "which would learn to be told apart": _detached_for_none,
            "real and fake are exchanged": _exchanged,
        },
        because="Detach the code for the discriminator alone. In three public repositories the generator's loss was "
        "detached or absent. Nothing fails: the model is a plain autoencoder with a spectator. The discriminator's "
        "loss falls far below 1.386, and the generator's rises. This package's trainer refuses such a loss.",
        minutes=10,
    ),
    "training_step": outcome(
        training_step, _weights_after_two_steps, _wrong_with_weights,
        STEPS,
        because="`backward` *adds* to the gradients that are there. The generator's loss passes through the "
        "discriminator, so its `backward` leaves gradients there. Set gradients to zero right before each `backward`, "
        "or ask for those that you need: `torch.autograd.grad(loss, parameters)`, as this package does.",
        minutes=10,
    ),
}  # fmt: skip
