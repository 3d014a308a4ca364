"""What codes say about images and labels, and how the decoded image changes with its code."""

import warnings
from collections.abc import Callable, Iterator

import torch
from scipy.stats import mode
from sklearn.exceptions import ConvergenceWarning
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPClassifier
from torch import Tensor

NEIGHBORS_OF_LABEL = 10


def neighbor_accuracy(codes: Tensor, labels: Tensor) -> float:
    """Share of codes with the label that is most frequent among their 10 nearest other codes, in [0, 1].

    Ties go to the smaller label. An encoder that ignores the image scores about 1 / classes.

    Args:
        codes: ``[n, d]``.
        labels: ``[n]``, the true ones, unseen in training.
    """
    points = codes.float().numpy(force=True)
    neighbors = NearestNeighbors(n_neighbors=NEIGHBORS_OF_LABEL).fit(points).kneighbors(return_distance=False)
    truth = labels.numpy(force=True)
    return float((mode(truth[neighbors], axis=1).mode == truth).mean())


def neighborhoods_kept(images: Tensor, codes: Tensor) -> float:
    """scikit-learn's trustworthiness of a map of images ``[n, pixels]`` to codes ``[n, d]``, in [0, 1].

    1: the 10 nearest neighbors of each code are those of its image. A neighbor in the map that is none among the
    images costs the more, the farther away it is there. All pairs are compared: give some thousand images at most.
    """
    points = codes.float().numpy(force=True)
    return float(trustworthiness(images.numpy(force=True), points, n_neighbors=NEIGHBORS_OF_LABEL))


def farthest_line(starts: Tensor, ends: Tensor, codes: Tensor, steps: int = 12) -> tuple[Tensor, float]:
    """Of all straight lines from a start to an end, the one that leads farthest away from every code.

    Args:
        starts, ends, codes: ``[n, d]``, ``[m, d]`` and ``[k, d]``.
        steps: points of a line.

    Returns:
        Its points ``[steps, d]``, and the largest distance of one of them to its nearest code.
    """
    shares = torch.linspace(0, 1, steps)[:, None, None, None]
    lines = torch.lerp(starts[:, None].float(), ends.float(), shares).flatten(1, 2)  # [steps, n m, d]
    gaps = torch.stack([torch.cdist(points, codes.float()).min(1).values for points in lines]).max(0).values
    return lines[:, gaps.argmax()], float(gaps.max())


def labels_from_codes(training_codes: Tensor, training_labels: Tensor, codes: Tensor) -> Tensor:
    """The labels ``[n]`` that a classifier predicts from codes alone: how much of the label they still carry.

    The classifier (scikit-learn's, two hidden layers of 256 ReLU units, Adam, 20 passes) learns on the codes of the
    training images. Where codes say nothing, it is about as good as one that always predicts the most frequent label
    (11.35 % of MNIST's test images).

    Args:
        training_codes, training_labels: ``[m, d]`` and ``[m]``.
        codes: ``[n, d]``, of the held-out images.
    """
    classifier = MLPClassifier((256, 256), batch_size=500, max_iter=20, random_state=0)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # twenty passes are what we want
        classifier.fit(training_codes.float().numpy(force=True), training_labels.numpy(force=True))
    return torch.from_numpy(classifier.predict(codes.float().numpy(force=True)))


def image_change(decode: Callable[[Tensor], Tensor], codes: Tensor) -> Tensor:
    """How fast the decoded image changes as its code moves: ``[n, d] -> [n]``, in image distance per unit of the code.

    The Frobenius norm of the decoder's Jacobian, exact: one forward-mode derivative per dimension of the code.
    """
    return sum(derivative.square().sum(1) for derivative in derivatives(decode, codes)).sqrt()


def derivatives(decode: Callable[[Tensor], Tensor], codes: Tensor) -> Iterator[Tensor]:
    """How the decoded images change along each dimension of the code: d times ``[n, pixels]``, at ``codes`` ``[n, d]``.

    The columns of the decoder's Jacobian, exact, one forward-mode derivative each.
    """
    for direction in torch.eye(codes.shape[1], device=codes.device):
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # PyTorch's own, of torch.jit
            _, derivative = torch.func.jvp(decode, (codes,), (direction.expand_as(codes).contiguous(),))
        yield derivative.detach()


def steepest_tenth(changes: Tensor) -> float:
    """The share of all :func:`image_change` that happens at the steepest tenth of the codes ``[n]``, in [0.1, 1].

    0.1 means that images change evenly all over the plane. Plateaus of one digit with sharp transitions between them
    (the paper's words for Figure 2a) bring it up.
    """
    ordered = changes.double().sort(descending=True).values
    return float(ordered[: len(ordered) // 10].sum() / ordered.sum())
