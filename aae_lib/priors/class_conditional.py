"""Priors made of classes: mixture, swiss roll, one-hot labels, labels beside a style, and styles around heads."""

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from aae_lib.errors import PriorError
from aae_lib.priors.continuous import Gaussian
from aae_lib.priors.paths import circle
from aae_lib.priors.prior import Prior


class ClassConditionalPrior(Prior):
    """A prior made of ``classes`` parts. Subclasses implement :meth:`sample_of_class`.

    ``nearest_class(codes)``, ``[n, dimensions] -> [n]``, is optional: the part that each code most likely belongs to.

    Attributes:
        probabilities: of the classes; None: all are equally likely.
    """

    classes: int
    probabilities: tuple[float, ...] | None = None

    @abstractmethod
    def sample_of_class(self, labels: Tensor) -> Tensor:
        """One code from the part of each label, ``[n] -> [n, dimensions]``, on the device of the labels.

        Raises:
            PriorError: if the labels are not integers from 0 to ``classes`` - 1 in one dimension. On a GPU their values
                are not checked, because each step would have to wait for them.
        """

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        if self.probabilities is None:
            return self.sample_of_class(torch.randint(self.classes, (count,), device=device))
        weights = torch.tensor(self.probabilities, device=device)
        return self.sample_of_class(weights.multinomial(count, replacement=True))

    def log_probabilities(self, device: torch.device) -> Tensor:
        """The logarithms of the classes' probabilities, ``[classes]``."""
        if self.probabilities is None:
            return torch.full((self.classes,), -math.log(self.classes), device=device)
        return torch.tensor(self.probabilities, device=device).log()

    def check_labels(self, labels: Tensor) -> None:
        """Raise the error of :meth:`sample_of_class`: a negative label would, in silence, mean another part."""
        if labels.ndim != 1 or labels.is_floating_point() or labels.dtype == torch.bool:
            found = f"{labels.dtype} of shape {tuple(labels.shape)}"
        elif len(labels) and not labels.is_cuda and not 0 <= labels.min() <= labels.max() < self.classes:
            found = f"labels from {labels.min()} to {labels.max()}"
        else:
            return
        raise PriorError(f"{type(self).__name__} needs integer labels [n] from 0 to {self.classes - 1}, not {found}")


class GaussianMixture(ClassConditionalPrior):
    """Ten long and narrow 2-D Gaussians of equal weight, arranged like petals (AAE, Figures 2b and 4a).

    Component k lies at angle 2 pi k / 10 and points away from the center. The paper does not give the numbers; these
    are the ones that public implementations share (musyoku's ``aae/sampler.py`` and others).
    """

    dimensions, classes = 2, 10
    shift = 1.4  # of a component's mean from the center
    deviations = (0.5, 0.05)  # of a component, along its long axis and across it

    def sample_of_class(self, labels: Tensor) -> Tensor:
        return self.place(torch.randn(*labels.shape, 2, device=labels.device), labels)

    def place(self, standard: Tensor, labels: Tensor) -> Tensor:
        """Codes ``[n, 2]`` at places ``[n, 2]`` along and across components ``[n]``, in deviations from their means."""
        self.check_labels(labels)
        angle = 2 * math.pi * labels / self.classes
        along, across = self.shift + self.deviations[0] * standard[:, 0], self.deviations[1] * standard[:, 1]
        return torch.stack([along * angle.cos() - across * angle.sin(), along * angle.sin() + across * angle.cos()], 1)

    def component_log_probs(self, codes: Tensor) -> Tensor:
        """Log-density of each code under each component alone: ``[n, 2] -> [n, 10]``, in nats."""
        angle = 2 * math.pi * torch.arange(self.classes, device=codes.device) / self.classes
        x, y = codes[:, :1], codes[:, 1:]
        along = (x * angle.cos() + y * angle.sin() - self.shift) / self.deviations[0]
        across = (y * angle.cos() - x * angle.sin()) / self.deviations[1]
        return -0.5 * (along.square() + across.square()) - math.log(2 * math.pi * math.prod(self.deviations))

    def log_prob(self, codes: Tensor) -> Tensor:
        """Log-density of each code: ``[n, 2] -> [n]``, in nats."""
        return self.component_log_probs(codes).logsumexp(1) - math.log(self.classes)

    def nearest_class(self, codes: Tensor) -> Tensor:
        return self.component_log_probs(codes).argmax(1)

    def walk(self, shares: Tensor) -> Tensor:
        """Codes on the circle of the means: it crosses the gaps, where no image has taught the decoder anything."""
        return circle(self.shift, shares)


class SwissRoll(ClassConditionalPrior):
    """A spiral of two turns that reaches out to radius 3; each tenth of its samples is a class (AAE, Figure 4c).

    A share u of the samples lies before radius 3 sqrt(u), at angle 4 pi sqrt(u); the first tenth is class 0, and so
    on. The paper does not give the numbers; these are the ones that public implementations share (as above).

    Args:
        width: standard deviation of Gaussian noise across the roll, at least 0. Public implementations have none. But
            no encoder hits a curve without width exactly, so the discriminator always wins and training goes astray.
            Noise *along* the roll would carry samples into the next tenth.
    """

    dimensions, classes = 2, 10

    def __init__(self, width: float = 0.0):
        if width < 0:
            raise PriorError(f"SwissRoll needs width >= 0, not {width}")
        self.width = width

    def sample_of_class(self, labels: Tensor) -> Tensor:
        self.check_labels(labels)
        shares = (labels + torch.rand(len(labels), device=labels.device)) / self.classes
        points = self.walk(shares)
        if not self.width:
            return points
        # In polar coordinates the roll runs in the direction (1, angle), so (angle, -1) is perpendicular to it.
        angle = 4 * math.pi * shares.sqrt()
        outward = torch.stack([angle * angle.cos() + angle.sin(), angle * angle.sin() - angle.cos()], 1)
        normal = outward / (1 + angle.square()).sqrt()[:, None]
        return points + self.width * torch.randn(len(labels), 1, device=labels.device) * normal

    def walk(self, shares: Tensor) -> Tensor:
        """Points of the roll from its center outward, by the share of samples before each."""
        root = shares.sqrt()
        angle = 4 * math.pi * root
        return torch.stack([3 * root * angle.cos(), 3 * root * angle.sin()], 1)

    def nearest_class(self, codes: Tensor) -> Tensor:
        """The tenth that holds the nearest of 2,000 points of the roll, at most 0.04 apart."""
        points = self.walk((torch.arange(2000, device=codes.device) + 0.5) / 2000)
        distances = torch.cdist(codes.float(), points, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.argmin(1) // (2000 // self.classes)


class Categorical(ClassConditionalPrior):
    """One-hot codes (AAE, section 5). They are points and have no density.

    Args:
        classes: number of classes and length of a code, at least 2.
        probabilities: of the classes, each above 0 and together 1; None: all are equally likely.
    """

    def __init__(self, classes: int = 10, probabilities: Sequence[float] | None = None):
        if classes < 2:
            raise PriorError(f"Categorical needs classes >= 2, not {classes}")
        self.dimensions = self.classes = classes
        if probabilities is not None:
            self.probabilities = given = tuple(map(float, probabilities))
            if len(given) != classes or not min(given) > 0 or not math.isclose(sum(given), 1, abs_tol=1e-6):
                raise PriorError(f"Categorical needs {classes} probabilities above 0, together 1, not {probabilities}")

    def sample_of_class(self, labels: Tensor) -> Tensor:
        self.check_labels(labels)
        return F.one_hot(labels.long(), self.classes).float()

    def nearest_class(self, codes: Tensor) -> Tensor:
        return codes.argmax(1)


class LabelAndStyle(ClassConditionalPrior):
    """A one-hot label y and, independent of it, a style z: codes ``[y, z]`` (AAE, section 5)."""

    def __init__(self, label: Categorical, style: Prior):
        self.label, self.style, self.probabilities = label, style, label.probabilities
        self.classes, self.dimensions = label.classes, label.dimensions + style.dimensions

    def sample_of_class(self, labels: Tensor) -> Tensor:
        return torch.cat([self.label.sample_of_class(labels), self.style.sample(len(labels), labels.device)], 1)

    def nearest_class(self, codes: Tensor) -> Tensor:
        return self.split(codes)[0].argmax(1)

    def split(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Codes ``[n, dimensions]`` as label ``[n, classes]`` and style ``[n, style.dimensions]``."""
        return codes[:, : self.classes], codes[:, self.classes :]


class AroundHeads(ClassConditionalPrior):
    """Codes around the heads of clusters: the head of a random label, plus a style (AAE, section 7).

    If ``heads``, ``[classes, dimensions]``, are a model's parameter, the distribution follows what it learns.
    """

    def __init__(self, label: Categorical, style: Gaussian, heads: Tensor):
        self.label, self.style, self.heads, self.probabilities = label, style, heads, label.probabilities
        self.classes, self.dimensions = label.classes, style.dimensions

    @property
    def positions(self) -> Tensor:
        """The heads as they are now, ``[classes, dimensions]``, float32 on the CPU."""
        return self.heads.detach().float().cpu().clone()

    def sample_of_class(self, labels: Tensor) -> Tensor:
        self.check_labels(labels)
        return self.positions.to(labels.device)[labels.long()] + self.style.sample(len(labels), labels.device)

    def component_log_probs(self, codes: Tensor) -> Tensor:
        """Log-density of each code around each head alone: ``[n, dimensions] -> [n, classes]``, in nats."""
        return torch.stack([self.style.log_prob(codes - head) for head in self.positions.to(codes.device)], dim=1)

    def log_prob(self, codes: Tensor) -> Tensor:
        """Log-density of each code: ``[n, dimensions] -> [n]``, in nats."""
        return (self.component_log_probs(codes) + self.log_probabilities(codes.device)).logsumexp(1)

    def nearest_class(self, codes: Tensor) -> Tensor:
        return self.component_log_probs(codes).argmax(1)

    def walk(self, shares: Tensor) -> Tensor:
        """Codes on straight lines from head to head and back to head 0; head k is passed at share k / classes."""
        places = shares * self.classes
        start = places.long() % self.classes
        positions, part = self.positions.to(shares.device), (places - places.floor())[:, None]
        return (1 - part) * positions[start] + part * positions[(start + 1) % self.classes]
