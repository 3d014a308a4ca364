"""Priors p(z): the distributions that the codes of an adversarial autoencoder are pushed toward.

An adversarial autoencoder only ever *samples* its prior (AAE, sections 2 and 2.1), so a prior is any object with

* ``dimensions``: the length d of a code, and
* ``sample(count, device)``: a float32 tensor ``[count, d]`` drawn with torch's global random-number generator.

Two methods are optional. ``log_prob(codes)``, ``[n, d] -> [n]``: a variational autoencoder needs it, and the pictures
draw contours with it. ``walk(shares)``, ``[n]`` in [0, 1] -> ``[n, d]``: codes on a continuous path through the prior,
from its start, 0, to its end, 1; the explorer moves along it.

A prior made of classes is a :class:`ClassConditionalPrior`.

Samples and densities are written without matrix products, which the training loop would multiply in bfloat16.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C._functorch import get_unwrapped, is_batchedtensor


class PriorError(ValueError):
    """A prior that cannot be used as asked: its samples are broken, or it lacks the density or the parts needed."""


class Prior(ABC):
    """A distribution over codes of ``dimensions`` numbers. Subclasses implement :meth:`sample`."""

    dimensions: int

    @abstractmethod
    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        """Draw ``count`` codes ``[count, dimensions]`` from torch's global random-number generator."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Gaussian(Prior):
    """The isotropic Gaussian N(0, s^2 I).

    Args:
        dimensions: length of a code, at least 1.
        standard_deviation: s > 0. The papers' values: 1 for style codes (AAE, appendix A.2.1), 5 for the 8-D
            code of the likelihood experiment (A.1).
    """

    def __init__(self, dimensions: int = 2, standard_deviation: float = 1.0):
        if dimensions < 1 or not standard_deviation > 0:
            raise PriorError(
                f"Gaussian needs dimensions >= 1 and standard_deviation > 0, not {dimensions} and {standard_deviation}"
            )
        self.dimensions, self.standard_deviation = dimensions, standard_deviation

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return self.standard_deviation * torch.randn(count, self.dimensions, device=device)

    def log_prob(self, codes: Tensor) -> Tensor:
        """Log-density of each code: ``[n, dimensions]`` -> ``[n]``, in nats."""
        scaled = codes.square().sum(1) / self.standard_deviation**2
        return -0.5 * (scaled + self.dimensions * math.log(2 * math.pi * self.standard_deviation**2))


class ClassConditionalPrior(Prior):
    """A prior made of ``classes`` equally likely parts. Subclasses implement :meth:`sample_of_class`.

    ``nearest_class(codes)``, ``[n, dimensions] -> [n]``, is optional: the part to which each code belongs, with which
    one counts how many codes lie where their label should.
    """

    classes: int

    @abstractmethod
    def sample_of_class(self, labels: Tensor) -> Tensor:
        """One code from the part of each label, ``[n] -> [n, dimensions]``, on the device of the labels.

        Raises:
            PriorError: if the labels are not integers from 0 to ``classes`` - 1 in one dimension; on a GPU their values
                are not looked at.
        """

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return self.sample_of_class(torch.randint(self.classes, (count,), device=device))

    def check_labels(self, labels: Tensor) -> None:
        """Raise the error of :meth:`sample_of_class`: a negative label would, in silence, be that of another part.

        On a GPU the labels' values are not looked at, because each step would have to wait for them.
        """
        # Inside torch.func.vmap a label is that of many runs, which Python cannot compare: those as they are can be.
        plain = get_unwrapped(labels) if is_batchedtensor(labels) else labels
        if labels.ndim != 1 or labels.is_floating_point() or labels.dtype == torch.bool:
            found = f"{labels.dtype} of shape {tuple(labels.shape)}"
        elif len(labels) and not labels.is_cuda and not 0 <= plain.min() <= plain.max() < self.classes:
            found = f"labels from {plain.min()} to {plain.max()}"
        else:
            return
        raise PriorError(f"{type(self).__name__} needs integer labels [n] from 0 to {self.classes - 1}, not {found}")


class GaussianMixture(ClassConditionalPrior):
    """Ten long and narrow 2-D Gaussians of equal weight, arranged like petals (AAE, Figures 2b and 4a).

    Component k lies at angle 2 pi k / 10 and points away from the center. The paper does not give the numbers; these
    are the ones that public implementations share (musyoku's ``aae/sampler.py`` and others).

    Attributes:
        shift: distance of a component's mean from the center.
        deviations: of a component, along its long axis (radially) and across it.
    """

    dimensions, classes = 2, 10
    shift, deviations = 1.4, (0.5, 0.05)

    def sample_of_class(self, labels: Tensor) -> Tensor:
        return self.place(torch.randn(*labels.shape, 2, device=labels.device), labels)

    def place(self, standard: Tensor, labels: Tensor) -> Tensor:
        """Codes at given places of components: what turns standard Gaussian numbers into samples.

        Args:
            standard: ``[n, 2]``, along and across the component, each in its standard deviations from the mean.
            labels: ``[n]``, the components.
        """
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
        """The component that is most likely to have drawn each code: ``[n, 2] -> [n]``."""
        return self.component_log_probs(codes).argmax(1)

    def walk(self, shares: Tensor) -> Tensor:
        """Codes on the circle of the means, from component 0 over 1, 2 ... 9 back to 0.

        ``[n]`` in [0, 1] -> ``[n, 2]``. The mean of component k is passed at share k / 10, and a tenth of the way is
        nearest to it. Between two means the path crosses the gap between their petals, where the prior has almost no
        mass: what the decoder shows there, no training image has taught it. To see that is why the walk goes this way.
        """
        return _circle(self.shift, shares)


class SwissRoll(ClassConditionalPrior):
    """A spiral of two turns that reaches out to radius 3; each tenth of its samples is a class (AAE, Figure 4c).

    A share u of the samples lies before radius 3 sqrt(u), at angle 4 pi sqrt(u); the first tenth is class 0, and so
    on. The paper does not give the numbers; these are the ones that public implementations share (as above).

    Args:
        width: standard deviation of Gaussian noise across the roll, at least 0. Public implementations have none. But
            no encoder hits a curve without width exactly, so a discriminator can always tell, and the game goes astray.
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
        """Points of the roll, from its center outward, by the share of samples that lie before each.

        ``[n]`` in [0, 1] -> ``[n, 2]``. Class k is passed between the shares k / 10 and (k + 1) / 10.
        """
        root = shares.sqrt()
        angle = 4 * math.pi * root
        return torch.stack([3 * root * angle.cos(), 3 * root * angle.sin()], 1)

    def nearest_class(self, codes: Tensor) -> Tensor:
        """The tenth that holds the point of the roll nearest to each code: ``[n, 2] -> [n]``.

        The roll is replaced by 2,000 of its points, of which no two neighbors are more than 0.04 apart.
        """
        points = self.walk((torch.arange(2000, device=codes.device) + 0.5) / 2000)
        distances = torch.cdist(codes.float(), points, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.argmin(1) // (2000 // self.classes)


class Categorical(ClassConditionalPrior):
    """One-hot codes, each class as likely as the other (AAE, section 5). They are points and have no density.

    Args:
        classes: number of classes and length of a code, at least 2.
    """

    def __init__(self, classes: int = 10):
        if classes < 2:
            raise PriorError(f"Categorical needs classes >= 2, not {classes}")
        self.dimensions = self.classes = classes

    def sample_of_class(self, labels: Tensor) -> Tensor:
        self.check_labels(labels)
        return F.one_hot(labels.long(), self.classes).float()

    def nearest_class(self, codes: Tensor) -> Tensor:
        """The class whose one-hot code is nearest to each code: ``[n, classes] -> [n]``."""
        return codes.argmax(1)


class LabelAndStyle(ClassConditionalPrior):
    """A one-hot label y and, independent of it, a style z: codes ``[y, z]`` (AAE, section 5).

    Args:
        label: the distribution of y.
        style: the distribution of z.
    """

    def __init__(self, label: Categorical, style: Prior):
        self.label, self.style = label, style
        self.classes, self.dimensions = label.classes, label.dimensions + style.dimensions

    def sample_of_class(self, labels: Tensor) -> Tensor:
        return torch.cat([self.label.sample_of_class(labels), self.style.sample(len(labels), labels.device)], 1)

    def nearest_class(self, codes: Tensor) -> Tensor:
        """The most probable label of each code: ``[n, dimensions] -> [n]``."""
        return codes[:, : self.classes].argmax(1)

    def split(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Codes ``[n, dimensions]`` as label ``[n, classes]`` and style ``[n, style.dimensions]``."""
        return codes[:, : self.classes], codes[:, self.classes :]


class AroundHeads(ClassConditionalPrior):
    """Codes around the heads of clusters: the head of a random label, plus a style (AAE, section 7).

    Args:
        label: the distribution of the label.
        style: the distribution of the style.
        heads: ``[classes, dimensions]``; where a model learns them, its parameter, so that the distribution follows.
    """

    def __init__(self, label: Categorical, style: Gaussian, heads: Tensor):
        self.label, self.style, self.heads = label, style, heads
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
        return self.component_log_probs(codes).logsumexp(1) - math.log(self.classes)

    def nearest_class(self, codes: Tensor) -> Tensor:
        """The label of the head nearest to each code: ``[n, dimensions] -> [n]``."""
        return self.component_log_probs(codes).argmax(1)

    def walk(self, shares: Tensor) -> Tensor:
        """Codes on straight lines from head 0 to head 1, 2 ... and back to 0: ``[n]`` in [0, 1] -> ``[n, dimensions]``.

        Head k is passed at share k / classes.
        """
        places = shares * self.classes
        start = places.long() % self.classes
        positions, part = self.positions.to(shares.device), (places - places.floor())[:, None]
        return (1 - part) * positions[start] + part * positions[(start + 1) % self.classes]


class UniformSquare(Prior):
    """The uniform distribution on the square from -a to a in both dimensions.

    Args:
        half_side: a > 0.
    """

    dimensions = 2

    def __init__(self, half_side: float = 2.0):
        if not half_side > 0:
            raise PriorError(f"UniformSquare needs half_side > 0, not {half_side}")
        self.half_side = half_side

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return self.half_side * (2 * torch.rand(count, 2, device=device) - 1)

    def log_prob(self, codes: Tensor) -> Tensor:
        """Log-density of each code: ``[n, 2] -> [n]``, in nats; -inf outside of the square."""
        inside = codes.abs().amax(1) <= self.half_side
        return torch.where(inside, -2 * math.log(2 * self.half_side), -math.inf)


class Ring(Prior):
    """A circle with a little width: the angle is uniform, and the distance from the center Gaussian.

    Args:
        radius: mean distance from the center, > 0.
        width: standard deviation of the distance, > 0.
    """

    dimensions = 2

    def __init__(self, radius: float = 2.0, width: float = 0.1):
        if not (radius > 0 and width > 0):
            raise PriorError(f"Ring needs radius > 0 and width > 0, not {radius} and {width}")
        self.radius, self.width = radius, width

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        angle = 2 * math.pi * torch.rand(count, device=device)
        distance = self.radius + self.width * torch.randn(count, device=device)
        return torch.stack([distance * angle.cos(), distance * angle.sin()], 1)

    def log_prob(self, codes: Tensor) -> Tensor:
        """Log-density of each code: ``[n, 2] -> [n]``, in nats.

        A negative distance lands on the other side of the center, so a code at distance r comes from r and from -r.
        """
        distance = codes.norm(dim=1)
        scaled = (torch.stack([distance, -distance]) - self.radius) / self.width
        of_distance = (-0.5 * scaled.square()).logsumexp(0) - math.log(self.width * math.sqrt(2 * math.pi))
        return of_distance - distance.log() - math.log(2 * math.pi)  # spread over the circle of that radius

    def walk(self, shares: Tensor) -> Tensor:
        """Codes once around the middle of the ring, from the first axis back to it: ``[n]`` in [0, 1] -> ``[n, 2]``."""
        return _circle(self.radius, shares)


class UniformSphere(Prior):
    """The uniform distribution on the unit sphere, which is a surface and has no density in space (AGE, section 2).

    Args:
        dimensions: length of a code, at least 2 (a circle).
    """

    def __init__(self, dimensions: int):
        if dimensions < 2:
            raise PriorError(f"UniformSphere needs dimensions >= 2, not {dimensions}")
        self.dimensions = dimensions

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return F.normalize(torch.randn(count, self.dimensions, device=device), dim=1)


def straight_line(start: Tensor, end: Tensor) -> Callable[[Tensor], Tensor]:
    """The straight path from one code ``[d]`` to another: the shares of it that lie before, ``[n]`` -> ``[n, d]``."""
    return lambda shares: torch.lerp(start, end, shares[:, None].to(start.dtype))


def great_circle(start: Tensor, end: Tensor) -> Callable[[Tensor], Tensor]:
    """The shortest path on the unit sphere from one code ``[d]`` to another: as :func:`straight_line`.

    Raises:
        ValueError: the two are opposite points, between which all great circles are equally short.
    """
    along = start @ end
    across = end - along * start
    if across.norm() < 1e-6 and along < 0:
        raise ValueError("the way to the opposite point of the sphere is equally short in every direction")
    angle, across = torch.atan2(across.norm(), along), F.normalize(across, dim=0)

    def path(shares: Tensor) -> Tensor:
        angles = shares[:, None].to(start.dtype) * angle
        return angles.cos() * start + angles.sin() * across

    return path


def check_prior(prior: Prior) -> float:
    """Draw 1,000 samples from ``prior``, refuse what cannot be a prior, and return its variance (mean over dimensions).

    Raises:
        PriorError: naming what ``sample`` returned and what it should return.
    """
    with seeded(0):
        samples = prior.sample(1000, "cpu")
    expected = (1000, prior.dimensions)
    if not isinstance(samples, Tensor) or tuple(samples.shape) != expected or samples.dtype != torch.float32:
        found = f"{tuple(samples.shape)} of {samples.dtype}" if isinstance(samples, Tensor) else type(samples).__name__
        raise PriorError(
            f"{type(prior).__name__}.sample(1000) must return a float32 tensor of shape {expected}, but returned "
            f"{found}"
        )
    if not samples.isfinite().all():
        raise PriorError(f"{type(prior).__name__}.sample(1000) holds NaN or infinite values")
    with seeded(0):
        if not torch.equal(prior.sample(1000, "cpu"), samples):
            raise PriorError(
                f"{type(prior).__name__}.sample draws other samples for the same seed: no run could be had again. Draw "
                "with torch's global generator, for instance with torch.randn"
            )
    variance = samples.var(0)
    if not (variance > 0).all():
        raise PriorError(
            f"{type(prior).__name__}.sample(1000) is constant in dimension {int(variance.argmin())}: "
            "codes matched to it would carry nothing about the image"
        )
    return float(variance.mean())


def _circle(radius: float, shares: Tensor) -> Tensor:
    """Points of a circle around the center, by the share of it that lies before each: ``[n]`` -> ``[n, 2]``."""
    angle = 2 * math.pi * shares
    return radius * torch.stack([angle.cos(), angle.sin()], 1)


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Inside, torch's random numbers are those of ``seed``; afterwards the caller's go on where they were.

    Those of the CPU and, if ``device`` is one, of that GPU.
    """
    device = torch.device(device)
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(gpus):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach every GPU
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield
