"""The space of codes that an explorer moves in: where images and the prior lie in it, and what its codes decode to."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aae_lib.data import Images, check_images, load_mnist
from aae_lib.devices import device_of, evaluation
from aae_lib.errors import DataError, ModelError, PriorError, ShapeError
from aae_lib.metrics import derivatives, prior_samples
from aae_lib.models import Model
from aae_lib.priors import AroundHeads, Gaussian, LabelAndStyle, UniformSphere, great_circle
from aae_lib.shapes import in_words, pixels_of, shape_of

POINTS = 2_000  # codes of images, samples of the prior
JACOBIANS = 480  # directional derivatives of decoded images, which decide what directions of a long code are seen
FITTED = 0.99  # the share of the codes that the first view shows, along either axis
INK = 0.2  # the mean of pixels below which images are ink on paper, such as digits; others are pictures


class Space:
    """A model's codes as *coordinates* ``[n, d]``, float64, along orthonormal directions: first the two of the plane.

    Codes of two dimensions are their own coordinates. Longer ones are seen along the directions in which the decoded
    image changes most: the eigenvectors of the mean of J^T J, where J is the Jacobian of the decoder, the largest
    eigenvalue first. Where the decoder takes a one-hot label beside a style, codes are styles.

    Attributes:
        prior, samples: of these codes, or None, and samples of it, ``[m, d]``.
        seen_prior: the prior in the plane, or None where it is not known; a Gaussian is one in any plane.
        classes: the number of labels that the decoder takes; 0: none.
        codes, labels: of ``images``, ``[n, d]`` and ``[n]``; none if the model has no encoder.

    Args:
        model: any with codes of at least two dimensions. It is used in evaluation mode and given back as it was.
        images: held-out ones, of which the first 2,000 are used; None: MNIST's test images.

    Raises:
        ModelError, PriorError: no model with a decoder; neither an encoder nor a prior.
        DataError, ShapeError: no images, or codes or decoded images that are not finite; images or codes of the wrong
            size.
    """

    def __init__(self, model: Model, images: Images | None = None) -> None:
        if not isinstance(model, Model) or (type(model).decode is Model.decode and not hasattr(model, "decoder")):
            remedy = "give its `model`" if hasattr(model, "model") else "explore one that makes images"
            raise ModelError(f"expected an aae_lib.Model with a decoder, found a {type(model).__name__}: {remedy}")
        self.model, self.device, prior = model, device_of(model), model.prior
        told = type(model).code_of is not Model.code_of  # its codes hold the images' labels
        images = load_mnist().test if images is None else images
        self.images = check_images(images, model, classes=prior.classes if told else None)[:POINTS].to("cpu")
        self.prior, self.classes = (prior.style, prior.classes) if isinstance(prior, LabelAndStyle) else (prior, 0)
        codes, self.labels = self._codes()
        self.dimensions = codes.shape[1]
        if self.dimensions < 2:
            raise ShapeError("the explorer draws a plane, but these codes have 1 dimension: explore longer ones")
        self.seen_prior = self.prior
        if self.dimensions > 2:
            is_gaussian = isinstance(self.prior, Gaussian)
            self.seen_prior = Gaussian(2, self.prior.standard_deviation) if is_gaussian else None
        self.on_sphere = isinstance(self.prior, UniformSphere) and self.dimensions > 2  # a circle lies in its plane
        samples = codes[:0] if self.prior is None else prior_samples(self.prior, POINTS)
        seen = self._directions_of_change(samples if len(samples) else codes) if self.dimensions > 2 else torch.eye(2)
        self.directions = seen.double()
        self.codes, self.samples = self.coordinates_of(codes), self.coordinates_of(samples)
        path = getattr(self.prior, "walk", None)
        self.walk = path and (lambda shares: self.coordinates_of(path(shares)))
        # The middle of a plane, but of longer codes that is nothing usual.
        self.start = torch.zeros(2).double() if self.dimensions == 2 else torch.cat([self.samples, self.codes])[0]
        decoded = self.decode(self.start[None]).shape[1]
        self.shape = self.images.shape or shape_of(decoded)
        if decoded != pixels_of(self.shape):
            raise ShapeError(f"this model decodes to {decoded} numbers, but the images are {in_words(self.shape)}")
        self.is_ink = self.shape[0] == 1 and float(self.images.images.mean()) < INK

    def decode(self, coordinates: Tensor, label: int | Tensor = 0) -> np.ndarray:
        """The images ``[n, pixels]``, float32, of coordinates ``[n, d]``, with one label or a label each."""
        codes = self.codes_at(coordinates)
        if self.classes:
            codes = torch.cat([F.one_hot(torch.as_tensor(label), self.classes).expand(len(codes), -1), codes], 1)
        with evaluation(self.model):
            images = self.model.decode(codes.to(self.device)).float().cpu()
        return _finite(images, "decoder").numpy()

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Codes ``[n, d]`` of images ``[n, pixels]``; where the encoder gives them, labels and their probabilities."""
        with evaluation(self.model):
            output = _finite(self.model.encode(images.to(self.device)).float().cpu(), "encoder")
        if self.classes and output.shape[1] == self.model.prior.dimensions:
            probabilities, codes = self.model.prior.split(output)
            return codes, probabilities.argmax(1), probabilities
        return output, self.prior.nearest_class(output) if isinstance(self.prior, AroundHeads) else None, None

    def coordinates_of(self, codes: Tensor) -> Tensor:
        """Coordinates of codes, both ``[n, d]``; on the sphere a code is divided by its length."""
        coordinates = codes.double() @ self.directions.T
        return F.normalize(coordinates, dim=1) if self.on_sphere else coordinates

    def codes_at(self, coordinates: Tensor) -> Tensor:
        """Codes, float32, of coordinates, both ``[n, d]``."""
        return (coordinates.double() @ self.directions).float()

    def onto_sphere(self, coordinates: Tensor, part: slice) -> Tensor:
        """If codes lie on the unit sphere, the coordinates ``[d]`` outside of ``part`` scaled to lie on it."""
        if not self.on_sphere:
            return coordinates
        kept = torch.zeros(self.dimensions, dtype=torch.bool)
        kept[part] = True
        rest = coordinates.masked_fill(kept, 0.0)
        if not rest.any():
            rest[int(kept.logical_not().nonzero()[0])] = 1.0
        # Not quite 0 where it should be: the rest must not forget where it came from, for the way back.
        left = (1 - coordinates[part].square().sum()).clamp_min(1e-12).sqrt()
        return coordinates.where(kept, left * F.normalize(rest, dim=0, eps=1e-300))

    def between(self, way: str, start: Tensor | None, end: Tensor | None, share: float) -> Tensor:
        """The place ``[d]`` on a way from one place to another before which this share of it lies.

        ``way`` is "line", "circle" (a great circle), or "walk": the prior's own, without a place from or to its end.
        No walk, or a circle to the opposite point, raises a PriorError, and a place that is missing a ShapeError.
        """
        if way == "walk":
            if self.walk is None:
                raise PriorError("this model's prior has no walk: choose another way")
            shares = torch.linspace(0, 1, 401)
            points = self.walk(shares)
            low, high = (
                free if place is None else float(shares[(points - place).norm(dim=1).argmin()])
                for place, free in ((start, 0.0), (end, 1.0))
            )
            return self.walk(torch.tensor([low + share * (high - low)]))[0]
        if start is None or end is None:
            raise ShapeError("the way needs two pins: `explorer.pins = [3, 12]` sets them, to the codes of two digits")
        if way == "line" and not self.on_sphere:
            return torch.lerp(start, end, share)
        circle = great_circle(F.normalize(start, dim=0), F.normalize(end, dim=0))
        return circle(torch.tensor([share]))[0] * torch.lerp(start.norm(), end.norm(), share)

    def view(self) -> tuple[float, float, float]:
        """Center and half of the side of the square that the plane shows at first: nearly all codes and samples."""
        tails = torch.tensor([(1 - FITTED) / 2, (1 + FITTED) / 2], dtype=torch.float64)
        ends = [torch.quantile(points[:, :2], tails, dim=0) for points in (self.codes, self.samples) if len(points)]
        low, high = torch.stack(ends).amin((0, 1)), torch.stack(ends).amax((0, 1))
        (x, y), half = ((low + high) / 2).tolist(), float((high - low).max()) / 2
        return x, y, 1.05 * max(half, 1e-3)

    def _codes(self) -> tuple[Tensor, Tensor]:
        try:
            codes, labels, _ = self.encode(self.images.images)
        except NotImplementedError:
            if self.prior is None:
                raise PriorError("this model has neither an encoder nor a prior: it has no codes to explore") from None
            return torch.empty(0, self.prior.dimensions), self.images.labels[:0]
        if self.prior is not None and codes.shape[1] != self.prior.dimensions:
            raise ShapeError(f"this model's codes have {codes.shape[1]} dimensions, its prior {self.prior.dimensions}")
        return codes, self.images.labels.clamp_min(0) if labels is None else labels

    def _directions_of_change(self, codes: Tensor) -> Tensor:
        """Orthonormal directions of codes, ``[d, d]``, the one in which the decoded image changes most first."""
        codes = codes[: max(16, JACOBIANS // self.dimensions)].to(self.device)
        every_label = torch.eye(max(self.classes, 1), device=self.device)[:, : self.classes]
        label = every_label[torch.arange(len(codes)) % len(every_label)]

        def decode(codes: Tensor) -> Tensor:
            codes = F.normalize(codes, dim=1) if self.on_sphere else codes  # no way leads off the sphere
            return self.model.decode(torch.cat([label, codes], 1))

        with evaluation(self.model):
            jacobians = torch.stack([derivative.flatten() for derivative in derivatives(decode, codes)]).double()
        directions = torch.linalg.eigh(jacobians @ jacobians.T).eigenvectors.cpu().T.flip(0)  # eigenvalues ascend
        largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
        return directions * largest.sign()  # an eigenvector has no sign of its own


def _finite(numbers: Tensor, network: str) -> Tensor:
    if not numbers.isfinite().all():
        raise DataError(f"the {network} gives numbers that are not finite: the model is damaged, or has diverged")
    return numbers
