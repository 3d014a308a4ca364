"""Builders: the networks and the model of each kind of experiment, from plain settings; here those of perceptrons.

Every builder is called ``build(shape, classes, prior, **settings)``:

* ``shape``: channels, height and width of an image; ``classes``: the number of labels, which not all models use.
* ``prior``: of the code, or of the style beside a label; None where a model has none.
* settings: numbers, bools and tuples, so that they can be stored as JSON.

Random weights come from torch's global generator. The order of the draws is part of a builder: with another order the
same seed would give other weights.

Settings that several builders share:

* ``hidden``: units of the hidden layers of each network.
* ``motion``: the largest shift, rotation, scale and shear (:class:`~aae_lib.networks.RandomAffine`) of what the encoder
  or classifier sees while training; an empty tuple: no augmentation. The decoder reconstructs the image as it is.
* ``label_motion``: the same, but the style is read from the image as it is (``augmentation`` of
  :class:`~aae_lib.models.ClusteringAutoencoder`).
* ``input_noise``: standard deviation of the noise on what the encoder or classifier sees while training;
  ``input_dropout``: the share of pixels that it does not see.
* ``dropout``: the share of the encoder's hidden units that each step leaves out.
"""

from collections.abc import Sequence

from torch import nn

from aae_lib.models import (
    AdversarialAutoencoder,
    Autoencoder,
    Classifier,
    ClusteringAutoencoder,
    LabelInformedAutoencoder,
    ReducingAutoencoder,
    SemiSupervisedAutoencoder,
    SemiSupervisedReducingAutoencoder,
    SemiSupervisedVariationalAutoencoder,
    SupervisedAutoencoder,
    VariationalAutoencoder,
)
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

HIDDEN = (1000, 1000)  # AAE, appendix A.1 and A.2.1


def autoencoder(
    shape: Shape, classes: int, prior: None, *, dimensions: int = 2, hidden: tuple[int, ...] = HIDDEN
) -> Autoencoder:
    """The plain autoencoder; ``dimensions``: of a code."""
    pixels = pixels_of(shape)
    return Autoencoder(
        encoder=multilayer_perceptron(pixels, dimensions, hidden),
        decoder=multilayer_perceptron(dimensions, pixels, hidden),
    )


def adversarial(
    shape: Shape,
    classes: int,
    prior: Prior,
    *,
    hidden: tuple[int, ...] = HIDDEN,
    motion: tuple[float, ...] = (),
    input_noise: float = 0.0,
    dropout: float = 0.0,
    output_noise: float = 0.0,
    decoder_dropout: float = 0.0,
    encoder_share: float = 1.0,
    discriminator_deviation: float | None = 0.01,
) -> AdversarialAutoencoder:
    """The adversarial autoencoder.

    Args:
        output_noise: standard deviation of the noise on the encoder's codes while training. The decoder then draws the
            mean of what lies around a code.
        decoder_dropout: as ``dropout``, of the decoder.
        encoder_share: as for :class:`~aae_lib.models.AdversarialAutoencoder`.
        discriminator_deviation: of the discriminator's initial weights; None: PyTorch's default.
    """
    pixels = pixels_of(shape)
    encoder = multilayer_perceptron(pixels, prior.dimensions, hidden, dropout=dropout)
    if motion or input_noise:
        encoder = _disturbed(encoder, shape, motion, input_noise)
    if output_noise:
        encoder.append(GaussianNoise(output_noise))
    return AdversarialAutoencoder(
        prior,
        encoder,
        decoder=multilayer_perceptron(prior.dimensions, pixels, hidden, dropout=decoder_dropout),
        discriminator=multilayer_perceptron(prior.dimensions, 1, hidden, discriminator_deviation),
        encoder_share=encoder_share,
    )


def gaussian_posterior(
    shape: Shape, classes: int, prior: Prior, *, hidden: tuple[int, ...] = HIDDEN
) -> AdversarialAutoencoder:
    """The adversarial autoencoder with a Gaussian q(z|x). Only the adversary keeps its variance up: there is no KL."""
    model = adversarial(shape, classes, prior, hidden=hidden)
    # It replaces an encoder: the shipped runs were initialized so.
    model.encoder = GaussianEncoder(multilayer_perceptron(pixels_of(shape), 2 * prior.dimensions, hidden))
    return model


def universal_posterior(
    shape: Shape, classes: int, prior: Prior, *, hidden: tuple[int, ...] = HIDDEN, noise_dimensions: int = 10
) -> AdversarialAutoencoder:
    """The adversarial autoencoder with z = f(x, eta); ``noise_dimensions``: of eta (the paper does not give it)."""
    model = adversarial(shape, classes, prior, hidden=hidden)
    # It replaces an encoder: the shipped runs were initialized so.
    network = multilayer_perceptron(pixels_of(shape) + noise_dimensions, prior.dimensions, hidden)
    model.encoder = UniversalEncoder(network, noise_dimensions)
    return model


def label_informed(
    shape: Shape,
    classes: int,
    prior: ClassConditionalPrior,
    *,
    hidden: tuple[int, ...] = HIDDEN,
    motion: tuple[float, ...] = (2.0,),
    input_noise: float = 0.3,
    dropout: float = 0.1,
    code_noise: float = 0.0,
    labeled_weight: float = 1.0,
    encoder_share: float = 0.05,
) -> LabelInformedAutoencoder:
    """The adversarial autoencoder with labels in the discriminator; label k belongs to part k of the prior.

    Motion, noise and dropout keep the encoder from learning the labeled images by heart.

    Args:
        code_noise, labeled_weight, encoder_share: as for :class:`~aae_lib.models.LabelInformedAutoencoder`.
    """
    pixels = pixels_of(shape)
    multilayer_perceptron(pixels, prior.dimensions, hidden)  # drawn and dropped: the shipped runs were initialized so
    decoder = multilayer_perceptron(prior.dimensions, pixels, hidden)
    encoder = multilayer_perceptron(pixels, prior.dimensions, hidden, dropout=dropout)
    return LabelInformedAutoencoder(
        prior,
        encoder=_disturbed(encoder, shape, motion, input_noise),
        decoder=decoder,
        discriminator=multilayer_perceptron(prior.dimensions + prior.classes + 1, 1, hidden),
        code_noise=code_noise,
        labeled_weight=labeled_weight,
        encoder_share=encoder_share,
    )


def supervised(shape: Shape, classes: int, prior: Prior, *, hidden: tuple[int, ...] = HIDDEN) -> SupervisedAutoencoder:
    """The supervised adversarial autoencoder; ``prior``: of the style."""
    pixels, dimensions = pixels_of(shape), prior.dimensions
    return SupervisedAutoencoder(
        LabelAndStyle(Categorical(classes), prior),
        encoder=multilayer_perceptron(pixels, dimensions, hidden),
        decoder=multilayer_perceptron(classes + dimensions, pixels, hidden),
        discriminator=multilayer_perceptron(dimensions, 1, hidden),
    )


def semi_supervised(
    shape: Shape,
    classes: int,
    prior: Prior,
    *,
    hidden: tuple[int, ...] = HIDDEN,
    motion: tuple[float, ...] = (),
    label_motion: tuple[float, ...] = (),
    input_noise: float = 0.3,
    label_weight: float = 1.0,
) -> SemiSupervisedAutoencoder:
    """The semi-supervised adversarial autoencoder; ``prior``: of the style.

    Args:
        label_weight: as for :class:`~aae_lib.models.ClusteringAutoencoder`.
    """
    code = LabelAndStyle(Categorical(classes), prior)
    return SemiSupervisedAutoencoder(
        code,
        **_label_and_style_networks(
            shape, classes, prior.dimensions, code.dimensions, hidden, input_noise, motion=motion
        ),
        label_weight=label_weight,
        augmentation=RandomAffine(*label_motion, shape=shape) if label_motion else None,
    )


def classifier(
    shape: Shape,
    classes: int,
    prior: None,
    *,
    hidden: tuple[int, ...] = HIDDEN,
    motion: tuple[float, ...] = (),
    input_noise: float = 0.3,
) -> Classifier:
    """The classifier alone, as large as the encoder of :func:`semi_supervised`."""
    network = multilayer_perceptron(pixels_of(shape), classes, hidden)
    return Classifier(_disturbed(network, shape, motion, input_noise))


def m2(
    shape: Shape,
    classes: int,
    prior: Gaussian,
    *,
    hidden: tuple[int, ...] = HIDDEN,
    motion: tuple[float, ...] = (),
    input_noise: float = 0.3,
    classification_weight: float = 10.0,
) -> SemiSupervisedVariationalAutoencoder:
    """The semi-supervised variational autoencoder; ``prior``: of the style. Only its classifier sees motion and noise.

    Args:
        classification_weight: as for :class:`~aae_lib.models.SemiSupervisedVariationalAutoencoder`.
    """
    pixels, dimensions = pixels_of(shape), prior.dimensions
    network = multilayer_perceptron(pixels, classes, hidden)
    return SemiSupervisedVariationalAutoencoder(
        LabelAndStyle(Categorical(classes), prior),
        classifier=_disturbed(network, shape, motion, input_noise),
        encoder=multilayer_perceptron(pixels + classes, 2 * dimensions, hidden),
        decoder=multilayer_perceptron(classes + dimensions, pixels, hidden),
        classification_weight=classification_weight,
    )


def clustering(
    shape: Shape,
    classes: int,
    prior: Prior,
    *,
    clusters: int = 16,
    hidden: tuple[int, ...] = HIDDEN,
    label_motion: tuple[float, ...] = (),
    input_noise: float = 0.0,
    input_dropout: float = 0.2,
    batch_norm: bool = True,
    label_weight: float = 1.0,
) -> ClusteringAutoencoder:
    """The clustering adversarial autoencoder; ``prior``: of the style.

    Args:
        clusters: number of labels, at least 2.
        batch_norm: whether every layer of the encoder, the last one too, normalizes over the minibatch (A.3).
        label_weight: as for :class:`~aae_lib.models.ClusteringAutoencoder`.
    """
    code = LabelAndStyle(Categorical(clusters), prior)
    return ClusteringAutoencoder(
        code,
        **_label_and_style_networks(
            shape, clusters, prior.dimensions, code.dimensions, hidden, input_noise, input_dropout, batch_norm
        ),
        label_weight=label_weight,
        augmentation=RandomAffine(*label_motion, shape=shape) if label_motion else None,
    )


def reducing(
    shape: Shape,
    classes: int,
    prior: Gaussian,
    *,
    clusters: int = 20,
    hidden: tuple[int, ...] = HIDDEN,
    label_motion: tuple[float, ...] = (),
    input_noise: float = 0.0,
    input_dropout: float = 0.2,
    batch_norm: bool = True,
    label_weight: float = 1.0,
    distance: float = 6.0,
    label_share: float = 0.1,
) -> ReducingAutoencoder:
    """Dimensionality reduction without labels; ``prior``: of the style, with the dimensions of a code.

    Args:
        clusters, batch_norm, label_weight: as for :func:`clustering`.
        distance, label_share: as for :class:`~aae_lib.models.ReducingAutoencoder`.
    """
    heads = ClusterHeads(clusters, prior.dimensions)
    return ReducingAutoencoder(
        prior,
        heads,
        **_label_and_style_networks(
            shape, clusters, prior.dimensions, prior.dimensions, hidden, input_noise, input_dropout, batch_norm
        ),
        distance=distance,
        label_share=label_share,
        label_weight=label_weight,
        augmentation=RandomAffine(*label_motion, shape=shape) if label_motion else None,
    )


def semi_supervised_reducing(
    shape: Shape,
    classes: int,
    prior: Gaussian,
    *,
    hidden: tuple[int, ...] = HIDDEN,
    label_motion: tuple[float, ...] = (),
    input_noise: float = 0.3,
    input_dropout: float = 0.0,
    batch_norm: bool = False,
    label_weight: float = 1.0,
    distance: float = 6.0,
    label_share: float = 0.1,
) -> SemiSupervisedReducingAutoencoder:
    """Dimensionality reduction with a few labels; one cluster for each class, the rest as for :func:`reducing`."""
    heads = ClusterHeads(classes, prior.dimensions)
    return SemiSupervisedReducingAutoencoder(
        prior,
        heads,
        **_label_and_style_networks(
            shape, classes, prior.dimensions, prior.dimensions, hidden, input_noise, input_dropout, batch_norm
        ),
        distance=distance,
        label_share=label_share,
        label_weight=label_weight,
        augmentation=RandomAffine(*label_motion, shape=shape) if label_motion else None,
    )


def variational(
    shape: Shape, classes: int, prior: Prior, *, hidden: tuple[int, ...] = HIDDEN, kl_weight: float = 1.0
) -> VariationalAutoencoder:
    """The variational autoencoder; ``kl_weight``: the factor of the KL term."""
    pixels, dimensions = pixels_of(shape), prior.dimensions
    return VariationalAutoencoder(
        prior,
        encoder=multilayer_perceptron(pixels, 2 * dimensions, hidden),
        decoder=multilayer_perceptron(dimensions, pixels, hidden),
        kl_weight=kl_weight,
    )


def _disturbed(network: nn.Sequential, shape: Shape, motion: Sequence[float], noise: float) -> nn.Sequential:
    """``network`` behind augmentation and noise. Noise of 0 is a layer, too: it is one in the shipped weights."""
    moving = [RandomAffine(*motion, shape=shape)] if motion else []
    return nn.Sequential(*moving, GaussianNoise(noise), *network)


def _label_and_style_networks(
    shape: Shape,
    labels: int,
    style: int,
    code: int,
    hidden: Sequence[int],
    input_noise: float,
    input_dropout: float = 0.0,
    batch_norm: bool = False,
    motion: Sequence[float] = (),
) -> dict[str, nn.Sequential]:
    """The networks of a :class:`~aae_lib.models.ClusteringAutoencoder`, by name.

    Args:
        labels, style, code: lengths of a label, a style, and what the decoder gets.
    """
    encoder = multilayer_perceptron(pixels_of(shape), labels + style, hidden, batch_norm=batch_norm)
    if input_dropout:
        encoder.insert(0, Dropout(input_dropout))
    return {
        "encoder": _disturbed(encoder, shape, motion, input_noise),
        "decoder": multilayer_perceptron(code, pixels_of(shape), hidden),
        "label_discriminator": multilayer_perceptron(labels, 1, hidden),
        "style_discriminator": multilayer_perceptron(style, 1, hidden),
    }
