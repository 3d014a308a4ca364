"""Generators compared: AGE (Ulyanov et al. 2017), GAN, ALI, VAE and AAE with the same convolutional networks."""

from dataclasses import replace
from functools import cache, partial

import torch
from torch import Tensor

from aae_lib.data import MNIST_SHAPE, Images
from aae_lib.experiments import builders, measures
from aae_lib.experiments.evidence import Examination
from aae_lib.experiments.experiment import PRETRAINED, Chapter, Experiment, Measure, weights_path
from aae_lib.experiments.likelihood import JUDGED
from aae_lib.experiments.measures import decoded_samples, in_batches, of, predict
from aae_lib.metrics import frechet_distance
from aae_lib.models import Model
from aae_lib.priors import Gaussian, UniformSphere
from aae_lib.storage import load_weights
from aae_lib.training import Adam, Cosine, Recipe

OF_DIGITS = ("MNIST", "MNIST-sample")  # data sets that the digit-classifier knows


def judged(examination: Examination) -> dict[str, Tensor]:
    """``sample_digits`` ``[10000]``, uint8, and ``fid`` ``[1]``, float32: of samples, by the digit-classifier.

    The digit that it takes each sample for, and the Frechet distance between its features of the samples and of the
    held-out images; nothing where these are no digits. The samples of the digit-classifier itself are training images.
    """
    model, images = examination.model, examination.images.images
    itself = hasattr(model, "classify")
    of_digits = examination.data_name in OF_DIGITS and examination.images.shape == MNIST_SHAPE
    if not of_digits or (itself and examination.training is None):
        return {}
    judge = model if itself else digit_classifier()
    samples = examination.training.hold_out()[1].images if itself else decoded_samples(model, JUDGED)
    features, real = (in_batches(judge.features, part, judge) for part in (samples, images))
    nothing = torch.full((len(samples),), -1)
    return {
        "sample_digits": predict(judge, Images(samples, nothing)).byte(),
        "fid": torch.tensor([frechet_distance(features, real)]),
    }


FID = Measure("fid", "FID on digit features", partial(of, float, ["fid"]), (judged,), at_reports=True)
RAREST_DIGIT = Measure(
    "rarest_digit", "share of the rarest digit", partial(of, measures.rarest_share, ["sample_digits"]), (judged,)
)
GENERATORS = Chapter(
    title="Generators compared", notebook="11_generators_compared",
    measures=(measures.TEST_ERROR, FID, RAREST_DIGIT, measures.RECONSTRUCTION_ERROR, measures.NEIGHBOR_ACCURACY,
              *measures.MATCH, measures.SAMPLE_SHARPNESS),
    columns=("fid", "rarest_digit", "sample_sharpness", "reconstruction_error", "sliced_wasserstein",
             "neighbor_accuracy"),
    compared_codes=1000,
)  # fmt: skip

DCGAN_ADAM = Adam(2e-4, (0.5, 0.999))
AUTOENCODER_ADAM = Adam(5e-4, (0.5, 0.999))
STEPS, BATCH_SIZE = 5_000, 64
SCHEDULE = Cosine(start=STEPS * BATCH_SIZE / 200, end=STEPS * BATCH_SIZE / 100)
# A Gaussian fitted to codes of ten dimensions knows too little of them: AGE's samples then stay far from digits. Its
# paper takes 64, too. The AAE's codes should have as many dimensions as the data need (A.1: 5 to 8).
WIDE, COMPACT = 64, 10
OF_WIDE = "Networks and number of steps are ours; Adam as in DCGAN and AGE."
OF_COMPACT = "All constants are ours."


def _recipe(adam: Adam, *updates: str) -> Recipe:
    return Recipe(dict.fromkeys(updates, adam), STEPS, SCHEDULE, BATCH_SIZE)


_comparison = partial(Experiment, chapter=GENERATORS, figure="AGE (comparison)")
_age = partial(Experiment, chapter=GENERATORS, figure="AGE", build=builders.age, prior=UniformSphere(WIDE),
               recipe=_recipe(DCGAN_ADAM, "encoder", "generator"))  # fmt: skip
# The official code's lambda is twice our weight of the code. It takes 1,000 for 64 and for 128 dimensions; ten for each
# dimension lies between these.
CODE_WEIGHT = 320.0

DIGIT_CLASSIFIER = Experiment(
    name="digit-classifier", title="digit classifier, whose features give the FID", chapter=GENERATORS,
    figure="(measure)", build=builders.convolutional_classifier,
    recipe=Recipe({"classification": Adam(1e-3)}, steps=3_000, schedule=Cosine(0, 3_000)),
    settings={"features": 64},
    source=OF_COMPACT,
)


@cache
def digit_classifier() -> Model:
    """The shipped classifier of digits, in evaluation mode on the CPU."""
    model = DIGIT_CLASSIFIER.model(0)
    load_weights(weights_path(DIGIT_CLASSIFIER, PRETRAINED), model)
    return model.eval()


VAE = _comparison(
    name="vae-conv", title="VAE", build=builders.convolutional_variational,
    recipe=_recipe(AUTOENCODER_ADAM, "evidence_lower_bound"), prior=Gaussian(COMPACT),
    source=OF_COMPACT,
)


def _lighter(kl_weight: float) -> Experiment:
    """The VAE with less weight of the KL term."""
    name, title = f"vae-conv-{kl_weight}", f"VAE, KL weight {kl_weight}"
    return replace(VAE, name=name, title=title, settings={"kl_weight": kl_weight})


EXPERIMENTS = (
    DIGIT_CLASSIFIER,
    _age(
        name="age", title="AGE", settings={"image_weight": 10.0, "code_weight": CODE_WEIGHT},
        source=f"{OF_WIDE} Weight of the image: AGE; weight of the code: five for each dimension, between those of the "
        "official commands (3.9 and 7.8).",
    ),
    _age(
        name="age-no-reconstruction", title="AGE, the game alone", settings={"image_weight": 0.0, "code_weight": 0.0},
        source="As age, without the two reconstructions.",
    ),
    _age(
        name="age-generator-reconstruction", title="AGE, image error on the generator too",
        settings={"image_weight": 10.0, "code_weight": CODE_WEIGHT, "generator_image_weight": 10.0},
        source="As age, with the image error in the generator's updates, too.",
    ),
    _comparison(
        name="dcgan", title="GAN (DCGAN)", build=builders.gan, recipe=_recipe(DCGAN_ADAM, "discriminator", "generator"),
        prior=Gaussian(WIDE),
        source=OF_WIDE,
    ),
    _comparison(
        name="ali", title="ALI", build=builders.ali, recipe=_recipe(DCGAN_ADAM, "discriminator", "generator"),
        prior=Gaussian(WIDE),
        source=f"{OF_WIDE} Dropout in the discriminator as in ALI.",
    ),
    VAE,
    *map(_lighter, (0.2, 0.1, 0.05)),
    _comparison(
        name="aae-conv", title="AAE", build=builders.convolutional_adversarial,
        recipe=_recipe(AUTOENCODER_ADAM, "reconstruction", "discriminator", "generator"), prior=Gaussian(COMPACT),
        source=OF_COMPACT,
    ),
)
