"""Exercises of notebook 07: clustering."""

import math

import torch

from aae_lib.exercises.exercise import Exercise, function
from aae_lib.metrics import error_percent, majority_names


def mutual_information(probabilities: torch.Tensor) -> torch.Tensor:
    """What a label tells about an image, in nats, from q(y|x) of images, [n, K]: a number."""
    of_all = torch.special.entr(probabilities.mean(dim=0)).sum()
    of_each = torch.special.entr(probabilities).sum(dim=1).mean()
    return of_all - of_each


def smallest_error(sizes: list[int], clusters: int) -> float:
    """The error in percent of the best sorting into equal clusters: images of each digit, number of clusters."""
    capacity = sum(sizes) / clusters
    right = [0.0 for _ in sizes]
    for _ in range(clusters):
        gains = [min(size - done, capacity) for size, done in zip(sizes, right, strict=True)]
        best = max(range(len(sizes)), key=gains.__getitem__)
        right[best] += gains[best]
    return 100 * (1 - sum(right) / sum(sizes))


def one_to_one_error(clusters: torch.Tensor, digits: torch.Tensor) -> float:
    """The error in percent if each digit may name one cluster only, by the best such choice; both [n], integers."""
    from scipy.optimize import linear_sum_assignment

    table = torch.zeros(int(digits.max()) + 1, int(clusters.max()) + 1)
    table.index_put_((digits, clusters), torch.ones(len(digits)), accumulate=True)
    rows, columns = linear_sum_assignment(table.numpy(), maximize=True)
    return 100 * (1 - float(table[rows, columns].sum()) / len(digits))


def clustering_error(probabilities: torch.Tensor, digits: torch.Tensor, naming: int) -> float:
    """The test error in percent of clusters: q(y|x) [n, K] and digits [n], of which the first `naming` give names."""
    clusters = probabilities.argmax(dim=1)
    names = majority_names(clusters[:naming], digits[:naming], probabilities.shape[1])
    return error_percent(names[clusters[naming:]], digits[naming:])


def _named_by_all(probabilities: torch.Tensor, digits: torch.Tensor, naming: int) -> float:
    clusters = probabilities.argmax(dim=1)
    names = majority_names(clusters, digits, probabilities.shape[1])
    return error_percent(names[clusters], digits)


def _measured_on(part: slice):
    """The slip of measuring the error on these images, named by the first ones."""

    def error(probabilities: torch.Tensor, digits: torch.Tensor, naming: int) -> float:
        clusters = probabilities.argmax(dim=1)
        names = majority_names(clusters[:naming], digits[:naming], probabilities.shape[1])
        return error_percent(names[clusters[part]], digits[part])

    return error


def _table(clusters: torch.Tensor, digits: torch.Tensor) -> torch.Tensor:
    return torch.stack([digits[clusters == cluster].bincount(minlength=10) for cluster in clusters.unique()], dim=1)


def _probabilities() -> tuple[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return ((2 * torch.randn(200, 16, generator=generator)).softmax(1),)


def _clusters_and_digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Twelve clusters of ten digits; most fours and nines share one cluster, and the zeros have three."""
    generator = torch.Generator().manual_seed(1)
    digits = torch.arange(10).repeat(60)
    clusters = torch.where(digits == 9, 4, digits)
    clusters = torch.where(digits == 0, torch.tensor([0, 10, 11])[torch.arange(600) % 3], clusters)
    astray = torch.rand(600, generator=generator) < 0.2
    return torch.where(astray, torch.randint(12, (600,), generator=generator), clusters), digits


def _labels_of_a_model() -> tuple[torch.Tensor, torch.Tensor, int]:
    """A hundred images in forty clusters, few of which have many images; the first half names them."""
    generator = torch.Generator().manual_seed(1)
    digits = torch.randint(10, (100,), generator=generator)
    logits = torch.randn(100, 40, generator=generator)
    logits[torch.arange(100), digits] += 3
    return logits.softmax(1), digits, 50


EXERCISES: dict[str, Exercise] = {
    "mutual_information": function(
        mutual_information, _probabilities,
        {
            "that is the entropy of all images together: an undecided label has it, too":
                lambda q: torch.special.entr(q.mean(0)).sum(),
            "that is the entropy of each image: subtract it from that of all":
                lambda q: torch.special.entr(q).sum(1).mean(),
            "the sign is wrong: what is told is the entropy of all less that of each":
                lambda q: torch.special.entr(q).sum(1).mean() - torch.special.entr(q.mean(0)).sum(),
            "these are bits: nats need the natural logarithm": lambda q: mutual_information(q) / math.log(2),
            "you averaged over the clusters, too: 16 times too small": lambda q: mutual_information(q) / q.shape[1],
        },
        because="The entropy of all images together is what one does not know before an image is seen, and the mean "
        "entropy of each is what one does not know afterward. The difference is what the label has told. It is 0 if "
        "$q(y|x)$ is the same for all images, decided or not, and at most $\\log K$.",
        minutes=5,
    ),
    "clustering_error": function(
        clustering_error, _labels_of_a_model,
        {
            "the measured images have named the clusters, too: with one cluster for each image this error would be 0":
                _named_by_all,
            "you measured the images that gave the names: take the others": _measured_on(slice(50)),
            "you measured all images, those that gave the names, too": _measured_on(slice(None)),
        },
        because="An image that names its cluster makes this cluster right for itself. So names come from the first "
        "images, and errors from the others. A cluster in which no naming image lies has the name -1, and all its "
        "images count as wrong.",
        minutes=10,
    ),
    "smallest_error": function(
        smallest_error, lambda: ([500, 300, 100, 60, 40], 7),
        {
            "a digit gets more images right than it has: it gains at most what is left of it": lambda s, k: 0.0,
            "each digit got as many clusters as the others: the next one goes to the digit that gains most":
                lambda s, k: 100 * (1 - sum(min(size, k // len(s) * sum(s) / k) for size in s) / sum(s)),
            "this is a share: 100 times too small for percent": lambda s, k: smallest_error(s, k) / 100,
            "this is how much can be right, not how much must be wrong": lambda s, k: 100 - smallest_error(s, k),
        },
        because="To give the clusters away one by one is right, because each further cluster gains a digit at most as "
        "much as the one before.",
        minutes=15,
    ),
    "one_to_one_error": function(
        one_to_one_error, _clusters_and_digits,
        {
            "several clusters have the same name: that is the majority rule":
                lambda c, d: 100 * (1 - float(_table(c, d).max(0).values.sum()) / len(d)),
            "two digits have taken the same cluster: choose for all digits together":
                lambda c, d: 100 * (1 - float(_table(c, d).max(1).values.sum()) / len(d)),
            "this is a share: 100 times too small for percent": lambda c, d: one_to_one_error(c, d) / 100,
        },
        because="`linear_sum_assignment` is the Hungarian algorithm: of all ways to give each digit a cluster of its "
        "own it finds the best one. Papers on deep clustering report this as *clustering accuracy*, with as many "
        "clusters as classes. With more clusters than digits it counts every image in a further cluster as wrong, so "
        "it punishes a model for the two kinds of sixes that it has found.",
        minutes=20,
    ),
}  # fmt: skip
