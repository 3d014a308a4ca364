"""What the front end gets of a model: a small description for JSON, and all arrays in blocks of bytes."""

import gzip
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from contourpy import contour_generator
from torch import Tensor, nn

from aae_lib import models
from aae_lib.devices import evaluation
from aae_lib.errors import ShapeError
from aae_lib.explore.networks import Layer, Pack, UnsupportedLayer, layers_of
from aae_lib.explore.space import Space
from aae_lib.priors import AroundHeads
from aae_lib.report.drawing import MASSES, judgment, plane_grid, prior_contours

SAMPLES = 1_000  # of the prior
STEPS = 400  # of the walk through the prior
JUDGED = 96  # points along a side, at which D(z) is taken

Curve = Mapping[str, Sequence[float]]

# What the encoder's numbers are, by the method that makes codes of them. Networks of other methods stay in the kernel.
FORMS = {
    models.Model.encode: "code",
    models.VariationalAutoencoder.encode: "code",  # followed by the log-variance
    models.AdversariallyLearnedInference.encode: "code",
    models.ClusteringAutoencoder.encode: "label and style",
    models.ReducingAutoencoder.encode: "label and offset",
    models.SemiSupervisedVariationalAutoencoder.encode: "label, then style",
}


def describe(space: Space, title: str, about: str = "") -> tuple[dict[str, Any], list[bytes]]:
    """The description of a model; its arrays and, apart, the images behind its codes, both compressed with gzip.

    A network that the browser cannot run is described as ``"kernel"``, and one that is not there as None.
    """
    pack, pictures, prior = Pack(), Pack(), space.prior
    description = {
        "title": title,
        "about": about or ("" if prior is None else f"Prior: {prior}"),
        "shape": space.shape,
        "ink": space.is_ink,
        "dimensions": space.dimensions,
        "classes": space.classes,
        "names": space.images.class_names,
        "clusters": isinstance(space.model, models.ClusteringAutoencoder) and not hasattr(space.model, "classify"),
        "sphere": space.on_sphere,
        "view": space.view(),
        "directions": pack.add(space.directions),
        "codes": pack.add(space.codes),
        "labels": pack.add(space.labels.short()),
        "digits": pictures.add(space.images.labels.short()),
        "images": pictures.add(_in_bytes(space.images.images)),
        "samples": pack.add(space.samples[:SAMPLES]),
        "contours": _contours(space, pack),
        "masses": MASSES[::-1],
        "walk": pack.add(space.walk(torch.linspace(0, 1, STEPS + 1))) if space.walk else None,
        "heads": pack.add(space.coordinates_of(prior.positions)) if isinstance(prior, AroundHeads) else None,
        "judge": _judgment(space, pack),
        "decoder": _in_browser(_decoder, space, pack),
        "encoder": _in_browser(_encoder, space, pack) if len(space.codes) else None,
    }
    return description, [gzip.compress(each.content, 6, mtime=0) for each in (pack, pictures)]


def describe_curve(curve: Curve | None, models: int) -> dict[str, Any] | None:
    """The names of a curve's axes, and a point for each model; a ShapeError if its numbers do not fit."""
    if curve is None:
        return None
    if not isinstance(curve, Mapping) or len(curve) != 2:
        raise ShapeError(f"expected two quantities by their names, with a number for each model, found {curve!r:.80}")
    x, y = (floats(values, models, name) for name, values in curve.items())
    return {"names": list(curve), "points": list(zip(x, y, strict=True))}


def floats(value: Sequence[float], count: int, name: str) -> tuple[float, ...]:
    """``count`` finite numbers, or a ShapeError."""
    try:
        numbers = tuple(float(number) for number in value)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ShapeError(f"{name} must be {count} finite numbers, not {value!r:.80}")
    return numbers


def _in_browser(describe_network: Callable[[Space, Pack], Any], space: Space, pack: Pack) -> Any:
    try:
        return describe_network(space, pack)
    except UnsupportedLayer:
        return "kernel"


def _decoder(space: Space, pack: Pack) -> list[Layer]:
    """Layers, the sigmoid of whose numbers is the image."""
    model, numbers = space.model, torch.linspace(-3, 3, 7)
    if type(model).decode is not models.Model.decode or not model.output(numbers).equal(numbers.sigmoid()):
        raise UnsupportedLayer("images are made in another way")
    return layers_of(model.decoder, pack)


def _encoder(space: Space, pack: Pack) -> dict[str, Any]:
    """The form of the code and what it needs."""
    model, form = space.model, FORMS.get(type(space.model).encode)
    if form is None:
        raise UnsupportedLayer("codes are made in another way")
    return {
        "form": form,
        "labels": 0 if form == "code" else model.prior.classes,
        "network": layers_of(model.encoder, pack),
        "classifier": layers_of(model.classifier, pack) if form == "label, then style" else None,
        "heads": pack.add(model.prior.positions) if form == "label and offset" else None,
    }


def _reach(space: Space) -> float:
    """Half of the side of a square around the first view, with room to zoom out."""
    x, y, half = space.view()
    return 1.5 * (max(abs(x), abs(y)) + half)


def _contours(space: Space, pack: Pack) -> list[Any]:
    """The lines around the shares MASSES of the prior, the largest first: ``[n, 2]`` each, NaN between two lines."""
    contours = prior_contours(space.seen_prior, _reach(space))
    if not contours:
        return []
    side, log_density, levels = contours
    generator, gap = contour_generator(side, side, log_density), np.full((1, 2), np.nan)
    lines = [[part for line in generator.lines(level) for part in (line, gap)] for level in levels]
    return [pack.add(np.concatenate(parts)) for parts in lines]


def _judgment(space: Space, pack: Pack) -> dict[str, Any] | None:
    """D(z), the probability of *real*, in 255ths in the plane, if the model still has a discriminator of its codes."""
    network = getattr(space.model, "discriminator", getattr(space.model, "style_discriminator", None))
    first = network[0] if isinstance(network, nn.Sequential) else None
    if not isinstance(first, nn.Linear) or space.dimensions != 2 or isinstance(space.prior, AroundHeads):
        return None  # it judges images, or offsets from heads, or longer codes
    beside = first.in_features - 2  # of the label-informed autoencoder: a switch, whose last number means no label
    if beside not in (0, getattr(space.prior, "classes", 0) + 1):
        return None
    half = _reach(space)
    grid = F.pad(plane_grid(half, JUDGED)[1], (0, beside))
    grid[:, 2:][:, -1:] = 1
    with evaluation(space.model):
        return {"half": half, "values": pack.add(_in_bytes(judgment(network, grid)))}


def _in_bytes(shares: Tensor) -> np.ndarray:
    return (255 * shares.clamp(0, 1)).round().byte().numpy()
