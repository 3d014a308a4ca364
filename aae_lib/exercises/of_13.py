"""Exercises of notebook 13: AGE in color."""

import torch

from aae_lib.exercises.exercise import Exercise, function, number
from aae_lib.seeding import seeded


def mean_class_score(logits: torch.Tensor) -> torch.Tensor:
    """exp of the mean over pictures of KL(p(y|x) || p(y)), of a classifier's logits [n, classes]."""
    p = logits.softmax(dim=1)
    of_all = p.mean(dim=0)
    return (p * (p / of_all).log()).sum(dim=1).mean().exp()


def fine_share(picture: torch.Tensor, least: int) -> torch.Tensor:
    """Share of a gray picture's power, without its mean, in waves of `least` or more periods across it; [n, n]."""
    n = len(picture)
    power = torch.fft.fft2(picture - picture.mean()).abs().square()
    waves = n * torch.fft.fftfreq(n)
    radius = (waves[:, None].square() + waves.square()).sqrt()
    return power[radius >= least].sum() / power.sum()


def _logits() -> tuple[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (3 * torch.randn(40, 10, generator=generator) + torch.arange(10) / 3,)


def _score(logits: torch.Tensor, dim: int = 0, of_each: bool = False, root: bool = False) -> torch.Tensor:
    p = logits.softmax(dim=1)
    kl = (p * (p / p.mean(dim=dim, keepdim=True)).log()).sum(dim=1)
    if of_each:
        return kl.exp().mean()
    return kl.mean() if root else kl.mean().exp()


def _picture() -> tuple[torch.Tensor, int]:
    with seeded(0):
        return torch.rand(16, 16).cumsum(0) / 4 + torch.rand(16, 16), 5


def _fine(picture: torch.Tensor, least: int, centered: bool = True, squared: bool = True, negative: bool = True):
    n = len(picture)
    spectrum = torch.fft.fft2(picture - picture.mean() * centered).abs()
    power = spectrum.square() if squared else spectrum
    waves = n * torch.fft.fftfreq(n) if negative else torch.arange(n).float()
    radius = (waves[:, None].square() + waves.square()).sqrt()
    return power[radius >= least].sum() / power.sum()


EXERCISES: dict[str, Exercise] = {
    "numbers_for_each_of_the_code": number(
        24.0,
        {
            "an image in color has three numbers a pixel": 8.0,
            "the other way round: a code has 128 numbers, an image 3,072": 128 / 3072,
            "that is how many numbers an image has; divide by those of a code": 3072.0,
        },
        because="3 x 32 x 32 = 3,072 numbers, and 128 of a code. For digits it was 784 / 64 = 12.",
        minutes=1,
    ),
    "weight_of_the_code": number(
        500.0,
        {
            "the official code's own number, but 1 - cos is half a squared distance": 1000.0,
            "divided by 128, but the mean squared error is divided by 128 as well": 1000 / 128,
            "twice instead of half: |z - z'|^2 = 2 - 2 cos": 2000.0,
        },
        because="On the sphere |z - z'|² = 2 - 2 cos, so cos / 128 = 1 / 128 - ½ (mean squared error): a weight of "
        "1,000 before the cosine is one of 500 before the mean squared error.",
        minutes=10,
    ),
    "mean_class_score": function(
        mean_class_score, _logits,
        {
            "`p.mean(dim=1)` is the mean over classes, which is 1/10 for every picture: then the score never asks "
            "whether all classes occur, and copies of one clear picture get the best one":
                lambda logits: _score(logits, dim=1),
            "the mean comes first, then the exponential": lambda logits: _score(logits, of_each=True),
            "the exponential is missing": lambda logits: _score(logits, root=True),
        },
        because="p(y) is the mean of p(y|x) over the *pictures*. With the mean over classes the score only asks "
        "whether the classifier is sure, and a generator of one perfect frog would have the best score there is.",
        minutes=10,
    ),
    "fine_share": function(
        fine_share, _picture,
        {
            "the mean of the picture is still there: it has nearly all of the power":
                lambda picture, least: _fine(picture, least, centered=False),
            "power is the square of the amplitude": lambda picture, least: _fine(picture, least, squared=False),
            "beyond the middle `fft2` counts waves that run the other way: use `torch.fft.fftfreq`":
                lambda picture, least: _fine(picture, least, negative=False),
        },
        because="`fft2` returns one amplitude for each pair of frequencies; those beyond the middle are negative ones. "
        "The power is the squared amplitude (Parseval: its sum is that of the squared pixels).",
        minutes=15,
    ),
}  # fmt: skip
