"""Batch-norm statistics: no state of training, but computed anew before each evaluation."""

import torch
from torch import Tensor

from aae_lib.devices import evaluation
from aae_lib.errors import TrainingError
from aae_lib.models import Model
from aae_lib.networks import BatchNorm, has_batch_norm

PART = 1_000  # images in one forward pass
SAMPLES = 10_000  # of the prior, for the decoder


def recompute_batch_norm(model: Model, images: Tensor) -> None:
    """Set the batch-norm statistics of ``model`` in one pass: encoder over ``images``, decoder over prior samples.

    Statistics gathered while training mix many past weights, and real with generated images. The model's
    ``adversaries`` judge minibatches of one kind and get no statistics: mean 0, variance 1.

    Args:
        images: ``[n, pixels]``, training images as they are, without augmentation.

    Raises:
        TrainingError: for a network with batch-norm that neither encodes nor decodes nor is an adversary.
    """
    named = model.named_modules()
    layers = {name: layer for name, layer in named if isinstance(layer, BatchNorm) and layer.track_running_stats}
    if not layers:
        return
    momenta = {layer: layer.momentum for layer in layers.values()}
    with evaluation(model):  # augmentation, noise and dropout stay off
        for layer in momenta:
            layer.reset_running_stats()
            layer.momentum = None  # a plain average over the parts
            layer.train()
        _forward(model, images)
    for layer, momentum in momenta.items():
        layer.momentum = momentum
    missed = [
        name
        for name, layer in layers.items()
        if not int(layer.num_batches_tracked) and name.partition(".")[0] not in model.adversaries
    ]
    if missed:
        raise TrainingError(
            f"no batch-norm statistics for {', '.join(missed)}, which {type(model).__name__} uses neither to encode "
            "nor to decode: if it only judges while training, list its network in `adversaries`"
        )


def _forward(model: Model, images: Tensor) -> None:
    """Send images through all that encodes or classifies, and codes through the decoder, in parts of equal size."""
    parts = images.tensor_split(max(1, len(images) // PART))
    codes = None
    if hasattr(model, "encoder"):
        codes = torch.cat([model.encode(part) for part in parts])
    elif hasattr(model, "classify"):
        for part in parts:
            model.classify(part)
    if model.prior is not None:
        codes = model.prior.sample(SAMPLES, images.device)
    if hasattr(model, "decoder") and has_batch_norm(model.decoder) and codes is not None:
        for part in codes.tensor_split(max(1, len(codes) // PART)):
            model.decode(part)
