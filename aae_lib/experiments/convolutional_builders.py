"""Builders of convolutional models, called as those of :mod:`~aae_lib.experiments.builders`.

``channels`` is the number of channels after the encoder's first convolution, and before the decoder's last. Images have
at most 32 pixels a side; a larger shape raises a ``ShapeError``.
"""

from torch import nn

from aae_lib.models import (
    AdversarialAutoencoder,
    AdversarialGeneratorEncoder,
    AdversariallyLearnedInference,
    Classifier,
    GenerativeAdversarialNetwork,
    VariationalAutoencoder,
)
from aae_lib.networks import (
    GaussianNoise,
    JointDiscriminator,
    OntoSphere,
    convolutional_decoder,
    convolutional_encoder,
    multilayer_perceptron,
)
from aae_lib.priors import Prior
from aae_lib.shapes import Shape


def convolutional_variational(
    shape: Shape, classes: int, prior: Prior, *, channels: int = 32, kl_weight: float = 1.0
) -> VariationalAutoencoder:
    """The variational autoencoder of convolutional networks; ``kl_weight``: the factor of the KL term."""
    return VariationalAutoencoder(
        prior,
        encoder=convolutional_encoder(2 * prior.dimensions, shape, channels),
        decoder=convolutional_decoder(prior.dimensions, shape, channels),
        kl_weight=kl_weight,
    )


def convolutional_adversarial(
    shape: Shape, classes: int, prior: Prior, *, channels: int = 32, hidden: tuple[int, ...] = (1000, 1000)
) -> AdversarialAutoencoder:
    """The adversarial autoencoder of convolutional networks; its discriminator of codes is a perceptron."""
    return AdversarialAutoencoder(
        prior,
        encoder=convolutional_encoder(prior.dimensions, shape, channels),
        decoder=convolutional_decoder(prior.dimensions, shape, channels),
        discriminator=multilayer_perceptron(prior.dimensions, 1, hidden),
    )


def convolutional_classifier(
    shape: Shape, classes: int, prior: None, *, channels: int = 32, features: int = 64, input_noise: float = 0.0
) -> Classifier:
    """The classifier of convolutions and a linear layer; ``features``: numbers that the last layer decides by."""
    convolutions = convolutional_encoder(features, shape, channels)
    return Classifier(nn.Sequential(GaussianNoise(input_noise), *convolutions, nn.ReLU(), nn.Linear(features, classes)))


def age(
    shape: Shape,
    classes: int,
    prior: Prior,
    *,
    channels: int = 32,
    decoder_channels: int = 32,
    image_weight: float = 10.0,
    code_weight: float = 500.0,
    generator_image_weight: float = 0.0,
    generator_updates: int = 2,
) -> AdversarialGeneratorEncoder:
    """AGE; ``prior``: a :class:`~aae_lib.priors.UniformSphere`.

    Args:
        channels, decoder_channels: of the encoder after its first convolution, and of the decoder before its last.
        image_weight, code_weight, generator_image_weight, generator_updates: as for
            :class:`~aae_lib.models.AdversarialGeneratorEncoder`.
    """
    return AdversarialGeneratorEncoder(
        prior,
        encoder=convolutional_encoder(prior.dimensions, shape, channels).append(OntoSphere()),
        decoder=convolutional_decoder(prior.dimensions, shape, decoder_channels),
        image_weight=image_weight,
        code_weight=code_weight,
        generator_image_weight=generator_image_weight,
        generator_updates=generator_updates,
    )


def gan(shape: Shape, classes: int, prior: Prior, *, channels: int = 32) -> GenerativeAdversarialNetwork:
    """The generative adversarial network (DCGAN)."""
    return GenerativeAdversarialNetwork(
        prior,
        decoder=convolutional_decoder(prior.dimensions, shape, channels),
        discriminator=convolutional_encoder(1, shape, channels),
    )


def ali(shape: Shape, classes: int, prior: Prior, *, channels: int = 32) -> AdversariallyLearnedInference:
    """Adversarially learned inference."""
    return AdversariallyLearnedInference(
        prior,
        encoder=convolutional_encoder(2 * prior.dimensions, shape, channels),
        decoder=convolutional_decoder(prior.dimensions, shape, channels),
        discriminator=JointDiscriminator(prior.dimensions, shape, channels),
    )
