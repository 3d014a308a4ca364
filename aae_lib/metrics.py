"""Measures: how well codes match the prior, and what the match costs.

The papers show the match between codes and prior only as pictures. Three numbers measure it here (``prior_coverage``,
``sliced_wasserstein`` and ``inside_prior``), each beside its *null band*: the same number for independent draws of the
prior itself. An encoder that ignores the image and returns random numbers matches the prior as well. So read these
numbers together with ``reconstruction_error`` and ``neighbor_accuracy``.

Functions import scikit-learn where they need it: it takes as long as torch, and most of the package does without.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aae_lib.errors import DataError, ShapeError
from aae_lib.priors import ClassConditionalPrior, Prior
from aae_lib.seeding import seeded
from aae_lib.shapes import Shape, as_pictures

NEIGHBORS_OF_BALL = 5
NEIGHBORS_OF_LABEL = 10
COVERED_DIMENSIONS = 20  # in more dimensions all samples are about equally far from each other
PROJECTIONS = 200
TAIL = 0.01  # share of the prior's samples that counts as outside
# Near the best bandwidth the mean falls by pixels * (relative distance)^2. In steps of 2.3 % the distance is at most
# half of that, which costs a tenth of a nat on MNIST.
BANDWIDTHS = torch.linspace(math.log(0.08), math.log(0.3), 59).exp()
PARZEN_BLOCK = 1000  # samples in memory at once, with their distances to all images
# The least logarithm of a sample's weight, relative to the nearest sample of its block. A smaller weight changes no
# digit of the sum, and processors take ten times as long for an exponential that underflows.
LEAST_LOG_WEIGHT = -80.0


def _numbers(values: Tensor) -> np.ndarray:
    return values.float().numpy(force=True)


# The match of codes and prior


def prior_samples(prior: Prior, count: int = 10_000, seed: int = 0) -> Tensor:
    """The prior samples ``[count, d]`` that codes are compared with, the same for the same seed."""
    with seeded(seed):
        return prior.sample(count, "cpu")


def prior_coverage(codes: Tensor, prior_samples: Tensor) -> float:
    """Share of prior samples that have a code close by, in [0, 1] (Naeem et al. 2020, equation 4).

    Close means: inside the ball around the prior sample that reaches to its 5th nearest other prior sample. The balls
    are small where the prior is dense, so gaps are seen there as well as in the tails. As many samples of the prior
    itself have a coverage of about 0.97. Codes that leave a tenth of the prior's mass empty lose about a tenth. Gaps
    narrower than the balls stay unseen: with 10,000 samples of a 2-D Gaussian about 0.06 standard deviations at its
    center.

    Args:
        codes, prior_samples: ``[n, d]`` and ``[m, d]``; 10,000 of each in all tables.
    """
    return float(covered(codes, prior_samples).double().mean())


def covered(codes: Tensor, prior_samples: Tensor) -> Tensor:
    """Whether each prior sample has a code inside its ball (see :func:`prior_coverage`): booleans ``[m]``."""
    from sklearn.neighbors import NearestNeighbors

    real, fake = _numbers(prior_samples), _numbers(codes)
    # In 15 dimensions a tree is slower than a comparison of all pairs.
    search = {"algorithm": "kd_tree" if real.shape[1] <= 5 else "brute"}
    radii = NearestNeighbors(n_neighbors=NEIGHBORS_OF_BALL, **search).fit(real).kneighbors()[0][:, -1]
    nearest = NearestNeighbors(n_neighbors=1, **search).fit(fake).kneighbors(real)[0][:, 0]
    return torch.from_numpy(nearest <= radii)


def sliced_wasserstein(codes: Tensor, prior_samples: Tensor) -> float:
    """Sliced 2-Wasserstein distance, in units of the code: 0 for equal distributions (Bonneel et al. 2015).

    The root mean square, over 200 random directions, of the optimal-transport distance between the two sets'
    projections, which in one dimension pairs them in ascending order. Unlike coverage it sees codes that lie where the
    prior has no mass, and says how far off they are.

    Args:
        codes, prior_samples: ``[n, d]`` each.

    Raises:
        ShapeError: there are not as many of both.
    """
    if codes.shape != prior_samples.shape:
        found = f"{list(codes.shape)} and {list(prior_samples.shape)}"
        raise ShapeError(f"expected as many codes as prior samples, found {found}: leave some out")
    directions = np.random.RandomState(0).randn(codes.shape[1], PROJECTIONS)
    directions /= np.linalg.norm(directions, axis=0)
    ours, theirs = (np.sort(directions.T @ points.double().numpy(force=True).T) for points in (codes, prior_samples))
    return float(np.sqrt(((ours - theirs) ** 2).mean()))


def inside_prior(codes: Tensor, prior: Prior) -> float:
    """Share of codes ``[n, d]`` where the prior's density is above the 1 % quantile of its own samples, in [0, 1].

    Samples of the prior score 0.99. Codes in a gap between components, or far out, do not count as inside.
    """
    threshold = prior.log_prob(prior_samples(prior)).quantile(TAIL)
    return float((prior.log_prob(codes.float()) >= threshold).double().mean())


def class_shares(codes: Tensor, prior: ClassConditionalPrior) -> Tensor:
    """The share of codes ``[n, d]`` in each part of the prior, ``[classes]``; 1 / classes each for the prior itself."""
    if not len(codes):
        raise ShapeError("expected at least one code, found none")
    return prior.nearest_class(codes.float()).bincount(minlength=prior.classes) / len(codes)


def own_class(codes: Tensor, labels: Tensor, prior: ClassConditionalPrior) -> float:
    """Share of codes ``[n, d]`` in the prior's part of their own label ``[n]``, in [0, 1]; by chance 1 / classes."""
    _check_labels(labels, codes)
    return float((prior.nearest_class(codes.float()) == labels).double().mean())


def match(codes: Tensor, prior: Prior) -> dict[str, float]:
    """``prior_coverage``, ``sliced_wasserstein`` and, where the prior has a density, ``inside_prior`` of ``[n, d]``.

    There is no coverage in more than twenty dimensions.
    """
    samples = prior_samples(prior, len(codes))
    metrics = {"prior_coverage": prior_coverage(codes, samples)} if prior.dimensions <= COVERED_DIMENSIONS else {}
    metrics["sliced_wasserstein"] = sliced_wasserstein(codes, samples)
    if hasattr(prior, "log_prob"):
        metrics["inside_prior"] = inside_prior(codes, prior)
    return metrics


def null_band(prior: Prior, count: int = 10_000, draws: int = 5) -> dict[str, tuple[float, float]]:
    """What :func:`match` gives for samples of the prior itself: (lowest, highest) of ``draws`` independent sets."""
    values = [match(prior_samples(prior, count, seed), prior) for seed in range(1, draws + 1)]
    return {name: (min(v[name] for v in values), max(v[name] for v in values)) for name in values[0]}


# What codes say about images and labels


def neighbor_accuracy(codes: Tensor, labels: Tensor) -> float:
    """Share of codes with the label that is most frequent among their 10 nearest other codes, in [0, 1].

    Ties go to the smaller label. An encoder that ignores the image scores about 1 / classes.

    Args:
        codes: ``[n, d]``.
        labels: ``[n]``, the true ones, unseen in training.
    """
    from scipy.stats import mode
    from sklearn.neighbors import NearestNeighbors

    _check_labels(labels, codes)
    if len(codes) <= NEIGHBORS_OF_LABEL:
        raise ShapeError(f"expected more than {NEIGHBORS_OF_LABEL} codes, found {len(codes)}: give more images")
    search = NearestNeighbors(n_neighbors=NEIGHBORS_OF_LABEL).fit(_numbers(codes))
    truth = labels.numpy(force=True)
    return float((mode(truth[search.kneighbors(return_distance=False)], axis=1).mode == truth).mean())


def neighborhoods_kept(images: Tensor, codes: Tensor) -> float:
    """scikit-learn's trustworthiness of a map of images ``[n, pixels]`` to codes ``[n, d]``, in [0, 1].

    1: the 10 nearest neighbors of each code are those of its image. A neighbor in the map that is none among the
    images costs the more, the farther away it is there. All pairs are compared: give some thousand images at most.
    """
    from sklearn.manifold import trustworthiness

    return float(trustworthiness(images.numpy(force=True), _numbers(codes), n_neighbors=NEIGHBORS_OF_LABEL))


def labels_from_codes(training_codes: Tensor, training_labels: Tensor, codes: Tensor) -> Tensor:
    """The labels ``[n]`` that a classifier predicts from codes alone: how much of the label they still carry.

    The classifier (scikit-learn's, two hidden layers of 256 ReLU units, Adam, 20 passes) learns on the codes of the
    training images. Where codes say nothing, it is about as good as one that always predicts the most frequent label
    (11.35 % of MNIST's test images).

    Args:
        training_codes, training_labels: ``[m, d]`` and ``[m]``.
        codes: ``[n, d]``, of the held-out images.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    size = min(500, len(training_codes))
    classifier = MLPClassifier((256, 256), batch_size=size, max_iter=20, random_state=0)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # twenty passes are what we want
        classifier.fit(_numbers(training_codes), training_labels.numpy(force=True))
    return torch.from_numpy(classifier.predict(_numbers(codes)))


# How the decoded image changes with its code


def derivatives(decode: Callable[[Tensor], Tensor], codes: Tensor) -> Iterator[Tensor]:
    """How the decoded images change along each dimension of the code: d times ``[n, pixels]``, at ``codes`` ``[n, d]``.

    The columns of the decoder's Jacobian, exact, one forward-mode derivative each.
    """
    for direction in torch.eye(codes.shape[1], device=codes.device):
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # PyTorch's own, of torch.jit
            _, derivative = torch.func.jvp(decode, (codes,), (direction.expand_as(codes).contiguous(),))
        yield derivative.detach()


def image_change(decode: Callable[[Tensor], Tensor], codes: Tensor) -> Tensor:
    """How fast the decoded image changes as its code moves: ``[n, d] -> [n]``, in image distance per unit of the code.

    The Frobenius norm of the decoder's Jacobian.
    """
    return sum(derivative.square().sum(1) for derivative in derivatives(decode, codes)).sqrt()


def steepest_tenth(changes: Tensor) -> float:
    """The share of all :func:`image_change` that happens at the steepest tenth of the codes ``[n]``, in [0.1, 1].

    0.1 means that images change evenly all over the plane. Plateaus of one digit with sharp transitions between them
    (the paper's words for Figure 2a) bring it up.
    """
    ordered = changes.double().sort(descending=True).values
    return float(ordered[: len(ordered) // 10].sum() / ordered.sum())


# Errors, and names of clusters


def squared_errors(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Half the squared error of each image, summed over pixels: two tensors ``[n, pixels]`` -> ``[n]`` in float32.

    Their mean over held-out images is the ``reconstruction_error`` of all tables (AAE, appendix A.2.1: half the
    Euclidean error).
    """
    if reconstructions.shape not in (images.shape, images.shape[1:]):  # of each image, or one for all
        found = f"{list(images.shape)} and {list(reconstructions.shape)}"
        raise ShapeError(f"expected a reconstruction of each image, found {found}: give as many")
    return 0.5 * (images.float() - reconstructions.float()).square().sum(1)


def error_percent(predictions: Tensor, labels: Tensor) -> float:
    """Share of images whose predicted label ``[n]`` is not the true one ``[n]``, in percent.

    Raises:
        ShapeError: there is not one prediction for each label.
        DataError: a label is hidden (-1), or there are none.
    """
    if predictions.shape != labels.shape:
        raise ShapeError(f"predictions {list(predictions.shape)} and labels {list(labels.shape)} must have one shape")
    _check_labels(labels, predictions)
    return 100 * float((predictions.long() != labels.long()).double().mean())


def majority_names(clusters: Tensor, labels: Tensor, count: int) -> Tensor:
    """Name each cluster after the most frequent label among its images: ``[count]``.

    Ties go to the smaller label. A cluster without images has the name -1, so all images that it gets count as wrong.

    Args:
        clusters, labels: ``[n]`` each, of labeled images; not of those on which the error is measured.
        count: number of clusters.

    Raises:
        ShapeError: there is not one label for each image, or a cluster out of range.
        DataError: a label is hidden (-1), or there are none.
    """
    _check_labels(labels, clusters)
    if not 0 <= clusters.min() <= clusters.max() < count:
        found = f"{clusters.min()} to {clusters.max()}"
        raise ShapeError(f"expected clusters from 0 to {count - 1}, found {found}: give the number of clusters")
    counts = torch.zeros(count, int(labels.max()) + 1, dtype=torch.int64)
    counts.index_put_((clusters.long(), labels), torch.ones_like(labels), accumulate=True)
    return _small(torch.where(counts.sum(1) > 0, counts.argmax(1), -1))


def most_confident_names(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Name each cluster after the image with its highest probability: ``[count]`` (the paper's rule, recalled).

    Args:
        probabilities: ``[n, count]``, q(y|x) of labeled images; not of those on which the error is measured.
        labels: ``[n]``.

    Raises:
        ShapeError: there is not one label for each image.
        DataError: a label is hidden (-1), or there are none.
    """
    _check_labels(labels, probabilities)
    return _small(labels[probabilities.argmax(0)])


def _check_labels(labels: Tensor, others: Tensor) -> None:
    """Refuse labels that are not one for each of the others, or hidden, or no whole numbers."""
    if labels.shape != others.shape[:1]:
        raise ShapeError(f"expected a label for each of {len(others)} images, found labels {list(labels.shape)}")
    hidden = int((labels < 0).sum())
    if hidden or not len(labels) or labels.is_floating_point():
        found = f"{len(labels)} of {labels.dtype}, {hidden} of them hidden (-1)"
        raise DataError(f"expected labels that are whole numbers from 0, found {found}: leave hidden ones out")


def _small(names: Tensor) -> Tensor:
    return names.to(torch.int8 if int(names.max()) < 128 else torch.int16)


def empty_clusters(clusters: Tensor, count: int) -> int:
    """How many of ``count`` clusters hold less than a tenth of their equal share of the images, clusters ``[n]``.

    An adversary can leave clusters without images for good.
    """
    return int((clusters.long().bincount(minlength=count) < len(clusters) / count / 10).sum())


# Sharpness of images, the distance between two sets of them, and their likelihood


def sharpness(images: Tensor, shape: Shape | None = None) -> Tensor:
    """The variance of each image's Laplacian, ``[n, pixels] -> [n]``: the sharper the edges, the higher.

    The Laplacian of a pixel is the sum of its four neighbors less four times itself, without a border. Color images
    are measured by the mean of their channels.
    """
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    pictures = as_pictures(images, shape)
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


def parzen_log_likelihood(samples: Tensor | Iterable[Tensor], images: Tensor, bandwidths: Tensor) -> Tensor:
    """log p(x) in nats of each image under a Gaussian Parzen window of samples (AAE, section 3; Breuleux et al. 2011).

    p is the mean, over samples, of the density of N(sample, bandwidth^2 I). Samples are taken in blocks, so any number
    of them fits into memory.

    Args:
        samples: ``[m, pixels]``, in [0, 1], or parts of them one after the other, if all do not fit into memory.
        images: ``[n, pixels]``.
        bandwidths: ``[k]``.

    Returns:
        ``[k, n]``, float32.
    """
    pixels, count = images.shape[1], 0
    total = torch.full((len(bandwidths), len(images)), -math.inf, device=images.device)
    squared_length = images.square().sum(1)
    parts = [samples] if isinstance(samples, Tensor) else samples
    for block in (block for part in parts if len(part) for block in part.split(PARZEN_BLOCK)):
        count += len(block)
        distances = (squared_length[:, None] - 2 * images @ block.T + block.square().sum(1)).clamp_min_(0)
        nearest = distances.amin(1)
        distances -= nearest[:, None]
        for index, bandwidth in enumerate(bandwidths.tolist()):
            scale = -0.5 / bandwidth**2
            weights = (distances * scale).clamp_min_(LEAST_LOG_WEIGHT).exp_()
            total[index] = torch.logaddexp(total[index], scale * nearest + weights.sum(1).log())
    normalization = math.log(count) + pixels * (bandwidths.log() + 0.5 * math.log(2 * math.pi))
    return total - normalization[:, None].to(total.device)


def choose_bandwidth(samples: Tensor | Iterable[Tensor], images: Tensor, bandwidths: Tensor = BANDWIDTHS) -> float:
    """The bandwidth under which images ``[n, pixels]``, neither trained nor tested on, are most likely."""
    return float(bandwidths[parzen_log_likelihood(samples, images, bandwidths).mean(1).argmax()])
