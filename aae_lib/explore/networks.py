"""Networks for the browser: plain layers as dicts for JSON, and their tensors in one block of bytes.

Matrices are quantized as shipped weights are (:mod:`aae_lib.storage`): rows that come from such a file get the same
integers again, so nothing is rounded twice. Batch-norm is folded into the layer before it.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aae_lib.networks import BatchNorm, GaussianEncoder, OntoSphere, TrainingNoise, UniversalEncoder
from aae_lib.networks.convolutional import FromPictures, ToPictures
from aae_lib.storage import quantized

Layer = dict[str, Any]
PRODUCTS = {nn.Linear: "linear", nn.Conv2d: "convolution", nn.ConvTranspose2d: "transposed"}
ACTIVATIONS = {nn.ReLU: "relu", nn.LeakyReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
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


def layers_of(network: nn.Module, pack: Pack, inputs: int | None = None) -> list[Layer]:
    """The layers of a network in evaluation; their tensors go into ``pack``.

    Of an encoder that samples these are the layers of its mean and log-variance, or those that get no noise.

    Args:
        inputs: how many numbers the network gets. What its first layer takes beyond them is noise, and left out.

    Raises:
        UnsupportedLayer: for a layer that the browser does not know.
    """
    layers: list[Layer] = []
    for module in _flat(network):
        if isinstance(module, BatchNorm):
            _normalize(layers, module)
        elif not isinstance(module, ABSENT):
            layers.append(_layer(module))
    if inputs and layers[0]["kind"] == "linear":
        layers[0]["weight"] = layers[0]["weight"][:, :inputs]
    return [
        {name: pack.add(value) if isinstance(value, np.ndarray) else value for name, value in _quantized(layer).items()}
        for layer in layers
    ]


def _flat(network: nn.Module) -> list[nn.Module]:
    """The layers of nested sequences, in order."""
    network = network.network if isinstance(network, GaussianEncoder | UniversalEncoder) else network
    if not isinstance(network, nn.Sequential):
        return [network]
    return [layer for module in network for layer in _flat(module)]


def _layer(module: nn.Module) -> Layer:
    """A layer with its tensors as float32 arrays."""
    if kind := ACTIVATIONS.get(type(module)):
        return {"kind": kind, "slope": getattr(module, "negative_slope", 0.0)}
    if kind := PRODUCTS.get(type(module)):
        layer = {"kind": kind, "weight": _array(module.weight)}
        layer["bias"] = None if module.bias is None else _array(module.bias)
        return layer if kind == "linear" else layer | _settings(module)
    if isinstance(module, ToPictures):
        left, right, top, bottom = module.frame
        size = [top + module.shape[1] + bottom, left + module.shape[2] + right]
        return {"kind": "frame", "shape": module.shape, "corner": [top, left], "size": size, "change": [2, -1]}
    if isinstance(module, nn.Unflatten) and len(shape := module.unflattened_size) == 3:
        return {"kind": "frame", "shape": shape, "corner": [0, 0], "size": shape[1:], "change": [1, 0]}
    if isinstance(module, FromPictures | nn.Flatten):
        return {"kind": "crop", "frame": [-pixels for pixels in getattr(module, "frame", [0] * 4)]}
    if isinstance(module, nn.AvgPool2d) and module.kernel_size == module.stride and not module.padding:
        return {"kind": "pool", "size": module.kernel_size}
    if isinstance(module, OntoSphere):
        return {"kind": "normalize"}
    raise UnsupportedLayer(f"{module}")


def _settings(module: nn.Conv2d | nn.ConvTranspose2d) -> Layer:
    """Stride and padding of a convolution without other settings."""
    usual = module.groups == 1 and module.padding_mode == "zeros" and module.dilation == (1, 1)
    square = len({*module.stride}) == len({*module.padding}) == 1
    if not usual or not square or any(getattr(module, "output_padding", ())):
        raise UnsupportedLayer(f"{module}")
    return {"stride": module.stride[0], "padding": module.padding[0]}


def _normalize(layers: list[Layer], norm: BatchNorm) -> None:
    """Fold batch-norm into the product before it, or append it as a layer."""
    factor = (norm.running_var.double() + norm.eps).rsqrt()
    shift = -norm.running_mean.double() * factor
    if norm.affine:
        factor, shift = factor * norm.weight, shift * norm.weight + norm.bias
    factor, shift = _array(factor), _array(shift)
    if not layers or "weight" not in layers[-1]:
        layers.append({"kind": "affine", "bias": None})
    layer = layers[-1]
    layer["bias"] = shift if layer["bias"] is None else layer["bias"] * factor + shift
    layer["factor"] = layer.get("factor", np.float32(1)) * factor


def _quantized(layer: Layer) -> Layer:
    """The layer with its matrix in 8 bits, ``[*kernel, inputs, outputs]``: the order in which it is read.

    Rows are outputs, and batch-norm's factor of an output joins the row's scale. In a transposed convolution rows are
    inputs, so there the factor stays apart.
    """
    if "weight" not in layer:
        return layer
    weight, scale = (each.numpy() for each in quantized(torch.from_numpy(layer["weight"])))
    layer, scale = dict(layer), scale.ravel()
    if layer["kind"] == "transposed":
        weight = weight.swapaxes(0, 1)
    else:
        scale = scale * layer.pop("factor", np.float32(1))
    return layer | {"weight": np.moveaxis(weight, (1, 0), (-2, -1)), "scale": scale}


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
