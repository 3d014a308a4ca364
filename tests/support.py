"""What several test files need: short runs, what they leave, and networks written out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.models import Model
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


def check_that_no_label_of_an_unlabeled_image_is_read(
    make: Callable[[], Model], sets: tuple[Images, Images], make_recipe: Callable[..., Recipe]
) -> None:
    """Whatever they are, training has the same bits; whatever one label of a labeled image is, it has not."""
    unlabeled, labeled = sets

    def trained(unlabeled: Images, labeled: Images) -> list[Tensor]:
        model = make()
        run(model, (unlabeled, labeled), make_recipe(model, 6))  # two passes and three
        return weights(model)

    reference = trained(unlabeled, labeled)
    for label in (-1, 7, 1 << 40):
        assert equal(trained(labeled_as(unlabeled, label), labeled), reference)
    assert equal(trained(Images(unlabeled.images, unlabeled.labels.flip(0)), labeled), reference)
    wrong = labeled.labels.clone()
    wrong[0] = 9 - wrong[0]
    assert not equal(trained(unlabeled, Images(labeled.images, wrong)), reference)


def perceptron(network: nn.Sequential, inputs: np.ndarray) -> np.ndarray:
    """The output of a perceptron in float64, written out."""
    for index, layer in enumerate(layer for layer in network if isinstance(layer, nn.Linear)):
        weight, bias = (parameter.detach().double().numpy() for parameter in layer.parameters())
        inputs = (np.maximum(inputs, 0) if index else inputs) @ weight.T + bias
    return inputs


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))
