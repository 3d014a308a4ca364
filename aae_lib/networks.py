"""Networks: plain ``torch.nn`` modules with the papers' sizes and initial weights."""

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

IMAGE_SIZE = 28
PIXELS = IMAGE_SIZE**2


def multilayer_perceptron(
    inputs: int,
    outputs: int,
    hidden: Iterable[int] = (1000, 1000),
    deviation: float | None = 0.01,
    dropout: float = 0.0,
    batch_norm: bool = False,
) -> nn.Sequential:
    """A perceptron ``[batch, inputs] -> [batch, outputs]`` with ReLU between its layers and a linear output.

    Args:
        inputs, outputs: numbers of units.
        hidden: units of the hidden layers (AAE, appendix A.1 and A.2.1: two of 1000).
        deviation: weights are drawn from N(0, deviation^2), and biases are zero. The paper's 0.01 matters: with
            PyTorch's default initialization of the encoder its learning rates diverge. None: PyTorch's default, with
            which a discriminator of two-dimensional codes sees fine structure sooner.
        dropout: probability with which each hidden unit is left out of a training step.
        batch_norm: normalize the outputs of every layer over the minibatch, those of the last one too.
    """
    sizes = [inputs, *hidden, outputs]
    layers: list[nn.Module] = []
    for index, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        linear = nn.Linear(fan_in, fan_out)
        if deviation is not None:
            nn.init.normal_(linear.weight, std=deviation)
            nn.init.zeros_(linear.bias)
        if index:
            layers += [nn.ReLU(), nn.Dropout(dropout)] if dropout else [nn.ReLU()]
        layers += [linear, nn.BatchNorm1d(fan_out)] if batch_norm else [linear]
    return nn.Sequential(*layers)


class GaussianNoise(nn.Module):
    """Adds noise N(0, s^2) to its input while training, and does nothing in evaluation.

    The paper's only regularizer of its semi-supervised networks is such noise on the images, s = 0.3 (AAE, A.2.1).
    """

    def __init__(self, standard_deviation: float):
        super().__init__()
        self.standard_deviation = standard_deviation

    def forward(self, images: Tensor) -> Tensor:
        return images + self.standard_deviation * torch.randn_like(images) if self.training else images


def attenuated(values: Tensor, share: float) -> Tensor:
    """The same values, through which only a share of the gradient flows back."""
    return values.detach() + share * (values - values.detach())


class Attenuated(nn.Sequential):
    """A network that is trained as ever, but lets only a share of the gradient flow back to its input.

    Behind a decoder of this kind the encoder feels the reconstruction less than the decoder does, at any learning rate.
    """

    def __init__(self, network: nn.Sequential, share: float):
        super().__init__(*network)
        self.share = share

    def forward(self, codes: Tensor) -> Tensor:
        # in evaluation derivatives are those of the network
        return super().forward(attenuated(codes, self.share) if self.training else codes)


class ClusterHeads(nn.Module):
    """The heads of clusters, a learned point for each label, and their mix by the labels' probabilities.

    Probabilities ``[n, clusters]`` -> codes ``[n, dimensions]``; a one-hot label gives its head. Positions start as
    samples of N(0, I).

    Args:
        clusters, dimensions: number and length of the heads.
    """

    def __init__(self, clusters: int, dimensions: int):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(clusters, dimensions))

    def forward(self, label: Tensor) -> Tensor:
        # Not as a matrix product, whose result the training loop would round to bfloat16: ten units out, to 1/16.
        return (label[:, :, None] * self.positions).sum(1)

    def crowding(self, distance: float) -> Tensor:
        """How much closer than ``distance`` the heads are, summed over pairs: 0 where all keep it (AAE, section 7)."""
        return (distance - torch.pdist(self.positions.float())).relu().sum()


def has_batch_norm(network: nn.Module) -> bool:
    """Whether any layer of ``network`` normalizes over the batch."""
    return any(isinstance(layer, BatchNorm) for layer in network.modules())


def as_pictures(images: Tensor) -> Tensor:
    """Flat images ``[n, 784]`` as pictures ``[n, 28, 28]``, clipped to [0, 1], on the CPU."""
    return images.detach().float().clamp(0, 1).reshape(-1, IMAGE_SIZE, IMAGE_SIZE).cpu()


def mosaic(images: Tensor, columns: int) -> Tensor:
    """Lay flat images ``[rows * columns, 784]`` out as one picture ``[rows * 28, columns * 28]``, row by row."""
    if len(images) % columns:
        raise ValueError(f"{len(images)} images do not fill rows of {columns}")
    return torch.cat([torch.cat(list(row), dim=1) for row in as_pictures(images).split(columns)], dim=0)
