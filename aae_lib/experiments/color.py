"""In color: AGE (Ulyanov et al. 2017) against GAN, ALI and VAE on CIFAR-10, with one generator and one budget.

All see the same number of images. What their samples are like is judged by the features of a classifier of CIFAR-10
that this project trains, so these numbers compare models of this project; they are not the papers' Inception scores.
"""

from dataclasses import replace
from functools import cache, partial

import torch
from torch import Tensor

from aae_lib import metrics
from aae_lib.data import DataSet, load_images
from aae_lib.data.mnist import data_folder
from aae_lib.experiments import builders, measures
from aae_lib.experiments.evidence import Examination
from aae_lib.experiments.experiment import PRETRAINED, Chapter, Experiment, Measure, weights_path
from aae_lib.experiments.generators import AUTOENCODER_ADAM, DCGAN_ADAM
from aae_lib.experiments.likelihood import JUDGED
from aae_lib.experiments.measures import decoded_samples, in_batches, of
from aae_lib.models import Model, SemanticGeneratorEncoder
from aae_lib.networks import OntoSphere, convolutional_decoder, convolutional_encoder
from aae_lib.picture_metrics import class_score, spectrum
from aae_lib.priors import Gaussian, Prior, UniformSphere
from aae_lib.shapes import Shape
from aae_lib.storage import load_weights
from aae_lib.training import Adam, Cosine, Drops, Recipe, WarmUp

DATA, SHAPE = "CIFAR10", (3, 32, 32)
DRAWN = 16  # samples that the evidence keeps as pictures
REBUILT = 8  # reconstructions that it keeps
NEAREST = 200  # samples whose nearest training image is looked for
FINEST = 12  # from so many waves across a picture on, frequencies count as the finest


# What is measured


def judged(examination: Examination) -> dict[str, Tensor]:
    """What the classifier of CIFAR-10 makes of 10,000 samples; nothing of other images or sizes, or if it is missing.

    ``fid`` and ``feature_coverage`` ``[1]``: how its features of samples and of held-out images differ, and the share
    of held-out images with a sample close by (as :func:`~aae_lib.metrics.prior_coverage`). ``sample_classes``
    ``[10000]``, uint8, and ``class_score`` ``[1]``: the classes that it sees in samples, and how sure it is of them
    (:func:`~aae_lib.picture_metrics.class_score`). ``reconstructed_classes`` ``[n]``, uint8: those in reconstructions.
    The samples of the classifier itself are training images, but its ``class_score`` is that of held-out images.
    """
    model, held_out, training = examination.model, examination.images, examination.training
    itself = hasattr(model, "classify")
    if (examination.data_name, held_out.shape) != (DATA, SHAPE):
        return {}
    if training is None if itself else not _classifier_ships():
        return {}
    judge = model if itself else cifar10_classifier()
    samples = training.images[:JUDGED] if itself else decoded_samples(model, JUDGED)
    features, real = (in_batches(judge.features, part, judge) for part in (samples, held_out.images))
    logits = judge.classifier[-1](features)
    found = {
        "fid": torch.tensor([metrics.frechet_distance(features, real)]),
        "feature_coverage": torch.tensor([metrics.prior_coverage(features, real)]),
        "sample_classes": logits.argmax(1).byte(),
        "class_score": torch.tensor([class_score(judge.classifier[-1](real) if itself else logits)]),
    }
    if hasattr(model, "encoder"):
        back = in_batches(lambda codes: judge.classify(model.decode(codes)).argmax(1), examination.codes, model)
        found["reconstructed_classes"] = back.byte()
    return found


def drawn(examination: Examination) -> dict[str, Tensor]:
    """What samples are like as pictures; of the classifier, training or held-out images stand for samples.

    ``samples`` ``[16, pixels]``, uint8 (none of the classifier). ``reconstructions`` ``[8, pixels]``, uint8: of the
    first held-out images, by a model that encodes. ``spectra`` ``[2, side / 2 + 1]``: the mean power at each frequency
    of 10,000 samples, and of held-out images. ``nearest`` ``[200]``, int32, and ``nearest_distances`` ``[200]``: the
    training image that is nearest to each of the first samples (the classifier: held-out images), and how far away it
    is, as root mean square over pixels.
    """
    model, training, shape = examination.model, examination.training, examination.images.shape
    held_out = examination.images.images[:JUDGED]
    if training is None or not shape:
        return {}
    itself = not hasattr(model, "decoder")
    samples = training.images[:JUDGED] if itself else decoded_samples(model, JUDGED)
    looked_for = held_out if itself else samples
    distances, nearest = torch.cdist(looked_for[:NEAREST], training.images).min(1)
    found = {} if itself else {"samples": (255 * samples[:DRAWN]).round().byte()}
    if hasattr(model, "encoder"):
        back = in_batches(model.decode, examination.codes[:REBUILT], model)
        found["reconstructions"] = (255 * back).round().byte()
    return found | {
        "spectra": torch.stack([spectrum(part, shape) for part in (samples, held_out)]),
        "nearest": nearest.int(),
        "nearest_distances": distances / samples.shape[1] ** 0.5,
    }


def compared(examination: Examination) -> dict[str, Tensor]:
    """``code_neighbors`` and ``code_distance``, ``[1]``: of the codes of all held-out images, which are not kept."""
    model, labels = examination.model, examination.images.labels
    if not hasattr(model, "encoder"):
        return {}
    codes = examination.codes
    samples = metrics.prior_samples(model.prior, len(codes))
    found = {"code_distance": torch.tensor([metrics.sliced_wasserstein(codes, samples)])}
    if len(codes) >= measures.COMPARED and int(labels.min()) >= 0:
        found["code_neighbors"] = torch.tensor([metrics.neighbor_accuracy(codes, labels)])
    return found


def _fine_detail(spectra: Tensor) -> float:
    of_samples, of_images = spectra[:, FINEST:].double().mean(1)
    return float(100 * of_samples / of_images)


RECONSTRUCTION_ERROR = replace(measures.RECONSTRUCTION_ERROR, collect=(measures.reconstructed,))
COLOR = Chapter(
    title="In color: generators of CIFAR-10", notebook="13_age_in_color",
    measures=(
        measures.TEST_ERROR,
        Measure("cifar10_fid", "FID on CIFAR-10 features", partial(of, float, ["fid"]), (judged,)),
        Measure("class_score", "class score", partial(of, float, ["class_score"]), (judged,)),
        Measure("feature_coverage", "coverage of features", partial(of, float, ["feature_coverage"]), (judged,)),
        Measure("rarest_class", "share of the rarest class", partial(of, measures.rarest_share, ["sample_classes"]),
                (judged,)),
        RECONSTRUCTION_ERROR,
        Measure("same_class_percent", "reconstructions of the same class, %",
                partial(of, measures.right_percent, ["reconstructed_classes", "labels"]), (judged,)),
        Measure("neighbor_accuracy", measures.NEIGHBOR_ACCURACY.title, partial(of, float, ["code_neighbors"]),
                (compared,)),
        Measure("sliced_wasserstein", measures.MATCH[1].title, partial(of, float, ["code_distance"]), (compared,)),
        Measure("fine_detail_percent", "power of the finest frequencies, % of images",
                partial(of, _fine_detail, ["spectra"]), (drawn,)),
        Measure("nearest_distance", "distance to the nearest training image",
                partial(of, measures.mean, ["nearest_distances"]), (drawn,)),
    ),
    columns=("cifar10_fid", "class_score", "feature_coverage", "rarest_class", "reconstruction_error",
             "same_class_percent", "fine_detail_percent"),
)  # fmt: skip


# The experiments

EPOCH = 50_000 // 64  # steps; 16 of the images are left
EPOCHS = 10  # of all generators; AGE takes 23 minutes for them on one thread
STEPS = EPOCHS * EPOCH
CODES = 128  # dimensions (the official command)
NETWORKS = {"pointwise": True}
OURS = "Size of the networks (half of the official channels) and number of steps are ours."


def _clock(steps: float) -> float:
    return steps * 64 / 100


def _recipe(adam: Adam, *updates: str) -> Recipe:
    return Recipe(dict.fromkeys(updates, adam), STEPS, Cosine(_clock(STEPS / 2), _clock(STEPS)), batch_size=64)


CIFAR10_CLASSIFIER = Experiment(
    name="cifar10-classifier", title="classifier of CIFAR-10, whose features judge", chapter=COLOR, figure="(measure)",
    build=builders.color_classifier,
    recipe=Recipe({"classification": Adam(2e-3)}, steps=4_000, schedule=WarmUp(400, Cosine(800, 4_000))),
    source="All constants are ours.", data=DATA, report_every=2_000,
)  # fmt: skip


def _classifier_ships() -> bool:
    return weights_path(CIFAR10_CLASSIFIER, PRETRAINED).exists()


@cache
def cifar10_classifier(device: str = "cpu") -> Model:
    """The shipped classifier of CIFAR-10, in evaluation mode; its weights take no gradients."""
    model = CIFAR10_CLASSIFIER.model(0, SHAPE)
    load_weights(weights_path(CIFAR10_CLASSIFIER, PRETRAINED), model)
    return model.to(device).eval().requires_grad_(False)


def cifar10_at_hand() -> DataSet | None:
    """CIFAR-10, if it lies in the folder of the data; it is not downloaded."""
    return load_images(DATA) if (data_folder(None) / "cifar-10-batches-py").is_dir() else None


def cifar10_features(images: Tensor) -> Tensor:
    """The shipped classifier's features of images, ``[n, 3072] -> [n, 256]``."""
    return cifar10_classifier(str(images.device)).features(images)


def semantic_age(
    shape: Shape, classes: int, prior: Prior, *, channels: int = 32, decoder_channels: int = 32,
    pointwise: bool = False, image_weight: float = 10.0, code_weight: float = 500.0, feature_weight: float = 1.0,
) -> SemanticGeneratorEncoder:  # fmt: skip
    """AGE with the features of the classifier of CIFAR-10 in the encoder's reconstruction."""
    return SemanticGeneratorEncoder(
        prior,
        convolutional_encoder(prior.dimensions, shape, channels).append(OntoSphere()),
        convolutional_decoder(prior.dimensions, shape, decoder_channels, pointwise),
        features=cifar10_features,
        image_weight=image_weight,
        code_weight=code_weight,
        feature_weight=feature_weight,
    )


_color = partial(Experiment, chapter=COLOR, data=DATA, report_every=EPOCH)
_compared = partial(_color, figure="AGE (comparison)", prior=Gaussian(CODES))
# The official code's lambda, 1,000 before the cosine divided by 128, is twice our weight of the code.
AGE = _color(
    name="age-cifar10", title="AGE, CIFAR-10", figure="AGE (CIFAR-10)", build=builders.age,
    recipe=_recipe(DCGAN_ADAM, "encoder", "generator"), prior=UniformSphere(CODES),
    settings={**NETWORKS, "image_weight": 10.0, "code_weight": 500.0},
    source=f"The official command for CIFAR-10 and its networks. {OURS} The KL has the standard deviation where it "
    "belongs, not the variance.",
)  # fmt: skip


def _other_age(ending: str, title: str, source: str, **settings: float) -> Experiment:
    return replace(
        AGE, name=f"age-cifar10-{ending}", title=f"AGE, CIFAR-10, {title}", settings={**AGE.settings, **settings},
        source=f"As age-cifar10, {source}.",
    )  # fmt: skip


def _vae(kl_weight: float) -> Experiment:
    """Its reconstruction error is the sum over 3,072 pixels, so that the weight is the variance of a pixel."""
    return _compared(
        name=f"vae-cifar10-{kl_weight:g}", title=f"VAE, CIFAR-10, KL weight {kl_weight:g}",
        build=builders.convolutional_variational, recipe=_recipe(AUTOENCODER_ADAM, "evidence_lower_bound"),
        settings={**NETWORKS, "kl_weight": kl_weight}, source=f"{OURS} Weight: one of four.",
    )  # fmt: skip


EXPERIMENTS = (
    CIFAR10_CLASSIFIER,
    AGE,
    _other_age("no-reconstruction", "the game alone", "without the two reconstructions", image_weight=0.0,
               code_weight=0.0),
    _other_age("generator-reconstruction", "image error on the generator too",
               "with the image error in the generator's updates, too", generator_image_weight=10.0),
    replace(
        _other_age("semantic", "features in the reconstruction",
                   "with the features of the classifier in the encoder's reconstruction; their weight is ours and was "
                   "not chosen among several", feature_weight=1.0),
        build=semantic_age, figure="AGE (a review's idea)",
    ),
    _compared(
        name="dcgan-cifar10", title="GAN (DCGAN), CIFAR-10", build=builders.gan, settings=NETWORKS,
        recipe=_recipe(DCGAN_ADAM, "discriminator", "generator"), source=f"{OURS} Adam as in DCGAN.",
    ),
    _compared(
        name="ali-cifar10", title="ALI, CIFAR-10", build=builders.ali, settings=NETWORKS,
        recipe=_recipe(DCGAN_ADAM, "discriminator", "generator"),
        source=f"{OURS} Adam as in DCGAN, dropout in the discriminator as in ALI.",
    ),
    *map(_vae, (1.0, 0.1, 0.03, 0.01)),
    # The official command halves its rates as epochs 40, 80 and 120 begin.
    replace(
        AGE, name="age-cifar10-official", title="AGE, CIFAR-10, official size (for a GPU)",
        recipe=Recipe(
            AGE.recipe.optimizers, steps=150 * EPOCH,
            schedule=Drops(at=tuple(_clock(epochs * EPOCH) for epochs in (39, 79, 119)), factor=0.5), batch_size=64,
        ),
        settings={**AGE.settings, "channels": 64, "decoder_channels": 128}, report_every=5 * EPOCH,
        source="The official command for CIFAR-10 and its networks. The KL has the standard deviation where it "
        "belongs, not the variance.",
    ),
)  # fmt: skip
