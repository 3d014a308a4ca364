"""Networks for the browser: plain layers as dicts for JSON, and their tensors in one block of bytes.

Matrices are quantized as shipped weights are (:mod:`aae_lib.storage`): rows that come from such a file get the same
integers again, so nothing is rounded twice.
"""

from typing import Any

import numpy as np
from torch import Tensor, nn

from aae_lib.networks import BatchNorm, GaussianEncoder, OntoSphere, TrainingNoise, UniversalEncoder
from aae_lib.networks.convolutional import FromPictures, ToPictures
from aae_lib.storage import quantized

Layer = dict[str, Any]
PRODUCTS = {nn.Linear: "linear", nn.Conv2d: "convolution", nn.ConvTranspose2d: "transposed"}
ACTIVATIONS = {nn.ReLU: "relu", nn.LeakyReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
NO_FRAME = (0, 0, 0, 0)
ABSENT = (TrainingNoise, nn.Dropout, nn.Identity)  # in evaluation


class UnsupportedLayer(Exception):  # noqa: N818 - a signal to the caller, never a user's error
    """The browser cannot run this layer; its network stays in the kernel."""


class Pack:
    """Arrays one after another in one block of bytes."""

    def __init__(self) -> None:
        self.content = bytearray()

    def add(self, array: np.ndarray | Tensor) -> list[Any]:
        """The place of an array: kind of number (real ones become "f4"), offset in bytes, and shape."""
        array = array.detach().cpu().numpy() if isinstance(array, Tensor) else array
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        place = [array.dtype.str[1:], len(self.content), *array.shape]
        self.content += array.tobytes() + bytes(-array.nbytes % 4)  # float32 must lie at a multiple of four bytes
        return place


def layers_of(network: nn.Module, pack: Pack) -> list[Layer]:
    """The layers of a network in evaluation, in order; their tensors go into ``pack``.

    Of an encoder that samples these are the layers of its mean and log-variance, or those that get an image and noise.
    A layer that the browser does not know raises :class:`UnsupportedLayer`.
    """
    network = network.network if isinstance(network, GaussianEncoder | UniversalEncoder) else network
    if isinstance(network, nn.Sequential):
        return [layer for module in network for layer in layers_of(module, pack)]
    if isinstance(network, ABSENT):
        return []
    layer = _layer(network)
    return [{name: pack.add(value) if isinstance(value, Tensor) else value for name, value in layer.items()}]


def _layer(module: nn.Module) -> Layer:
    if kind := ACTIVATIONS.get(type(module)):
        return {"kind": kind, "slope": getattr(module, "negative_slope", 0.0)}
    if type(module) in PRODUCTS:
        return _product(module)
    if isinstance(module, BatchNorm):
        factor = (module.running_var.double() + module.eps).rsqrt()
        shift = -module.running_mean.double() * factor
        if module.affine:
            factor, shift = factor * module.weight, shift * module.weight + module.bias
        return {"kind": "affine", "factor": factor, "bias": shift}
    if isinstance(module, ToPictures):
        return {"kind": "frame", "shape": module.shape, "frame": module.frame, "change": [2, -1]}
    if isinstance(module, nn.Unflatten) and len(module.unflattened_size) == 3:
        return {"kind": "frame", "shape": module.unflattened_size, "frame": NO_FRAME, "change": [1, 0]}
    if isinstance(module, FromPictures | nn.Flatten):
        return {"kind": "crop", "frame": [-pixels for pixels in getattr(module, "frame", NO_FRAME)]}
    if isinstance(module, nn.AvgPool2d) and module.kernel_size == module.stride and not module.padding:
        return {"kind": "pool", "size": module.kernel_size}
    if isinstance(module, OntoSphere):
        return {"kind": "normalize"}
    raise UnsupportedLayer(f"{module}")


def _product(module: nn.Module) -> Layer:
    """A matrix or kernels in 8 bits, ``[*kernel, inputs, outputs]``: the order in which they are read."""
    kind = PRODUCTS[type(module)]
    weight, scale = quantized(module.weight.detach().float())
    inputs, outputs = (0, 1) if kind == "transposed" else (1, 0)
    weight = weight.movedim((inputs, outputs), (-2, -1))
    layer = {"kind": kind, "weight": weight, "scale": scale.ravel(), "bias": module.bias}
    if kind == "linear":
        return layer
    usual = module.groups == 1 and module.padding_mode == "zeros" and module.dilation == (1, 1)
    square = len({*module.stride}) == len({*module.padding}) == 1
    if not usual or not square or any(module.output_padding):
        raise UnsupportedLayer(f"{module}")
    return layer | {"stride": module.stride[0], "padding": module.padding[0]}
