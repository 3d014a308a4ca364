"""Sharpness of images, and the distance between two sets of them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from aae_lib.shapes import as_pictures


def sharpness(images: Tensor) -> Tensor:
    """The variance of each image's Laplacian, ``[n, pixels] -> [n]``: the sharper the edges, the higher.

    The Laplacian of a pixel is the sum of its four neighbors less four times itself, without a border. Color images
    are measured by the mean of their channels.
    """
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    pictures = as_pictures(images)
    gray = pictures if pictures.ndim == 3 else pictures.mean(-1)
    return F.conv2d(gray[:, None], kernel[None, None]).flatten(1).var(1)


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """The Frechet distance between Gaussians fitted to two sets of features, ``[n, k]`` and ``[m, k]`` (FID).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), from means and covariances (Heusel et al. 2017, equation 6), which is 0
    for equal sets. Published FIDs use the features of Inception-v3. Here a classifier of digits gives the features, so
    the numbers compare models of this project and must not be compared with published ones.
    """
    first, second = first.double(), second.double()
    means, covariances = zip(*((f.mean(0), torch.atleast_2d(f.T.cov())) for f in (first, second)), strict=True)
    # The eigenvalues of a product of two covariances are real and not negative, but for rounding.
    root = torch.linalg.eigvals(covariances[0] @ covariances[1]).real.clamp_min(0).sqrt().sum()
    distance = (means[0] - means[1]).square().sum() + covariances[0].trace() + covariances[1].trace() - 2 * root
    return max(float(distance), 0.0)
