"""Models of multilayer perceptrons."""

from typing import TypeVar

import torch
from torch import nn

from aae_lib import models
from aae_lib.errors import PriorError
from aae_lib.losses import binary_cross_entropy
from aae_lib.networks import (
    ClusterHeads,
    Dropout,
    GaussianEncoder,
    GaussianNoise,
    RandomAffine,
    UniversalEncoder,
    multilayer_perceptron,
)
from aae_lib.priors import Categorical, ClassConditionalPrior, Gaussian, LabelAndStyle, Prior
from aae_lib.shapes import Shape, pixels_of

Units = tuple[int, ...]
Motion = tuple[float, ...]
HIDDEN: Units = (1000, 1000)  # AAE, appendix A.1 and A.2.1


def autoencoder(
    shape: Shape, classes: int, prior: None, *, dimensions: int = 2, hidden: Units = HIDDEN
) -> models.Autoencoder:
    """The plain autoencoder; ``dimensions``: of a code."""
    pixels = pixels_of(shape)
    return models.Autoencoder(
        encoder=multilayer_perceptron(pixels, dimensions, hidden),
        decoder=multilayer_perceptron(dimensions, pixels, hidden),
    )


def adversarial(
    shape: Shape, classes: int, prior: Prior, *, hidden: Units = HIDDEN, motion: Motion = (), input_noise: float = 0.0,
    dropout: float = 0.0, output_noise: float = 0.0, decoder_dropout: float = 0.0, encoder_share: float = 1.0,
    discriminator_deviation: float | None = 0.01,
) -> models.AdversarialAutoencoder:  # fmt: skip
    """The adversarial autoencoder.

    Args:
        output_noise: standard deviation of the noise on the encoder's codes while training. The decoder then draws the
            mean of what lies around a code.
        discriminator_deviation: of the discriminator's initial weights; None: PyTorch's default.
    """
    pixels = pixels_of(shape)
    encoder = multilayer_perceptron(pixels, prior.dimensions, hidden, dropout=dropout)
    if motion or input_noise:
        encoder = _disturbed(encoder, shape, motion, input_noise)
    if output_noise:
        encoder.append(GaussianNoise(output_noise))
    return models.AdversarialAutoencoder(
        prior,
        encoder,
        decoder=multilayer_perceptron(prior.dimensions, pixels, hidden, dropout=decoder_dropout),
        discriminator=multilayer_perceptron(prior.dimensions, 1, hidden, discriminator_deviation),
        encoder_share=encoder_share,
    )


def gaussian_posterior(
    shape: Shape, classes: int, prior: Prior, *, hidden: Units = HIDDEN
) -> models.AdversarialAutoencoder:
    """The adversarial autoencoder with a Gaussian q(z|x). Only the adversary keeps its variance up: there is no KL."""
    model = adversarial(shape, classes, prior, hidden=hidden)
    # It replaces an encoder: the shipped runs were initialized so.
    model.encoder = GaussianEncoder(multilayer_perceptron(pixels_of(shape), 2 * prior.dimensions, hidden))
    return model


def universal_posterior(
    shape: Shape, classes: int, prior: Prior, *, hidden: Units = HIDDEN, noise_dimensions: int = 10
) -> models.AdversarialAutoencoder:
    """The adversarial autoencoder with z = f(x, eta); ``noise_dimensions``: of eta (the paper does not give it)."""
    model = adversarial(shape, classes, prior, hidden=hidden)
    # It replaces an encoder, as above.
    network = multilayer_perceptron(pixels_of(shape) + noise_dimensions, prior.dimensions, hidden)
    model.encoder = UniversalEncoder(network, noise_dimensions)
    return model


def label_informed(
    shape: Shape, classes: int, prior: ClassConditionalPrior, *, hidden: Units = HIDDEN, motion: Motion = (2.0,),
    input_noise: float = 0.3, dropout: float = 0.1, code_noise: float = 0.0, labeled_weight: float = 1.0,
    encoder_share: float = 0.05,
) -> models.LabelInformedAutoencoder:  # fmt: skip
    """The adversarial autoencoder with labels in the discriminator; label k belongs to part k of the prior.

    Motion, noise and dropout keep the encoder from learning the labeled images by heart.
    """
    pixels = pixels_of(shape)
    multilayer_perceptron(pixels, prior.dimensions, hidden)  # drawn and dropped: the shipped runs were initialized so
    decoder = multilayer_perceptron(prior.dimensions, pixels, hidden)
    encoder = multilayer_perceptron(pixels, prior.dimensions, hidden, dropout=dropout)
    return models.LabelInformedAutoencoder(
        prior,
        encoder=_disturbed(encoder, shape, motion, input_noise),
        decoder=decoder,
        discriminator=multilayer_perceptron(prior.dimensions + prior.classes + 1, 1, hidden),
        code_noise=code_noise,
        labeled_weight=labeled_weight,
        encoder_share=encoder_share,
    )


def supervised(
    shape: Shape, classes: int, prior: Prior, *, hidden: Units = HIDDEN
) -> models.SupervisedAutoencoder:
    """The supervised adversarial autoencoder."""
    pixels, dimensions = pixels_of(shape), prior.dimensions
    return models.SupervisedAutoencoder(
        LabelAndStyle(Categorical(classes), prior),
        encoder=multilayer_perceptron(pixels, dimensions, hidden),
        decoder=multilayer_perceptron(classes + dimensions, pixels, hidden),
        discriminator=multilayer_perceptron(dimensions, 1, hidden),
    )


def semi_supervised(
    shape: Shape, classes: int, prior: Prior, *, hidden: Units = HIDDEN, motion: Motion = (), label_motion: Motion = (),
    input_noise: float = 0.3, input_dropout: float = 0.0, batch_norm: bool = False, label_weight: float = 1.0,
    probabilities: tuple[float, ...] = (),
) -> models.SemiSupervisedAutoencoder:  # fmt: skip
    """The semi-supervised adversarial autoencoder; ``batch_norm``: of the encoder, on its code too (AAE, A.2.2)."""
    code = LabelAndStyle(Categorical(classes, probabilities or None), prior)
    parts = _parts_of(
        shape, code, code.dimensions, hidden, input_noise, label_motion, input_dropout, batch_norm, motion
    )
    return models.SemiSupervisedAutoencoder(code, **parts, label_weight=label_weight)


def classifier(
    shape: Shape, classes: int, prior: None, *, hidden: Units = HIDDEN, motion: Motion = (), input_noise: float = 0.3
) -> models.Classifier:
    """The classifier alone, as large as the encoder of :func:`semi_supervised`."""
    network = multilayer_perceptron(pixels_of(shape), classes, hidden)
    return models.Classifier(_disturbed(network, shape, motion, input_noise))


def m2(
    shape: Shape, classes: int, prior: Gaussian, *, hidden: Units = HIDDEN, motion: Motion = (),
    input_noise: float = 0.3, classification_weight: float = 10.0,
) -> models.SemiSupervisedVariationalAutoencoder:  # fmt: skip
    """The semi-supervised variational autoencoder. Only its classifier sees motion and noise."""
    pixels, dimensions = pixels_of(shape), prior.dimensions
    network = multilayer_perceptron(pixels, classes, hidden)
    return models.SemiSupervisedVariationalAutoencoder(
        LabelAndStyle(Categorical(classes), prior),
        classifier=_disturbed(network, shape, motion, input_noise),
        encoder=multilayer_perceptron(pixels + classes, 2 * dimensions, hidden),
        decoder=multilayer_perceptron(classes + dimensions, pixels, hidden),
        classification_weight=classification_weight,
    )


def m1_m2(
    shape: Shape, classes: int, prior: Gaussian, *, hidden: Units = HIDDEN, features: int = 50,
    hidden_above: Units = (500,), kl_weight: float = 1.0, classification_weight: float = 1.0,
    labeled_weight: float = 1.0,
) -> models.StackedVariationalAutoencoder:  # fmt: skip
    """M2 above a variational autoencoder, whose codes are the ``features``; ``hidden_above``: of M2's networks.

    ``kl_weight`` is the autoencoder's.
    """
    pixels = pixels_of(shape)
    vae = models.VariationalAutoencoder(
        Gaussian(features),
        encoder=multilayer_perceptron(pixels, 2 * features, hidden),
        decoder=multilayer_perceptron(features, pixels, hidden),
        kl_weight=kl_weight,
        reconstruction_loss=binary_cross_entropy,
    )
    return models.StackedVariationalAutoencoder(
        LabelAndStyle(Categorical(classes), prior),
        vae,
        classifier=multilayer_perceptron(features, classes, hidden_above),
        encoder=multilayer_perceptron(features + classes, 2 * prior.dimensions, hidden_above),
        decoder=multilayer_perceptron(classes + prior.dimensions, 2 * features, hidden_above),
        classification_weight=classification_weight,
        labeled_weight=labeled_weight,
    )


def clustering(
    shape: Shape, classes: int, prior: Prior, *, clusters: int = 16, hidden: Units = HIDDEN, label_motion: Motion = (),
    input_noise: float = 0.0, input_dropout: float = 0.2, label_weight: float = 1.0,
    probabilities: tuple[float, ...] = (), motion: Motion = (),
) -> models.ClusteringAutoencoder:  # fmt: skip
    """The clustering adversarial autoencoder; ``clusters``: number of labels, at least 2.

    Every layer of the encoder, the last one too, normalizes over the minibatch (A.3).
    """
    code = LabelAndStyle(Categorical(clusters, probabilities or None), prior)
    parts = _parts_of(shape, code, code.dimensions, hidden, input_noise, label_motion, input_dropout, True, motion)
    return models.ClusteringAutoencoder(code, **parts, label_weight=label_weight)


def reducing(
    shape: Shape, classes: int, prior: Gaussian, *, clusters: int = 20, hidden: Units = HIDDEN,
    label_motion: Motion = (), input_noise: float = 0.0, input_dropout: float = 0.2, label_weight: float = 1.0,
    distance: float = 6.0, label_share: float = 0.1,
) -> models.ReducingAutoencoder:  # fmt: skip
    """Dimensionality reduction without labels; the style has the dimensions of a code, the rest as :func:`clustering`.
    """
    return _around_heads(
        models.ReducingAutoencoder, ClusterHeads(clusters, prior.dimensions), shape, prior, hidden, input_noise,
        label_motion, input_dropout, True, label_weight=label_weight, distance=distance, label_share=label_share,
    )  # fmt: skip


def guided_clustering(
    shape: Shape, classes: int, prior: Prior, *, clusters: int = 10, hidden: Units = HIDDEN, label_motion: Motion = (),
    input_noise: float = 0.3, label_weight: float = 1.0,
) -> models.GuidedClusteringAutoencoder:  # fmt: skip
    """The clustering adversarial autoencoder that another model's clusters guide."""
    code = LabelAndStyle(Categorical(clusters), prior)
    parts = _parts_of(shape, code, code.dimensions, hidden, input_noise, label_motion)
    return models.GuidedClusteringAutoencoder(code, **parts, label_weight=label_weight)


def guided_reducing(
    shape: Shape, classes: int, prior: Gaussian, *, clusters: int = 10, hidden: Units = HIDDEN,
    label_motion: Motion = (), input_noise: float = 0.3, label_weight: float = 1.0, distance: float = 6.0,
    label_share: float = 0.1,
) -> models.GuidedReducingAutoencoder:  # fmt: skip
    """Dimensionality reduction without labels that another model's clusters guide."""
    return _around_heads(
        models.GuidedReducingAutoencoder, ClusterHeads(clusters, prior.dimensions), shape, prior, hidden, input_noise,
        label_motion, label_weight=label_weight, distance=distance, label_share=label_share,
    )  # fmt: skip


def semi_supervised_reducing(
    shape: Shape, classes: int, prior: Gaussian, *, hidden: Units = HIDDEN, label_motion: Motion = (),
    input_noise: float = 0.3, label_weight: float = 1.0, distance: float = 6.0, label_share: float = 0.1,
) -> models.SemiSupervisedReducingAutoencoder:  # fmt: skip
    """Dimensionality reduction with a few labels and one cluster for each class."""
    return _around_heads(
        models.SemiSupervisedReducingAutoencoder, ClusterHeads(classes, prior.dimensions), shape, prior, hidden,
        input_noise, label_motion, label_weight=label_weight, distance=distance, label_share=label_share,
    )  # fmt: skip


def fixed_heads(
    shape: Shape, classes: int, prior: Gaussian, *, hidden: Units = HIDDEN, label_motion: Motion = (),
    input_noise: float = 0.3, label_weight: float = 1.0, corner: float = 10.0, label_share: float = 0.1,
) -> models.FixedHeadsAutoencoder:  # fmt: skip
    """Dimensionality reduction with a few labels; the head of each class stays ``corner`` out on an axis of its own
    (AAE, Figure 11d: 10, recalled).

    Raises:
        PriorError: the prior has fewer dimensions than there are classes.
    """
    if prior.dimensions < classes:
        raise PriorError(f"{classes} fixed heads need {classes} dimensions or more, found {prior.dimensions}")
    heads = ClusterHeads(classes, prior.dimensions)
    heads.positions.data = corner * torch.eye(classes, prior.dimensions)
    return _around_heads(
        models.FixedHeadsAutoencoder, heads, shape, prior, hidden, input_noise, label_motion,
        label_weight=label_weight, label_share=label_share,
    )  # fmt: skip


def variational(
    shape: Shape, classes: int, prior: Prior, *, hidden: Units = HIDDEN, kl_weight: float = 1.0
) -> models.VariationalAutoencoder:
    """The variational autoencoder."""
    pixels, dimensions = pixels_of(shape), prior.dimensions
    return models.VariationalAutoencoder(
        prior,
        encoder=multilayer_perceptron(pixels, 2 * dimensions, hidden),
        decoder=multilayer_perceptron(dimensions, pixels, hidden),
        kl_weight=kl_weight,
    )


def _disturbed(network: nn.Sequential, shape: Shape, motion: Motion, noise: float) -> nn.Sequential:
    """``network`` behind augmentation and noise. Noise of 0 is a layer, too: it is one in the shipped weights."""
    moving = [RandomAffine(*motion, shape=shape)] if motion else []
    return nn.Sequential(*moving, GaussianNoise(noise), *network)


def _parts_of(
    shape: Shape, code: LabelAndStyle, decoded: int, hidden: Units, input_noise: float, label_motion: Motion,
    input_dropout: float = 0.0, batch_norm: bool = False, motion: Motion = (),
) -> dict[str, nn.Module | None]:  # fmt: skip
    """The parts of a ``ClusteringAutoencoder`` by name; ``decoded``: how many numbers the decoder gets."""
    pixels, labels, style = pixels_of(shape), code.classes, code.style.dimensions
    encoder = multilayer_perceptron(pixels, labels + style, hidden, batch_norm=batch_norm)
    if input_dropout:
        encoder.insert(0, Dropout(input_dropout))
    return {
        "encoder": _disturbed(encoder, shape, motion, input_noise),
        "decoder": multilayer_perceptron(decoded, pixels, hidden),
        "label_discriminator": multilayer_perceptron(labels, 1, hidden),
        "style_discriminator": multilayer_perceptron(style, 1, hidden),
        "augmentation": RandomAffine(*label_motion, shape=shape) if label_motion else None,
    }


Kind = TypeVar("Kind", bound=models.ReducingAutoencoder)


def _around_heads(
    kind: type[Kind], heads: ClusterHeads, shape: Shape, prior: Gaussian, hidden: Units, input_noise: float,
    label_motion: Motion, input_dropout: float = 0.0, batch_norm: bool = False, **weights: float,
) -> Kind:  # fmt: skip
    """A model whose codes lie around heads. The heads were drawn before its networks."""
    code = LabelAndStyle(Categorical(len(heads.positions)), prior)
    parts = _parts_of(shape, code, prior.dimensions, hidden, input_noise, label_motion, input_dropout, batch_norm)
    return kind(prior, heads, **parts, **weights)
