"""Networks: plain ``torch.nn`` modules with the papers' sizes and initial weights."""

from aae_lib.networks.augmentation import (
    Dropout,
    FlipAndShift,
    GaussianNoise,
    RandomAffine,
    TrainingNoise,
    set_noise_strength,
)
from aae_lib.networks.convolutional import (
    JointDiscriminator,
    convolutional_decoder,
    convolutional_encoder,
    plain_convolutions,
)
from aae_lib.networks.layers import (
    Attenuated,
    BatchNorm,
    ClusterHeads,
    GaussianEncoder,
    OntoSphere,
    UniversalEncoder,
    attenuated,
    gaussian_sample,
    has_batch_norm,
)
from aae_lib.networks.perceptrons import multilayer_perceptron
