"""What the front end gets of a model: a small description for JSON, and all arrays in blocks of bytes."""

import gzip
from typing import Any

import numpy as np
import torch
from contourpy import contour_generator
from torch import Tensor, nn

from aae_lib import models
from aae_lib.explore.networks import Pack, UnsupportedLayer, layers_of
from aae_lib.explore.space import Space
from aae_lib.priors import AroundHeads
from aae_lib.report.drawing import MASSES, contour_levels
from aae_lib.shapes import pixels_of

SAMPLES = 1_000  # of the prior
STEPS = 400  # of the walk through the prior
GRID = 400  # points along a side, of which contours are made: the mixture's petals are 0.05 wide
JUDGED = 96  # points along a side, at which D(z) is taken

# What the encoder's numbers are, by the method that makes codes of them. Networks of other methods stay in the kernel.
FORMS = {
    models.Model.encode: "code",
    models.VariationalAutoencoder.encode: "code",  # followed by the log-variance
    models.AdversariallyLearnedInference.encode: "code",
    models.ClusteringAutoencoder.encode: "label and style",
    models.ReducingAutoencoder.encode: "label and offset",
    models.SemiSupervisedVariationalAutoencoder.encode: "label, then style",
}


def describe(space: Space, title: str = "", about: str = "", encoder: bool = True) -> tuple[dict, list[bytes]]:
    """The description of a model; its arrays and, apart, the images behind its codes, both compressed with gzip.

    A network that the browser cannot run is described as ``"kernel"``, and one that is not there as None. Without its
    ``encoder`` a description is half as large.
    """
    pack, pictures, prior = Pack(), Pack(), space.prior
    description = {
        "title": title or type(space.model).__name__,
        "about": about or ("" if prior is None else f"Prior: {prior}"),
        "shape": space.shape,
        "ink": space.is_ink,
        "dimensions": space.dimensions,
        "classes": space.classes,
        "clusters": type(space.model) in (models.ClusteringAutoencoder, models.ReducingAutoencoder),  # no classes
        "sphere": space.on_sphere,
        "view": space.view(),
        "directions": pack.add(space.directions),
        "codes": pack.add(space.codes),
        "labels": pack.add(space.labels.numpy().astype(np.int8)),
        "digits": pictures.add(space.images.labels.clamp(max=127).numpy().astype(np.int8)),
        "images": pictures.add(_in_bytes(space.images.images)),
        "samples": pack.add(space.samples[:SAMPLES]),
        "contours": _contours(space, pack),
        "masses": MASSES[::-1],
        "walk": pack.add(space.walk(torch.linspace(0, 1, STEPS + 1))) if space.walk else None,
        "heads": pack.add(space.coordinates_of(prior.positions)) if isinstance(prior, AroundHeads) else None,
        "judge": _judgment(space, pack),
        "decoder": _decoder(space, pack),
        "encoder": _encoder(space, pack) if encoder and len(space.codes) else None,
    }
    return description, [gzip.compress(each.content, 6, mtime=0) for each in (pack, pictures)]


def _is_known(model: models.Model) -> bool:
    """Whether images are the sigmoid of what the decoder computes, as the browser makes them."""
    numbers = torch.linspace(-3, 3, 7)
    return type(model).decode is models.Model.decode and torch.equal(model.output(numbers), numbers.sigmoid())


def _decoder(space: Space, pack: Pack) -> Any:
    try:
        return layers_of(space.model.decoder, pack) if _is_known(space.model) else "kernel"
    except UnsupportedLayer:
        return "kernel"


def _encoder(space: Space, pack: Pack) -> Any:
    """The form of the code and the networks that it needs."""
    model, form = space.model, FORMS.get(type(space.model).encode)
    encoder = {"form": form, "labels": 0 if form == "code" else getattr(model.prior, "classes", 0)}
    try:
        if form == "label, then style":
            encoder["classifier"] = layers_of(model.classifier, pack)
            return encoder | {"network": layers_of(model.encoder, pack)}
        if form == "label and offset":
            encoder["heads"] = pack.add(model.prior.positions)
        return encoder | {"network": layers_of(model.encoder, pack, pixels_of(space.shape))} if form else "kernel"
    except UnsupportedLayer:
        return "kernel"


def _square(space: Space, count: int) -> tuple[Tensor, Tensor]:
    """Places along a side, ``[count]``, and in a square around the first view; rows are the second coordinate."""
    half = 1.5 * (max(map(abs, space.view()[:2])) + space.view()[2])
    side = torch.linspace(-half, half, count)
    return side, torch.cartesian_prod(side, side).flip(1)


def _contours(space: Space, pack: Pack) -> list[Any]:
    """The lines around the shares MASSES of the prior, the largest first: ``[n, 2]`` each, NaN between two lines."""
    prior = space.seen_prior()
    levels = None if prior is None else contour_levels(prior)
    if levels is None:
        return []
    side, square = _square(space, GRID)
    density = prior.log_prob(square).reshape(GRID, GRID).clamp_min(levels[0] - 10).numpy()
    generator, gap = contour_generator(side.numpy(), side.numpy(), density), np.full((1, 2), np.nan)
    lines = [[part for line in generator.lines(level) for part in (line, gap)] for level in levels]
    return [pack.add(np.concatenate(parts).astype(np.float32)) for parts in lines]


def _judgment(space: Space, pack: Pack) -> dict[str, Any] | None:
    """D(z), the probability of *real*, in 255ths in the plane, if the model still has a discriminator of its codes."""
    network = getattr(space.model, "discriminator", getattr(space.model, "style_discriminator", None))
    first = network[0] if isinstance(network, nn.Sequential) else None
    if not isinstance(first, nn.Linear) or space.dimensions != 2 or isinstance(space.prior, AroundHeads):
        return None  # it judges images, or offsets from heads, or longer codes
    side, square = _square(space, JUDGED)
    beside = first.in_features - 2  # of the label-informed autoencoder: a switch, whose last number means no label
    if beside not in (0, getattr(space.prior, "classes", 0) + 1):
        return None
    switch = torch.zeros(len(square), beside)
    switch[:, -1:] = 1
    with space.evaluation():
        probability = network(torch.cat([square, switch], 1).to(space.device)).float().sigmoid().cpu()
    return {"half": float(side[-1]), "values": pack.add(_in_bytes(probability.reshape(JUDGED, JUDGED)))}


def _in_bytes(shares: Tensor) -> np.ndarray:
    return (255 * shares.clamp(0, 1)).round().byte().numpy()
