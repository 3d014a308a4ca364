"""The systems, one file each: a model is its networks and its updates."""

from aae_lib.models.aae import AdversarialAutoencoder
from aae_lib.models.autoencoder import Autoencoder
from aae_lib.models.label_informed import LabelInformedAutoencoder
from aae_lib.models.model import Model
from aae_lib.models.posteriors import GaussianPosteriorAutoencoder, UniversalPosteriorAutoencoder
from aae_lib.models.vae import VariationalAutoencoder

__all__ = [
    "AdversarialAutoencoder",
    "Autoencoder",
    "GaussianPosteriorAutoencoder",
    "LabelInformedAutoencoder",
    "Model",
    "UniversalPosteriorAutoencoder",
    "VariationalAutoencoder",
]
