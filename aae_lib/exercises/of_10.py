"""Exercises of notebook 10: AGE."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from aae_lib.exercises.exercise import Exercise, function, number
from aae_lib.losses import fitted_gaussian_kl
from aae_lib.networks import OntoSphere
from aae_lib.seeding import seeded

M = 64


def fitted_divergence(codes: torch.Tensor) -> torch.Tensor:
    """Equation 7: the mean over the coordinates of codes [n, M] of (s^2 + m^2) / 2 - log s - 1/2."""
    mean, deviation = codes.mean(0), codes.std(0, correction=0)
    return ((deviation.square() + mean.square()) / 2 - deviation.log()).mean() - 0.5


def _with_variances(codes: torch.Tensor) -> torch.Tensor:
    mean, deviation = codes.mean(0), codes.var(0, correction=0)
    return ((deviation.square() + mean.square()) / 2 - deviation.log()).mean() - 0.5


def _of_a_sample(codes: torch.Tensor) -> torch.Tensor:
    mean, deviation = codes.mean(0), codes.std(0)
    return ((deviation.square() + mean.square()) / 2 - deviation.log()).mean() - 0.5


def _summed(codes: torch.Tensor) -> torch.Tensor:
    mean, deviation = codes.mean(0), codes.std(0, correction=0)
    return ((deviation.square() + mean.square()) / 2 - deviation.log() - 0.5).sum()


def onto_sphere(codes: torch.Tensor) -> torch.Tensor:
    """Codes [n, M], each divided by its length."""
    return codes / codes.norm(dim=1, keepdim=True)


def cosine_loss(back: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """2 minus the mean over all elements of the product of normalized codes, [n, M] and [n, M] -> a number."""
    return 2 - (F.normalize(back, dim=1) * F.normalize(z, dim=1)).mean()


def age_losses(
    encoder: torch.nn.Module, generator: torch.nn.Module, images: torch.Tensor, z: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses of the encoder (mu = 10) and of the generator (lambda = 500) for images [n, pixels] and codes [n, M].

    Both reconstruction errors are means over all elements: of absolute differences (images), of squared ones (codes).
    """
    codes, back = encoder(images), encoder(generator(z))
    image_error = (images - generator(codes)).abs().mean()
    of_encoder = fitted_gaussian_kl(codes) - fitted_gaussian_kl(back) + 10 * image_error
    of_generator = fitted_gaussian_kl(back) + 500 * (back - z).square().mean()
    return of_encoder, of_generator


def _changed(which: str):
    """The two losses with one mistake."""

    def losses(encoder: nn.Module, generator: nn.Module, images: torch.Tensor, z: torch.Tensor):
        if which == "one batch":
            codes, back = encoder(torch.cat([images, generator(z)])).split(len(images))
        else:
            codes, back = encoder(images), encoder(generator(z))
        image_error, code_error = 10 * (images - generator(codes)).abs().mean(), (back - z).square()
        code_error = 500 * (code_error.sum(1).mean() if which == "sum" else code_error.mean())
        game = fitted_gaussian_kl(codes) - fitted_gaussian_kl(back)
        of_encoder = image_error + (-game if which == "signs" else game)
        of_generator = fitted_gaussian_kl(back) + code_error + (image_error if which == "sees images" else 0)
        return of_encoder, of_generator

    return losses


def _networks_and_minibatch() -> tuple[nn.Module, nn.Module, torch.Tensor, torch.Tensor]:
    with seeded(0):
        encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4), OntoSphere())
        generator = nn.Sequential(nn.Linear(4, 6), nn.Sigmoid())
        return encoder, generator, torch.rand(32, 6), onto_sphere(torch.randn(32, 4))


def _codes(*shape: int, seed: int = 3) -> torch.Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 0.5


EXERCISES: dict[str, Exercise] = {
    "lowest_divergence": number(
        round((1 / M + math.log(M) - 1) / 2, 3),
        {
            "0 would need deviations of 1: on the sphere the squares of 64 coordinates add up to 1": 0.0,
            "you took 1/M for the deviation: it is the variance": (1 / M**2 + 2 * math.log(M) - 1) / 2,
            "log s is half of log(1/M), and enters with a minus": (1 / M - math.log(M) - 1) / 2,
            "the 1/2 is missing: twice too large": 1 / M + math.log(M) - 1,
        },
        because="A code on the sphere has length 1, so the squares of its $M$ coordinates add up to 1, and the "
        "variance of each is $1/M$. With $m_j = 0$ and $s_j^2 = 1/M$ the equation gives $(1/M + \\log M - 1)/2$.",
        minutes=5,
        within=0.01,
    ),
    "fitted_divergence": function(
        fitted_divergence, lambda: (_codes(64, 8),),
        {
            "`var` is the variance, and equation 7 asks for the deviation: here s^2 stands where s belongs":
                _with_variances,
            "`std` divides by n - 1: the fitted Gaussian's deviation divides by n, `correction=0`": _of_a_sample,
            "you summed over the coordinates: M times too large": _summed,
        },
        because="`var` is already squared. Squared once more and under the logarithm it gives "
        "$(s^4 + m^2)/2 - \\log s^2 - 1/2$.",
        minutes=5,
    ),
    "onto_sphere": function(
        onto_sphere, lambda: (_codes(64, 64),),
        {
            "`norm(dim=1)` has shape [64] and is broadcast along the rows: coordinate j is divided by the length of "
            "code j": lambda codes: codes / codes.norm(dim=1),
            "you divided by the lengths of columns: a code's length is that of its row":
                lambda codes: codes / codes.norm(dim=0, keepdim=True),
            "you divided by the square of the length": lambda codes: codes / codes.square().sum(1, keepdim=True),
            "you divided by one length for the whole minibatch": lambda codes: codes / codes.norm(),
        },
        because="Broadcasting lines shapes up from the right: `[64, 64] / [64]` divides column $j$ by number $j$. "
        "`keepdim=True` keeps the shape `[64, 1]`, which divides row by row. With any other batch size PyTorch "
        "would have raised an error; a minibatch as large as $M$ is the one case in which nothing is said.",
        minutes=10,
    ),
    "cosine_loss": function(
        cosine_loss, lambda: (_codes(6, 10), _codes(6, 10, seed=4)),
        {
            "that is the mean cosine of the codes: without the division by M, M times as strong":
                lambda back, z: 2 - F.cosine_similarity(back, z, dim=1).mean(),
            "the codes are not divided by their lengths": lambda back, z: 2 - (back * z).mean(),
            "you summed over all elements": lambda back, z: 2 - F.cosine_similarity(back, z, dim=1).sum(),
        },
        because="On the sphere $\\lVert y - z \\rVert^2 = 2 - 2 \\cos$, so the mean squared difference of elements is "
        "$(2 - 2 \\cos) / M$, and this loss is $2 - 1/M$ plus **half** of it. So the official $\\lambda = 1000$ is a "
        "`code_weight` of 500.",
        minutes=10,
    ),
    "age_losses": function(
        age_losses, _networks_and_minibatch,
        {
            "the encoder's game has its signs exchanged: it must spread real codes and squeeze generated ones":
                _changed("signs"),
            "real and generated images went through the encoder in one batch: batch-norm mixes them":
                _changed("one batch"),
            "the image error is in the generator's loss, too: it must not see an image": _changed("sees images"),
            "the code's error is summed over coordinates: M times too large": _changed("sum"),
        },
        because="The codes of generated images serve both losses, with opposite signs. In training each loss moves its "
        "own network only (`loss.backward(inputs=weights)`), and each update takes new codes $z$.",
        minutes=20,
    ),
}  # fmt: skip
