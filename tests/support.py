"""What several test files need: short runs, what they leave, and networks written out."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.training import Recipe, Report, train


def run(model: nn.Module, sets: Images | tuple[Images, ...], recipe: Recipe, **arguments: Any) -> list[Report]:
    """Train in float32 on the CPU."""
    return list(train(model, sets, recipe, device="cpu", **{"bfloat16": False, **arguments}))


def with_large_weights(model: nn.Module) -> nn.Module:
    """The model with weights larger than the paper's, so that every update shows within a few steps."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model


def weights(model: nn.Module) -> list[Tensor]:
    """Copies, in the order of the parameters."""
    return [parameter.detach().clone() for parameter in model.parameters()]


def equal(some: list[Tensor], others: list[Tensor]) -> bool:
    """Whether all bits agree."""
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


def labeled_as(images: Images, labels: int | Tensor) -> Images:
    """The same images with another label, or with others."""
    return Images(images.images, torch.as_tensor(labels).expand(len(images)).clone())


def perceptron(network: nn.Sequential, inputs: np.ndarray) -> np.ndarray:
    """The output of a perceptron in float64, written out."""
    for index, layer in enumerate(layer for layer in network if isinstance(layer, nn.Linear)):
        weight, bias = (parameter.detach().double().numpy() for parameter in layer.parameters())
        inputs = (np.maximum(inputs, 0) if index else inputs) @ weight.T + bias
    return inputs


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))
