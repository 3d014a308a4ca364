"""A trained model used on pictures: codes and reconstructions, samples, and a walk from one picture to another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from aae_lib.data import Images, check_images
from aae_lib.data.pictures import image_of
from aae_lib.errors import AaeError, DataError, PriorError, SettingError, ShapeError, StorageError
from aae_lib.experiments.measures import in_batches, label_probabilities
from aae_lib.experiments.trained import Trained
from aae_lib.metrics import prior_samples
from aae_lib.models import LabelInformedAutoencoder, Model
from aae_lib.priors import ClassConditionalPrior, UniformSphere, great_circle, straight_line
from aae_lib.seeding import check_seed, seeded
from aae_lib.shapes import Shape

CENTERED = ("MNIST", "MNIST-sample", "QMNIST", "EMNIST")  # light ink on black, its center of mass in the middle
MOST = 10_000  # samples at once


@dataclass(frozen=True, eq=False)
class Encoded:
    """What a trained model makes of ``n`` pictures.

    Attributes:
        images: the pictures as the model sees them, labeled with the most probable class or cluster, or with -1.
        probabilities: of these labels, ``[n]``; None: the model gives none.
        codes: ``[n, d]``, as the decoder takes them; d is 0 for a model without an encoder.
        reconstructions: ``[n, pixels]``; None: the model does not encode and decode.
    """

    images: Images
    probabilities: Tensor | None
    codes: Tensor
    reconstructions: Tensor | None


def load_pictures(trained: Trained, paths: Sequence[str | Path]) -> Images:
    """Files of pictures in the size and channels that a model was trained on.

    Where that was MNIST or a relative, the ink of a picture, dark or light, is centered and scaled as MNIST's is. Else
    a picture is resized, and inverted if the training images were.

    Raises:
        DataError: no path, or a picture that cannot be read.
        ShapeError: a model of tables, or a digit without ink.
    """
    shape, is_digit = _shape(trained), trained.header["data_name"].partition("/")[0] in CENTERED
    found = []
    for path in paths:
        try:
            found.append(image_of(str(path), shape, is_digit, trained.header.get("inverted", False)))
        except ShapeError as error:
            raise ShapeError(f"{path}: {error}") from error
    if not found:
        raise DataError("expected at least one picture, found none: name its file")
    names = tuple(trained.header.get("class_names") or ())
    return Images(torch.stack(found), torch.full((len(found),), -1), shape, names)


@torch.no_grad()
def encode_pictures(trained: Trained, paths: Sequence[str | Path]) -> Encoded:
    """Codes, labels and reconstructions of pictures, by :func:`load_pictures`; the same at each call.

    A decoder that is told the label gets the one whose reconstruction is nearest to the picture.

    Raises:
        AaeError: the model has neither an encoder nor a classifier; or as :func:`load_pictures`.
        StorageError: the reconstructions are not finite.
    """
    model, images = trained.model, check_images(load_pictures(trained, paths), trained.model)
    if not hasattr(model, "encoder") and not hasattr(model, "classify"):
        raise AaeError(f"{trained.experiment.name!r} has no encoder, so pictures have no codes: choose another model")
    codes, labels, probabilities = torch.empty(len(images), 0), images.labels, None
    if hasattr(model, "encoder"):
        with seeded(0):
            codes, labels = _codes(model, images)
    if hasattr(model, "classify"):
        probabilities, labels = in_batches(model.classify, images.images, model).softmax(1).max(1)
    elif hasattr(model, "logits_and_style"):
        probabilities, labels = label_probabilities(model, images).max(1)
        images = replace(images, class_names=tuple(f"cluster {k}" for k in range(model.prior.classes)))
    reconstructions = _decoded(trained, codes) if codes.shape[1] and hasattr(model, "decoder") else None
    return Encoded(replace(images, labels=labels), probabilities, codes, reconstructions)


@torch.no_grad()
def sample_images(trained: Trained, count: int = 100, seed: int = 0) -> Tensor:
    """Images decoded from samples of the prior: ``[rows, columns, pixels]``, nearly a square; the same for a seed.

    Of a prior made of classes or clusters each has a row, and where there is a style, a column has the same one.

    Args:
        count: of the images, from 1 to 10,000; rows are filled up.
        seed: from 0 to 4293.

    Raises:
        SettingError, TrainingError: another count, or another seed.
        PriorError: the model has no prior.
        ShapeError: a model of tables.
    """
    _shape(trained)
    check_seed(seed)
    prior = trained.model.prior
    if not (isinstance(count, int) and 1 <= count <= MOST):
        raise SettingError(f"expected a count of samples from 1 to {MOST:,}, found {count!r}")
    if prior is None:
        raise PriorError(f"{trained.experiment.name!r} has no prior to sample from: choose another model")
    if not isinstance(prior, ClassConditionalPrior):
        columns = math.ceil(math.sqrt(count))
        rows = math.ceil(count / columns)
        return _decoded(trained, prior_samples(prior, rows * columns, seed)).unflatten(0, (rows, columns))
    rows = []
    for label in range(prior.classes):
        with seeded(seed):
            rows.append(prior.sample_of_class(torch.full((math.ceil(count / prior.classes),), label)))
    return torch.stack([_decoded(trained, row) for row in rows])


@torch.no_grad()
def walk_between(trained: Trained, start: str | Path, end: str | Path, count: int = 60) -> Tensor:
    """Images ``[count, pixels]`` on the way from the code of a picture to that of another: a straight line, or on the
    sphere a great circle.

    Raises:
        AaeError: the model does not encode and decode, or as :func:`load_pictures`.
    """
    found = encode_pictures(trained, [start, end])
    if found.reconstructions is None:
        raise AaeError(f"{trained.experiment.name!r} does not encode and decode: choose another model")
    on_sphere = isinstance(trained.model.prior, UniformSphere)
    path = great_circle(*F.normalize(found.codes)) if on_sphere else straight_line(*found.codes)
    return _decoded(trained, path(torch.linspace(0, 1, count)))


def _codes(model: Model, images: Images) -> tuple[Tensor, Tensor]:
    """What the decoder takes for the images, ``[n, d]``, and the labels that this shows, ``[n]``, or -1."""
    if type(model).code_of is Model.code_of:
        codes = in_batches(model.encode, images.images, model)
        return codes, model.prior.nearest_class(codes) if isinstance(model, LabelInformedAutoencoder) else images.labels
    each = [model.code_of(Images(images.images, torch.full_like(images.labels, k))) for k in range(model.prior.classes)]
    errors = torch.stack([(model.decode(codes) - images.images).square().sum(1) for codes in each])
    labels = errors.argmin(0)
    return torch.stack(each)[labels, torch.arange(len(labels))], labels


def _shape(trained: Trained) -> Shape:
    """Of the images that the model was trained on."""
    if not trained.header["shape"]:
        raise ShapeError(f"{trained.experiment.name!r} was trained on a table, not on pictures: choose another model")
    return tuple(trained.header["shape"])


def _decoded(trained: Trained, codes: Tensor) -> Tensor:
    """Images of codes; a StorageError if they are not finite, as of damaged weights."""
    images = in_batches(trained.model.decode, codes, trained.model)
    if not images.isfinite().all():
        raise StorageError(f"the weights of {trained.experiment.name!r} give numbers that are not finite: train again")
    return images
