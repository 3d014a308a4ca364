"""What trained models make of held-out images: examined, kept in files, and measured."""

from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch import Tensor

from aae_lib.data import CLASSES, Digits, Images
from aae_lib.experiments.registry import GENERATORS, JUDGE, LIKELIHOOD, Experiment, build, find
from aae_lib.experiments.trained import PRETRAINED, load_trained
from aae_lib.metrics import (
    COVERED_DIMENSIONS,
    choose_bandwidth,
    class_shares,
    empty_clusters,
    error_percent,
    frechet_distance,
    image_change,
    labels_from_codes,
    majority_names,
    match,
    most_confident_names,
    neighbor_accuracy,
    neighborhoods_kept,
    own_class,
    parzen_log_likelihood,
    prior_samples,
    sharpness,
    squared_errors,
    steepest_tenth,
)
from aae_lib.models import (
    Autoencoder,
    Classifier,
    LabelAndStyleAutoencoder,
    LabelInformedAutoencoder,
    Model,
    ReducingAutoencoder,
    SupervisedAutoencoder,
)
from aae_lib.networks import IMAGE_SIZE, PIXELS, device_of
from aae_lib.priors import AroundHeads, ClassConditionalPrior, LabelAndStyle, Prior, seeded
from aae_lib.storage import StorageError, read_file, write_file

EVIDENCE = PRETRAINED / "evidence"
REPEATS = 200  # codes of one image
SAMPLES = 2000  # of the prior, decoded for the evidence
KEPT = 1000  # images whose codes are kept if these have many dimensions and no label; generators are compared on these
JUDGED = 10_000  # samples of the prior that a classifier or a Parzen window is made of
TRUSTED = 2000  # images whose neighborhoods are compared with those of their codes


@dataclass(frozen=True)
class Evidence:
    """What a trained model makes of held-out images. What a model does not have, or a file leaves out, is empty.

    Attributes:
        header: provenance (experiment, seed, steps, data, versions, wall time, history).
        labels: ``[n]``, int64: the true digits.
        codes: ``[n, d]``, float16: the code of each image (a sample of q(z|x) where the encoder is stochastic), or of
            the first 1,000 where they take much room.
        squared_errors: ``[n]``, float32 in steps of 1/256, which compress well: half the squared error of each
            reconstruction, summed over pixels.
        predictions: ``[n]``, uint8: the most probable digit, of a model that classifies.
        clusters: ``[n]``, uint8: the most probable label of each image, of a model that nobody tells what labels mean.
        names: ``[2, clusters]``, int8: the digit after which each of its clusters is named, by
            :func:`~aae_lib.metrics.majority_names` and by :func:`~aae_lib.metrics.most_confident_names`, on images that
            are neither trained nor tested on.
        heads: ``[clusters, d]``, float32: the heads of the clusters, of a model that maps images into few dimensions.
        trustworthiness: ``[1]``, float32: :func:`~aae_lib.metrics.neighborhoods_kept` of the first 2,000 images, of
            such a model.
        sample_digits: ``[10000]``, uint8: the digit that the digit-classifier takes each of 10,000 samples for, of an
            experiment that compares generators.
        fid: ``[1]``, float32: :func:`~aae_lib.metrics.frechet_distance` between features of those samples and of the
            held-out images. The samples of the digit-classifier itself are 10,000 images that it was trained on.
        log_likelihoods: ``[n]``, float32: :func:`~aae_lib.metrics.parzen_log_likelihood` of each image under 10,000
            samples of the likelihood experiment.
        bandwidth: ``[1]``, float32: of that Parzen window, chosen on images that are neither trained nor tested on.
        from_style: ``[n]``, uint8: the digit that a classifier of the styles alone takes each image for
            (:func:`~aae_lib.metrics.labels_from_codes`), of a model whose decoder is told the label.
        sharpness, changes: ``[2000]``, float16: :func:`~aae_lib.metrics.sharpness` of the images decoded from samples
            of the prior, if they are gray and 28 x 28, and :func:`~aae_lib.metrics.image_change` there, if the
            prior is of two dimensions; of a model with a prior and without labels.
        repeated: ``[10, 200, d]``, float16: 200 codes of each of the first ten images, q(z|x) as a cloud, of a model
            without labels and with a prior of two dimensions or none.
    """

    header: dict[str, Any]
    labels: Tensor
    codes: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float16))
    squared_errors: Tensor = field(default_factory=lambda: torch.empty(0))
    predictions: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))
    clusters: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))
    names: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int8))
    heads: Tensor = field(default_factory=lambda: torch.empty(0))
    trustworthiness: Tensor = field(default_factory=lambda: torch.empty(0))
    sample_digits: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))
    fid: Tensor = field(default_factory=lambda: torch.empty(0))
    log_likelihoods: Tensor = field(default_factory=lambda: torch.empty(0))
    bandwidth: Tensor = field(default_factory=lambda: torch.empty(0))
    from_style: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))
    sharpness: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float16))
    changes: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float16))
    repeated: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float16))

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What the file holds: all but the labels, which are those of the test set and are stored once for all."""
        names = [entry.name for entry in fields(self) if entry.name not in ("header", "labels")]
        return {name: getattr(self, name) for name in names if len(getattr(self, name))}

    @property
    def digits_of_clusters(self) -> Tensor:
        """The digit after whose majority each image's cluster is named, ``[n]``; -1 where it has no name."""
        return self.names[0][self.clusters.long()]


def examined_topic(experiment: Experiment, digits: Digits) -> str | None:
    """The topic for :func:`examine`; None for generators of other images, of which the judge knows nothing."""
    judged = digits.name == "MNIST" and experiment.shape == (1, IMAGE_SIZE, IMAGE_SIZE)
    return None if experiment.topic == GENERATORS and not judged else experiment.topic


@torch.no_grad()
def examine(
    model: Model, images: Images, header: dict[str, Any], training: Images | None = None, topic: str | None = None
) -> Evidence:
    """Encode, reconstruct and classify ``images`` in float32 on the CPU, with random numbers of seed 0.

    Codes are rounded to float16 and squared errors to 1/256, as they are stored, so that what is measured on them now
    and from the file agree.

    Args:
        training: the images that the experiment selects from; with them, ``from_style``, ``names``, the likelihood
            and the FID of generators are found.
        topic: what else is measured, see :func:`examined_topic`: for ``GENERATORS`` samples of the prior are judged by
            the digit-classifier, and for ``LIKELIHOOD`` the likelihood is estimated.

    The model is left in evaluation mode, on the CPU.
    """
    model = model.cpu().eval()
    batches = [images[start : start + 1000] for start in range(0, len(images), 1000)]
    of_plane = model.prior is not None and not has_labels(model) and model.prior.dimensions == 2
    found = {}
    with seeded(0):
        if hasattr(model, "encoder"):
            codes = [model.code_of(batch) for batch in batches]
            found["codes"] = torch.cat(codes).half()
            if found["codes"].shape[1] > COVERED_DIMENSIONS and not has_labels(model):
                found["codes"] = found["codes"][:KEPT]
        if hasattr(model, "encoder") and hasattr(model, "decoder"):
            decoded = zip(batches, codes, strict=True)
            errors = torch.cat([squared_errors(part.images, model.decode(c)) for part, c in decoded])
            found["squared_errors"] = (256 * errors).round() / 256
        if hasattr(model, "classify"):
            found["predictions"] = predict(model, images).byte()
        if finds_clusters(model):
            found["clusters"] = label_probabilities(model, images).argmax(1).byte()
            if training is not None:
                found["names"] = _names_of_clusters(model, training.hold_out()[1])
        if isinstance(model, SupervisedAutoencoder) and training is not None:
            styles = torch.cat([model.encode(part) for part in training.images.split(1000)])
            held_out = model.prior.split(torch.cat(codes))[1]
            found["from_style"] = labels_from_codes(styles, training.labels, held_out).byte()
        if isinstance(model, ReducingAutoencoder):
            found["heads"] = model.prior.positions
            some = slice(TRUSTED)
            found["trustworthiness"] = torch.tensor([neighborhoods_kept(images.images[some], found["codes"][some])])
        if hasattr(model, "encoder") and (of_plane or isinstance(model, Autoencoder) and model.prior is None):
            repeated = model.encode(images.images[:10].repeat_interleave(REPEATS, 0))
            found["repeated"] = repeated.unflatten(0, (-1, REPEATS)).half()
    if model.prior is not None and not has_labels(model):
        samples = prior_samples(model.prior, SAMPLES)
        if images.images.shape[1] == PIXELS:
            found["sharpness"] = sharpness(model.decode(samples)).half()
        if of_plane:
            found["changes"] = image_change(model.decode, samples).half()
    if topic == GENERATORS:
        found |= _judged(model, images, training)
    if topic == LIKELIHOOD and training is not None:
        samples = decoded_samples(model, JUDGED)
        bandwidth = choose_bandwidth(samples, training.hold_out()[1].images)
        found["bandwidth"] = torch.tensor([bandwidth])
        found["log_likelihoods"] = parzen_log_likelihood(samples, images.images, found["bandwidth"])[0]
    return Evidence(header, images.labels, **found)


def decoded_samples(model: Model, count: int, seed: int = 0) -> Tensor:
    """Images decoded from samples of a model's prior, ``[count, pixels]``, on the CPU; those of a seed agree."""
    samples = prior_samples(model.prior, count, seed)
    return torch.cat([model.decode(part.to(device_of(model))).cpu() for part in samples.split(1000)])


def _judged(model: Model, images: Images, training: Images | None) -> dict[str, Tensor]:
    """``sample_digits`` and ``fid`` of a model that generates, or of the digit-classifier itself on training images."""
    judge = model if isinstance(model, Classifier) else load_trained(JUDGE).model
    if model.prior is not None:
        samples = decoded_samples(model, JUDGED)
    elif training is not None:
        samples = training.hold_out()[1].images
    else:
        return {}
    features, real = (torch.cat([judge.features(part) for part in s.split(1000)]) for s in (samples, images.images))
    return {
        "sample_digits": predict(judge, Images(samples, torch.zeros(len(samples)))).byte(),
        "fid": torch.tensor([frechet_distance(features, real)]),
    }


def has_labels(model: Model) -> bool:
    """Whether a label, given or found, is a part of the model's code."""
    return isinstance(model.prior, LabelAndStyle | AroundHeads)


def finds_clusters(model: Model) -> bool:
    """Whether the model sorts images under labels that nobody has told it the meaning of."""
    return isinstance(model, LabelAndStyleAutoencoder) and not hasattr(model, "classify")


def label_probabilities(model: LabelAndStyleAutoencoder, images: Images) -> Tensor:
    """q(y|x) of images, ``[n, classes]``, on the CPU."""
    device = device_of(model)
    parts = [model.logits_and_style(part.to(device))[0].softmax(1) for part in images.images.split(1000)]
    return torch.cat(parts).cpu()


def _names_of_clusters(model: LabelAndStyleAutoencoder, images: Images) -> Tensor:
    """The names of a model's clusters by two rules, ``[2, clusters]``, int8; ``images`` are those that give them."""
    probabilities = label_probabilities(model, images)
    count = probabilities.shape[1]
    by_majority = majority_names(probabilities.argmax(1), images.labels, count)
    return torch.stack([by_majority, most_confident_names(probabilities, images.labels)])


def predict(model: Model, images: Images) -> Tensor:
    """The most probable label of each image, ``[n]``, by a model that classifies; on the device of the model."""
    device = device_of(model)
    return torch.cat([model.classify(part.to(device)).argmax(1) for part in images.images.split(1000)])


def interim_metrics(model: Model, images: Images, naming: Images, topic: str | None) -> dict[str, float]:
    """What the history of a run says of its model at each report, on held-out ``images``, by name; mostly nothing.

    ``error_percent`` of a model that classifies or finds clusters, and ``fid`` of one that generates.

    Args:
        naming: the images that name the clusters, neither trained nor tested on.
        topic: as for :func:`examine`.
    """
    if topic == GENERATORS and model.prior is not None:
        return {"fid": float(_judged(model, images, None)["fid"])}
    if hasattr(model, "classify"):
        predictions = predict(model, images).cpu()
    elif finds_clusters(model):
        predictions = _names_of_clusters(model, naming)[0][label_probabilities(model, images).argmax(1)]
    else:
        return {}
    return {"error_percent": error_percent(predictions, images.labels)}


def continuous_prior(model: Model) -> Prior | None:
    """The prior of the part of the code that is no label: the whole prior, or that of the style.

    None if the two are added up to the code.
    """
    if isinstance(model.prior, AroundHeads):
        return None
    return model.prior.style if isinstance(model.prior, LabelAndStyle) else model.prior


def measure(experiment: Experiment, evidence: Evidence) -> dict[str, float]:
    """All metrics of an experiment, by name, from its evidence."""
    metrics = {}
    model = build(experiment, 0)
    if len(evidence.predictions):
        metrics["test_error_percent"] = error_percent(evidence.predictions, evidence.labels)
    if len(evidence.clusters):
        clusters, digits = evidence.clusters, evidence.labels.numpy()
        metrics["adjusted_rand_index"] = float(adjusted_rand_score(digits, clusters))
        metrics["normalized_mutual_information"] = float(normalized_mutual_info_score(digits, clusters))
        metrics["empty_clusters"] = empty_clusters(clusters, model.prior.classes)
    if len(evidence.names):
        majority, most_confident = (names[evidence.clusters.long()] for names in evidence.names)
        metrics["test_error_percent"] = error_percent(majority, evidence.labels)
        metrics["test_error_percent_most_confident"] = error_percent(most_confident, evidence.labels)
    if len(evidence.fid):
        shares = evidence.sample_digits.long().bincount(minlength=CLASSES) / len(evidence.sample_digits)
        metrics["fid"], metrics["rarest_digit"] = float(evidence.fid), float(shares.min())
    if len(evidence.log_likelihoods):
        metrics["parzen_log_likelihood_10k"] = float(evidence.log_likelihoods.double().mean())
        metrics["bandwidth"] = float(evidence.bandwidth)
    if len(evidence.trustworthiness):
        metrics["trustworthiness"] = float(evidence.trustworthiness)
    if len(evidence.squared_errors):
        metrics["reconstruction_error"] = float(evidence.squared_errors.double().mean())
    if len(evidence.from_style):
        metrics["label_from_style_percent"] = 100 - error_percent(evidence.from_style, evidence.labels)
    if isinstance(model.prior, LabelAndStyle):
        if len(evidence.codes):
            metrics |= match(model.prior.split(evidence.codes)[1], model.prior.style)
        return metrics
    if not hasattr(model, "decoder"):
        return metrics
    # Generators are compared on as many codes as all of them keep.
    codes = evidence.codes[:KEPT] if experiment.topic == GENERATORS else evidence.codes
    if len(codes):
        metrics["neighbor_accuracy"] = neighbor_accuracy(codes, evidence.labels[: len(codes)])
    if isinstance(model.prior, AroundHeads):
        return metrics
    if model.prior is not None:
        if len(codes):
            metrics |= match(codes, model.prior)
        if len(evidence.sharpness):
            metrics["sample_sharpness"] = float(evidence.sharpness.double().mean())
    if len(evidence.changes):
        metrics["image_change"] = float(evidence.changes.double().mean())
        metrics["steepest_tenth"] = steepest_tenth(evidence.changes)
    if isinstance(model.prior, ClassConditionalPrior):
        shares = class_shares(evidence.codes, model.prior)
        metrics["smallest_class"], metrics["largest_class"] = float(shares.min()), float(shares.max())
    if isinstance(model, LabelInformedAutoencoder):
        metrics["own_class"] = own_class(evidence.codes, evidence.labels, model.prior)
    return metrics


def save_evidence(path: Path, evidence: Evidence) -> None:
    """Write all but the labels."""
    write_file(path, evidence.tensors, evidence.header, compress=True)


@cache
def test_set() -> dict[str, Tensor]:
    """What is kept of MNIST's test images, in the order of the file: ``labels`` and ``sharpness``, ``[10000]`` each."""
    tensors, _ = read_file(EVIDENCE / "test-set.safetensors")
    return {"labels": tensors["labels"].long(), "sharpness": tensors["sharpness"]}


def load_evidence(name: str, seed: int = 0) -> Evidence:
    """The shipped evidence of one seed of an experiment.

    Raises:
        StorageError: if this experiment or seed ships none.
    """
    return read_evidence(evidence_path(find(name), seed, EVIDENCE))


def read_evidence(path: Path, labels: Tensor | None = None) -> Evidence:
    """What :func:`~aae_lib.experiments.train_experiment` left in a file, with the labels of the images it measured.

    Args:
        labels: ``[n]``; default: those of MNIST's test set.

    Raises:
        StorageError: if there is no such file, it is damaged or no evidence, or it was measured on other images.
    """
    tensors, header = read_file(path)
    if not tensors.keys() <= {entry.name for entry in fields(Evidence)} - {"header", "labels"}:
        raise StorageError(f"{path} holds no evidence: that of a run is its file NAME-seed-SEED.safetensors")
    of_test_set = header.get("evaluated_on", "test") == "test" and header.get("data_name", "MNIST") == "MNIST"
    if labels is None and not of_test_set:
        where = f"{header.get('data_name', 'MNIST')}, {header.get('evaluated_on', 'test')}"
        raise StorageError(f"{path} was measured on other images ({where}): name their labels")
    labels = test_set()["labels"] if labels is None else labels
    for name in ("predictions", "clusters", "squared_errors"):
        if name in tensors and len(tensors[name]) != len(labels):
            raise StorageError(f"{path} was measured on {len(tensors[name])} images, and here are {len(labels)} labels")
    return Evidence(header, labels, **tensors)


def shipped_seeds(name: str) -> list[int]:
    """The seeds of an experiment that ship evidence."""
    paths = EVIDENCE.glob(f"{find(name).name}-seed-*.safetensors")
    return sorted(int(path.stem.rpartition("-")[2]) for path in paths)


def evidence_path(experiment: Experiment, seed: int, folder: Path) -> Path:
    """Where a run in ``folder`` leaves its evidence."""
    return folder / f"{experiment.name}-seed-{seed}.safetensors"
