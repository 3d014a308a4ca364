"""Errors of reconstructions and of labels, and the names of clusters."""

import torch
from torch import Tensor

from aae_lib.errors import DataError, ShapeError


def squared_errors(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Half the squared error of each image, summed over pixels: two tensors ``[n, pixels]`` -> ``[n]`` in float32.

    Their mean over held-out images is the ``reconstruction_error`` of all tables (AAE, appendix A.2.1: half the
    Euclidean error).
    """
    return 0.5 * (images.float() - reconstructions.float()).square().sum(1)


def error_percent(predictions: Tensor, labels: Tensor) -> float:
    """Share of images whose predicted label ``[n]`` is not the true one ``[n]``, in percent.

    Raises:
        ShapeError: there is not one prediction for each label.
    """
    if predictions.shape != labels.shape:
        raise ShapeError(f"predictions {list(predictions.shape)} and labels {list(labels.shape)} must have one shape")
    return 100 * float((predictions.long() != labels.long()).double().mean())


def majority_names(clusters: Tensor, labels: Tensor, count: int) -> Tensor:
    """Name each cluster after the most frequent label among its images: ``[count]``, int8.

    Ties go to the smaller label. A cluster without images has the name -1, so all images that it gets count as wrong.

    Args:
        clusters, labels: ``[n]`` each, of labeled images; not of those on which the error is measured.
        count: number of clusters.

    Raises:
        DataError: a label is hidden (-1).
    """
    _check_labels(labels)
    counts = torch.zeros(count, int(labels.max()) + 1, dtype=torch.int64)
    counts.index_put_((clusters.long(), labels), torch.ones_like(labels), accumulate=True)
    return torch.where(counts.sum(1) > 0, counts.argmax(1), -1).to(torch.int8)


def most_confident_names(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Name each cluster after the image with its highest probability: ``[count]``, int8 (the paper's rule, recalled).

    Args:
        probabilities: ``[n, count]``, q(y|x) of labeled images; not of those on which the error is measured.
        labels: ``[n]``.

    Raises:
        DataError: a label is hidden (-1).
    """
    _check_labels(labels)
    return labels[probabilities.argmax(0)].to(torch.int8)


def empty_clusters(clusters: Tensor, count: int) -> int:
    """How many of ``count`` clusters hold less than a tenth of their equal share of the images, clusters ``[n]``.

    An adversary can leave clusters without images for good.
    """
    return int((clusters.long().bincount(minlength=count) < len(clusters) / count / 10).sum())


def _check_labels(labels: Tensor) -> None:
    if not len(labels) or int(labels.min()) < 0:
        found = f"{int((labels < 0).sum())} of {len(labels)} labels are hidden" if len(labels) else "there are none"
        raise DataError(f"clusters are named by labeled images, but {found}: give images with their labels")
