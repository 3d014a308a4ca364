"""Measures of many pictures at once: what a classifier sees in them, and which spatial frequencies they hold."""

import torch
from torch import Tensor

from aae_lib.shapes import Shape, unflattened


def class_score(logits: Tensor) -> float:
    """exp of the mean of KL(p(y|x) || p(y)), of a classifier's logits ``[n, classes]`` for n pictures: 1 to classes.

    It is high if the classifier is sure of each picture and sees all classes equally often, and 1 if all pictures are
    alike to it. Salimans et al. 2016 define the Inception score so, for a classifier of ImageNet; with another one the
    numbers cannot be compared with that. Ten copies of one good picture of each class have the highest score.
    """
    log_probabilities = logits.double().log_softmax(1)
    probabilities = log_probabilities.exp()
    of_all = probabilities.mean(0).log()
    return float((probabilities * (log_probabilities - of_all)).sum(1).mean().exp())


def spectrum(images: Tensor, shape: Shape | None = None) -> Tensor:
    """Mean power of ``[n, pixels]`` images at each spatial frequency, ``[side / 2 + 1]``, float32.

    Entry k is the mean over all waves of about k periods across the shorter side, in any direction, and over channels.
    Each image is taken without its mean, under a window that fades to its border; else the step from one border to the
    other would look like fine detail.
    """
    pictures = unflattened(images, shape).double()
    height, width = pictures.shape[2:]
    across, down = (torch.hann_window(length, periodic=False, dtype=torch.double) for length in (width, height))
    pictures = (pictures - pictures.mean((2, 3), keepdim=True)) * down[:, None] * across
    power = torch.fft.fft2(pictures, norm="ortho").abs().square().mean((0, 1))
    side = min(height, width)
    waves = [side * torch.fft.fftfreq(length) for length in (height, width)]
    ring = (waves[0][:, None].square() + waves[1].square()).sqrt().round().long().flatten()
    sums = torch.zeros(int(ring.max()) + 1, dtype=torch.double).index_add_(0, ring, power.flatten())
    return (sums / ring.bincount())[: side // 2 + 1].float()
