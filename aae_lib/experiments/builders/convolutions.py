"""Models of convolutional networks."""

from torch import nn

from aae_lib import models
from aae_lib.experiments.builders.perceptrons import HIDDEN, Units
from aae_lib.networks import (
    FlipAndShift,
    GaussianNoise,
    JointDiscriminator,
    OntoSphere,
    convolutional_decoder,
    convolutional_encoder,
    multilayer_perceptron,
    plain_convolutions,
)
from aae_lib.priors import Prior
from aae_lib.shapes import Shape


def convolutional_variational(
    shape: Shape, classes: int, prior: Prior, *, channels: int = 32, pointwise: bool = False, kl_weight: float = 1.0
) -> models.VariationalAutoencoder:
    """The variational autoencoder."""
    return models.VariationalAutoencoder(
        prior,
        encoder=convolutional_encoder(2 * prior.dimensions, shape, channels),
        decoder=convolutional_decoder(prior.dimensions, shape, channels, pointwise),
        kl_weight=kl_weight,
    )


def convolutional_adversarial(
    shape: Shape, classes: int, prior: Prior, *, channels: int = 32, hidden: Units = HIDDEN
) -> models.AdversarialAutoencoder:
    """The adversarial autoencoder; its discriminator of codes is a perceptron."""
    return models.AdversarialAutoencoder(
        prior,
        encoder=convolutional_encoder(prior.dimensions, shape, channels),
        decoder=convolutional_decoder(prior.dimensions, shape, channels),
        discriminator=multilayer_perceptron(prior.dimensions, 1, hidden),
    )


def convolutional_classifier(
    shape: Shape, classes: int, prior: None, *, channels: int = 32, features: int = 64, input_noise: float = 0.0
) -> models.Classifier:
    """The classifier of convolutions and a linear layer; ``features``: numbers that the last layer decides by."""
    convolutions = convolutional_encoder(features, shape, channels)
    layers = GaussianNoise(input_noise), *convolutions, nn.ReLU(), nn.Linear(features, classes)
    return models.Classifier(nn.Sequential(*layers))


def color_classifier(
    shape: Shape, classes: int, prior: None, *, channels: int = 32, shift: int = 4
) -> models.Classifier:
    """The classifier of seven convolutions; while training, images are mirrored and shifted by ``shift`` pixels."""
    return models.Classifier(nn.Sequential(FlipAndShift(shift, shape), *plain_convolutions(classes, shape, channels)))


def age(
    shape: Shape, classes: int, prior: Prior, *, channels: int = 32, decoder_channels: int = 32,
    pointwise: bool = False, image_weight: float = 10.0, code_weight: float = 500.0,
    generator_image_weight: float = 0.0, generator_updates: int = 2,
) -> models.AdversarialGeneratorEncoder:  # fmt: skip
    """AGE; ``prior``: a :class:`~aae_lib.priors.UniformSphere`."""
    return models.AdversarialGeneratorEncoder(
        prior,
        encoder=convolutional_encoder(prior.dimensions, shape, channels).append(OntoSphere()),
        decoder=convolutional_decoder(prior.dimensions, shape, decoder_channels, pointwise),
        image_weight=image_weight,
        code_weight=code_weight,
        generator_image_weight=generator_image_weight,
        generator_updates=generator_updates,
    )


def gan(
    shape: Shape, classes: int, prior: Prior, *, channels: int = 32, pointwise: bool = False
) -> models.GenerativeAdversarialNetwork:
    """The generative adversarial network (DCGAN)."""
    return models.GenerativeAdversarialNetwork(
        prior,
        decoder=convolutional_decoder(prior.dimensions, shape, channels, pointwise),
        discriminator=convolutional_encoder(1, shape, channels),
    )


def ali(
    shape: Shape, classes: int, prior: Prior, *, channels: int = 32, pointwise: bool = False
) -> models.AdversariallyLearnedInference:
    """Adversarially learned inference."""
    return models.AdversariallyLearnedInference(
        prior,
        encoder=convolutional_encoder(2 * prior.dimensions, shape, channels),
        decoder=convolutional_decoder(prior.dimensions, shape, channels, pointwise),
        discriminator=JointDiscriminator(prior.dimensions, shape, channels),
    )
