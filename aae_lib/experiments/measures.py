"""The measures that several chapters share, and what collects the evidence for them.

A collector names the tensors that it puts into the evidence; ``n`` is the number of held-out images, ``d`` the length
of a code. What only one chapter measures stands in its file. Experiments can be pickled, so there are no lambdas.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from aae_lib import metrics
from aae_lib.data import Images
from aae_lib.devices import device_of
from aae_lib.experiments.evidence import BATCH, Evidence, Examination
from aae_lib.experiments.experiment import Experiment, Measure
from aae_lib.metrics import COVERED_DIMENSIONS, error_percent, prior_samples
from aae_lib.models import Model
from aae_lib.priors import Prior
from aae_lib.seeding import seeded

REPEATS = 200  # codes of one image
SAMPLES = 2000  # of the prior, decoded for the evidence
COMPARED = 2 * metrics.NEIGHBORS_OF_LABEL + 1  # images at least, for their neighborhoods to say anything
TRUSTED = 2000  # images whose neighborhoods are compared with those of their codes


def in_batches(function: Callable[[Tensor], Tensor], inputs: Tensor, model: Model) -> Tensor:
    """``function`` of inputs ``[n, ...]``, computed in parts on the device of the model; on the CPU."""
    return torch.cat([function(part.to(device_of(model))).cpu() for part in inputs.split(BATCH)])


def small(labels: Tensor) -> Tensor:
    """Labels as uint8, as long as they fit."""
    return labels.byte() if not len(labels) or int(labels.max()) < 256 else labels.to(torch.int16)


def predict(model: Model, images: Images) -> Tensor:
    """The most probable label of each image, ``[n]``, by a model that classifies."""
    return in_batches(lambda part: model.classify(part).argmax(1), images.images, model)


def label_probabilities(model: Model, images: Images) -> Tensor:
    """q(y|x) of each image, ``[n, classes]``, by a model with a code of label and style."""
    return in_batches(lambda part: model.logits_and_style(part)[0].softmax(1), images.images, model)


def decoded_samples(model: Model, count: int, seed: int = 0) -> Tensor:
    """Images decoded from samples of a model's prior, ``[count, pixels]``; the same for the same seed."""
    return in_batches(model.decode, prior_samples(model.prior, count, seed), model)


# Collectors


def codes(examination: Examination) -> dict[str, Tensor]:
    """``codes``, ``[n, d]``, float16; see :attr:`~aae_lib.experiments.Chapter.compared_codes`."""
    if not hasattr(examination.model, "encoder"):
        return {}
    found = examination.codes.half()
    wide = found.shape[1] > COVERED_DIMENSIONS
    return {"codes": found[: examination.experiment.chapter.compared_codes] if wide else found}


def reconstructed(examination: Examination) -> dict[str, Tensor]:
    """``squared_errors``, ``[n]``: of each reconstruction, in steps of 1/256, which compress well."""
    model, images = examination.model, examination.images.images
    if not (hasattr(model, "encoder") and hasattr(model, "decoder")):
        return {}
    errors = metrics.squared_errors(images, in_batches(model.decode, examination.codes, model))
    return {"squared_errors": (256 * errors).round() / 256}


def repeated(examination: Examination) -> dict[str, Tensor]:
    """``repeated``, ``[10, 200, d]``, float16: 200 codes of each of the first ten images, q(z|x) as a cloud."""
    images = examination.images.images[:10].repeat_interleave(REPEATS, 0)
    return {"repeated": examination.model.encode(images).unflatten(0, (-1, REPEATS)).half()}


def sharpened(examination: Examination) -> dict[str, Tensor]:
    """``sharpness``, ``[2000]``, float16: of images decoded from samples of the prior."""
    model, shape = examination.model, examination.images.shape
    if model.prior is None or not shape:
        return {}
    return {"sharpness": metrics.sharpness(model.decode(prior_samples(model.prior, SAMPLES)), shape).half()}


def changing(examination: Examination) -> dict[str, Tensor]:
    """``changes``, ``[2000]``, float16: how fast the decoded image changes at samples of the prior."""
    prior = examination.model.prior
    if prior is None:
        return {}
    return {"changes": metrics.image_change(examination.model.decode, prior_samples(prior, SAMPLES)).half()}


def classified(examination: Examination) -> dict[str, Tensor]:
    """``predictions``, ``[n]``, uint8: the most probable label, of a model that was told labels."""
    if not hasattr(examination.model, "classify"):
        return {}
    return {"predictions": small(predict(examination.model, examination.images))}


def clustered(examination: Examination) -> dict[str, Tensor]:
    """``clusters`` ``[n]``, and ``names`` ``[2, clusters]``, int8, of a model that was told no labels.

    A cluster is the most probable label. It is named by the majority and by the most certain image, both of the last
    sixth of the training images, which the model has not seen.
    """
    model = examination.model
    if hasattr(model, "classify") or not hasattr(model, "logits_and_style"):
        return {}
    found = {"clusters": small(label_probabilities(model, examination.images).argmax(1))}
    naming = None if examination.training is None else examination.training.hold_out()[1].labeled()
    if naming is not None and len(naming):
        probabilities = label_probabilities(model, naming)
        by_majority = metrics.majority_names(probabilities.argmax(1), naming.labels, probabilities.shape[1])
        found["names"] = torch.stack([by_majority, metrics.most_confident_names(probabilities, naming.labels)])
    return found


def informed(examination: Examination) -> dict[str, Tensor]:
    """``label_information``, ``[1]``, float32: between the clusters of images and of augmented copies, in nats.

    Their mutual information is large if there are many clusters and augmentation moves few images to another one (Ji
    et al. 2019 train by it). It needs no label, so it can choose between runs. The images are the last sixth of the
    training images, which the model has not seen.
    """
    model = examination.model
    if getattr(model, "augmentation", None) is None or hasattr(model, "classify") or examination.training is None:
        return {}
    from sklearn.metrics import mutual_info_score

    images = examination.training.hold_out()[1]
    with seeded(0):
        copies = replace(images, images=model.augmentation.train()(images.images))
    model.eval()
    clusters, of_copies = (label_probabilities(model, each).argmax(1) for each in (images, copies))
    return {"label_information": torch.tensor([mutual_info_score(clusters, of_copies)], dtype=torch.float32)}


def trusted(examination: Examination) -> dict[str, Tensor]:
    """``trustworthiness``, ``[1]``, float32: of the codes of the first 2,000 images."""
    if len(examination.images) < COMPARED:
        return {}
    images, found = examination.images.images, examination.codes.half()
    kept = metrics.neighborhoods_kept(images[:TRUSTED], found[:TRUSTED])
    return {"trustworthiness": torch.tensor([kept])}


def heads(examination: Examination) -> dict[str, Tensor]:
    """``heads``, ``[clusters, d]``, float32: the heads of the clusters."""
    return {"heads": examination.model.heads.positions.detach()}


# Values


def of(
    function: Callable[..., float], names: Sequence[str], experiment: Experiment, evidence: Evidence
) -> float | None:
    """The value that is a function of the labels, or of tensors of the evidence; None where one is missing."""
    labels = evidence.labels if evidence.is_labeled else None
    found = [labels if name == "labels" else evidence.tensors.get(name) for name in names]
    return None if any(tensor is None for tensor in found) else function(*found)


def _adjusted_rand_index(labels: Tensor, clusters: Tensor) -> float:
    from sklearn.metrics import adjusted_rand_score

    return adjusted_rand_score(labels, clusters)


def _normalized_mutual_information(labels: Tensor, clusters: Tensor) -> float:
    from sklearn.metrics import normalized_mutual_info_score

    return normalized_mutual_info_score(labels, clusters)


def mean(values: Tensor) -> float:
    return float(values.double().mean())


def right_percent(found: Tensor, labels: Tensor) -> float:
    return 100 - error_percent(found, labels)


def rarest_share(classes: Tensor) -> float:
    """The share of the rarest of ten classes."""
    return float((classes.long().bincount(minlength=10) / len(classes)).min())


def of_codes(
    function: Callable[[Tensor, Prior], float | None], experiment: Experiment, evidence: Evidence
) -> float | None:
    """The value that is a function of the codes, or styles beside a label, and the prior."""
    prior = experiment.prior
    if prior is None or "codes" not in evidence.tensors:
        return None
    return function(evidence.codes[: experiment.chapter.compared_codes, -prior.dimensions :], prior)


def _coverage(codes: Tensor, prior: Prior) -> float | None:
    unknown = prior.dimensions > COVERED_DIMENSIONS or len(codes) < COMPARED
    return None if unknown else metrics.prior_coverage(codes, prior_samples(prior, len(codes)))


def _distance(codes: Tensor, prior: Prior) -> float:
    return metrics.sliced_wasserstein(codes, prior_samples(prior, len(codes)))


def _inside(codes: Tensor, prior: Prior) -> float | None:
    return metrics.inside_prior(codes, prior) if hasattr(prior, "log_prob") else None


def _share(extreme: Callable[[list[float]], float], codes: Tensor, prior: Prior) -> float | None:
    return extreme(metrics.class_shares(codes, prior).tolist()) if hasattr(prior, "nearest_class") else None


def _neighbor_accuracy(experiment: Experiment, evidence: Evidence) -> float | None:
    if "codes" not in evidence.tensors or not evidence.is_labeled or len(evidence.labels) < COMPARED:
        return None
    codes = evidence.codes[: experiment.chapter.compared_codes]
    return metrics.neighbor_accuracy(codes, evidence.labels[: len(codes)])


def _error(experiment: Experiment, evidence: Evidence) -> float | None:
    if "predictions" in evidence.tensors:
        return of(error_percent, ("predictions", "labels"), experiment, evidence)
    return of(partial(error_of_names, 0), OF_NAMES, experiment, evidence)


def error_of_names(rule: int, names: Tensor, clusters: Tensor, labels: Tensor) -> float:
    return error_percent(names[rule][clusters.long()], labels)


def _empty_clusters(names: Tensor, clusters: Tensor) -> float:
    return metrics.empty_clusters(clusters, names.shape[1])


# Measures

OF_NAMES = ("names", "clusters", "labels")
RECONSTRUCTION_ERROR = Measure(
    "reconstruction_error", "reconstruction error", partial(of, mean, ["squared_errors"]), (codes, reconstructed)
)
NEIGHBOR_ACCURACY = Measure("neighbor_accuracy", "neighbor accuracy", _neighbor_accuracy, (codes,))
MATCH = (
    Measure("prior_coverage", "prior coverage", partial(of_codes, _coverage), (codes,)),
    Measure("sliced_wasserstein", "sliced Wasserstein", partial(of_codes, _distance), (codes,)),
    Measure("inside_prior", "inside the prior", partial(of_codes, _inside), (codes,)),
)
SMALLEST_CLASS = Measure("smallest_class", "smallest component", partial(of_codes, partial(_share, min)), (codes,))
LARGEST_CLASS = Measure("largest_class", "largest component", partial(of_codes, partial(_share, max)), (codes,))
SAMPLE_SHARPNESS = Measure("sample_sharpness", "sharpness", partial(of, mean, ["sharpness"]), (sharpened,))
IMAGE_CHANGE = Measure("image_change", "image change", partial(of, mean, ["changes"]), (changing,))
STEEPEST_TENTH = Measure(
    "steepest_tenth", "steepest tenth", partial(of, metrics.steepest_tenth, ["changes"]), (changing,)
)
TRUSTWORTHINESS = Measure("trustworthiness", "trustworthiness", partial(of, float, ["trustworthiness"]), (trusted,))
LABEL_INFORMATION = Measure(
    "label_information", "information that a label keeps under augmentation, nats",
    partial(of, float, ["label_information"]), (informed,), at_reports=True,
)  # fmt: skip
TEST_ERROR = Measure("test_error_percent", "test error, %", _error, (classified, clustered), at_reports=True)
OF_CLUSTERS = (
    Measure("adjusted_rand_index", "adjusted Rand index",
            partial(of, _adjusted_rand_index, ("labels", "clusters")), (clustered,)),
    Measure("normalized_mutual_information", "normalized mutual information",
            partial(of, _normalized_mutual_information, ("labels", "clusters")), (clustered,)),
    Measure("empty_clusters", "empty clusters", partial(of, _empty_clusters, ("names", "clusters")), (clustered,)),
    TEST_ERROR,
    Measure("test_error_percent_most_confident", "test error by the most certain image, %",
            partial(of, partial(error_of_names, 1), OF_NAMES), (clustered,)),
)  # fmt: skip
