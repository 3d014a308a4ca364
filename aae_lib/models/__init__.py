"""The systems, one file each: a model is its networks and its updates."""

from aae_lib.models.aae import AdversarialAutoencoder
from aae_lib.models.age import AdversarialGeneratorEncoder, SemanticGeneratorEncoder
from aae_lib.models.ali import AdversariallyLearnedInference
from aae_lib.models.autoencoder import Autoencoder
from aae_lib.models.classifier import Classifier
from aae_lib.models.clustering import ClusteringAutoencoder, GuidedClusteringAutoencoder
from aae_lib.models.dimensionality_reduction import (
    FixedHeadsAutoencoder,
    GuidedReducingAutoencoder,
    ReducingAutoencoder,
    SemiSupervisedReducingAutoencoder,
)
from aae_lib.models.gan import GenerativeAdversarialNetwork
from aae_lib.models.label_informed import LabelInformedAutoencoder
from aae_lib.models.model import Model, classes_told
from aae_lib.models.semi_supervised import SemiSupervisedAutoencoder
from aae_lib.models.semi_supervised_vae import SemiSupervisedVariationalAutoencoder, StackedVariationalAutoencoder
from aae_lib.models.supervised import SupervisedAutoencoder
from aae_lib.models.vae import VariationalAutoencoder
