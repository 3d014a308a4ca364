"""Perceptrons with the papers' sizes and initial weights."""

from collections.abc import Iterable
from itertools import pairwise

from torch import nn

from aae_lib.networks.augmentation import Dropout


def multilayer_perceptron(
    inputs: int, outputs: int, hidden: Iterable[int] = (1000, 1000), deviation: float | None = 0.01,
    dropout: float = 0.0, batch_norm: bool = False,
) -> nn.Sequential:  # fmt: skip
    """A perceptron ``[n, inputs] -> [n, outputs]`` with ReLU between its layers and a linear output.

    Args:
        hidden: units of the hidden layers (AAE, appendix A.1 and A.2.1: two of 1000).
        deviation: weights are drawn from N(0, deviation^2), and biases are zero (the paper: 0.01). None: PyTorch's
            default, with which small networks learn sooner, and a discriminator of two-dimensional codes sees fine
            structure sooner.
        dropout: probability with which each hidden unit is left out of a training step.
        batch_norm: normalize the outputs of every layer over the minibatch, those of the last one too.
    """
    sizes = [inputs, *hidden, outputs]
    layers: list[nn.Module] = []
    for index, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        linear = nn.Linear(fan_in, fan_out)
        if deviation is not None and not linear.weight.is_meta:  # on "meta", normal_ imports torch._dynamo: a second
            nn.init.normal_(linear.weight, std=deviation)
            nn.init.zeros_(linear.bias)
        if index:
            layers += [nn.ReLU(), Dropout(dropout)] if dropout else [nn.ReLU()]
        layers += [linear, nn.BatchNorm1d(fan_out)] if batch_norm else [linear]
    return nn.Sequential(*layers)
