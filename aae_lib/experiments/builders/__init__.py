"""Builders: the networks and the model of each kind of experiment, from plain settings.

Every builder is called ``build(shape, classes, prior, **settings)``:

* ``shape``: channels, height and width of an image; ``classes``: the number of labels, which not all models use.
* ``prior``: of the code, or of the style beside a label; None where a model has none.
* settings: numbers, bools and tuples, so that they can be stored as JSON. A setting that a model takes under the same
  name, such as ``label_weight``, is described there.

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
* ``pointwise``: a decoder's last layer is that of AGE's official code
  (:func:`~aae_lib.networks.convolutional_decoder`).
* ``channels``: after the first convolution of an encoder, and before the last one of a decoder. Convolutional networks
  take images of at most 64 pixels a side; larger ones raise a ``ShapeError``.
* ``probabilities``: of the labels, if some are more frequent than others; an empty tuple: all alike.
* ``dropout``, ``decoder_dropout``: the share of the encoder's or decoder's hidden units that each step leaves out.
"""

from aae_lib.experiments.builders.convolutions import (
    age,
    ali,
    color_classifier,
    convolutional_adversarial,
    convolutional_classifier,
    convolutional_variational,
    gan,
)
from aae_lib.experiments.builders.perceptrons import (
    adversarial,
    autoencoder,
    classifier,
    clustering,
    fixed_heads,
    gaussian_posterior,
    guided_clustering,
    guided_reducing,
    label_informed,
    m1_m2,
    m2,
    reducing,
    semi_supervised,
    semi_supervised_reducing,
    supervised,
    universal_posterior,
    variational,
)
