"""Adversarial autoencoders, reproduced: models, one training loop, measures, figures and an explorer.

The names below are imported from their modules when they are first used, so that ``import aae_lib`` costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "SGD": "training",
    "Adam": "training",
    "AdversarialAutoencoder": "models",
    "Gaussian": "priors",
    "GaussianMixture": "priors",
    "Images": "data",
    "LatentExplorer": "explore",
    "Model": "models",
    "Recipe": "training",
    "load_arrays": "data",
    "load_folder": "data",
    "load_images": "data",
    "load_mnist": "data",
    "load_trained": "experiments",
    "multilayer_perceptron": "networks",
    "train": "training",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
