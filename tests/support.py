"""What several test files need: systems and experiments with tiny networks, and files of images."""

import hashlib
import inspect
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets
from torch import nn

from aae_lib.data import Images
from aae_lib.experiments import EXPERIMENTS, builders
from aae_lib.experiments.experiment import Experiment
from aae_lib.models import Model
from aae_lib.priors import Gaussian, GaussianMixture, Prior, SwissRoll, UniformSphere
from aae_lib.seeding import seeded
from aae_lib.shapes import Shape

MOTION = (1.5, 15.0, 0.1, 0.25)


@dataclass(frozen=True)
class System:
    """A kind of model and the settings of its builder."""

    build: Callable[..., Model]
    prior: Prior | None
    settings: dict[str, Any] = field(default_factory=dict)


SYSTEMS = {
    "autoencoder": System(builders.autoencoder, None),
    "adversarial": System(builders.adversarial, Gaussian(2)),
    "adversarial, augmented": System(
        builders.adversarial,
        GaussianMixture(),
        {"motion": (1.0,), "input_noise": 0.3, "dropout": 0.1, "encoder_share": 0.05},
    ),
    "gaussian posterior": System(builders.gaussian_posterior, Gaussian(2)),
    "universal posterior": System(builders.universal_posterior, Gaussian(2)),
    "label-informed": System(builders.label_informed, SwissRoll(0.1), {"code_noise": 0.1, "labeled_weight": 2.0}),
    "supervised": System(builders.supervised, Gaussian(3)),
    "semi-supervised": System(builders.semi_supervised, Gaussian(3)),
    "semi-supervised, augmented": System(builders.semi_supervised, Gaussian(3), {"motion": MOTION}),
    "semi-supervised, split": System(builders.semi_supervised, Gaussian(3), {"label_motion": MOTION}),
    "classifier": System(builders.classifier, None),
    "M2": System(builders.m2, Gaussian(3)),
    "M1 + M2": System(builders.m1_m2, Gaussian(3), {"features": 4}),
    "clustering": System(builders.clustering, Gaussian(3), {"clusters": 6}),
    "clustering, split": System(builders.clustering, Gaussian(3), {"clusters": 6, "label_motion": MOTION}),
    "clustering, guided": System(builders.guided_clustering, Gaussian(3), {"label_motion": MOTION}),
    "reducing": System(builders.reducing, Gaussian(2), {"clusters": 6}),
    "reducing, guided": System(builders.guided_reducing, Gaussian(2), {"label_motion": MOTION}),
    "reducing, labels": System(builders.semi_supervised_reducing, Gaussian(2)),
    "reducing, labels, fixed heads": System(builders.fixed_heads, Gaussian(10)),
    "reducing, labels, split": System(builders.semi_supervised_reducing, Gaussian(2), {"label_motion": MOTION}),
    "variational": System(builders.variational, Gaussian(2)),
    "variational, mixture": System(builders.variational, GaussianMixture()),
    "convolutional VAE": System(builders.convolutional_variational, Gaussian(3)),
    "convolutional AAE": System(builders.convolutional_adversarial, Gaussian(3)),
    "convolutional classifier": System(builders.convolutional_classifier, None, {"features": 8}),
    "color classifier": System(builders.color_classifier, None),
    "AGE": System(builders.age, UniformSphere(3)),
    "GAN": System(builders.gan, Gaussian(3)),
    "ALI": System(builders.ali, Gaussian(3)),
}


def tiny(name: str, shape: Shape = (1, 28, 28), classes: int = 10, seed: int = 0, **settings: Any) -> Model:
    """A system with 32 hidden units, or 4 channels, and weights large enough to show every update in a few steps."""
    system = SYSTEMS[name]
    with seeded(seed):
        model = system.build(shape, classes, system.prior, **small(system.build) | system.settings | settings)
        return with_large_weights(model)


def small(build: Callable[..., Model]) -> dict[str, Any]:
    """Settings of a builder that make its networks tiny."""
    sizes = {"hidden": (32,), "hidden_above": (32,), "channels": 4, "decoder_channels": 4}
    return {name: size for name, size in sizes.items() if name in inspect.signature(build).parameters}


def with_large_weights(model: nn.Module) -> nn.Module:
    """The model with linear layers and convolutions of N(0, 0.1^2)."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            for parameter in layer.parameters():
                nn.init.normal_(parameter, std=0.1)
    return model


def with_any_statistics(model: nn.Module) -> nn.Module:
    """The model with batch-norm layers of random factors and statistics, so that none can be left out unseen."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return model


def sets_of(model: Model, unlabeled: Images, labeled: Images) -> tuple[Images, ...]:
    """As many sets of images as the model's updates take."""
    names = inspect.signature(model.updates).parameters
    return tuple(labeled if name in ("labeled", "guiding") else unlabeled for name in names)


def labeled_as(images: Images, labels: Any) -> Images:
    """The same images with another label, or with others."""
    return replace(images, labels=torch.as_tensor(labels).expand(len(images)).clone())


def with_tiny_networks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Experiment]:
    """The registry, in which all experiments have tiny networks."""
    for name, experiment in EXPERIMENTS.items():
        settings = {**experiment.settings, **small(experiment.build)}
        monkeypatch.setitem(EXPERIMENTS, name, replace(experiment, settings=settings))
    return EXPERIMENTS


def write_idx_set(folder: Path, name: str, counts: dict[str, int], classes: int = 10) -> dict[str, np.ndarray]:
    """A set in the files of MNIST's relatives, with random pixels; returns these."""
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    pixels = {}
    for split, count in counts.items():
        pixels[split] = np.random.default_rng(count).integers(0, 256, (count, 784), np.uint8)
        content = struct.pack(">4I", 2051, count, 28, 28) + pixels[split].tobytes()
        (raw / f"{split}-images-idx3-ubyte").write_bytes(content)
        labels = (np.arange(count) % classes).astype(np.uint8)
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, count) + labels.tobytes())
    return pixels


def write_cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch, train: int = 100, test: int = 20) -> np.ndarray:
    """A small CIFAR-10 of random pixels in torchvision's files; returns those to train on, `[train, 3, 32, 32]`."""
    base = folder / "cifar-10-batches-py"
    base.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (train + test, 3072), np.uint8)
    labels = np.arange(train + test) % 10
    places = np.split(np.arange(train + test), [*range(train // 5, train, train // 5), train])
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]

    def write(name: str, content: object) -> str:
        (base / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((base / name).read_bytes()).hexdigest()

    files = [
        [name, write(name, {"data": pixels[place], "labels": labels[place].tolist()})]
        for name, place in zip(names, places, strict=True)
    ]
    names_of_classes = {"label_names": [f"class {label}" for label in range(10)]}
    meta = {"filename": "batches.meta", "key": "label_names", "md5": write("batches.meta", names_of_classes)}
    for attribute, value in {"train_list": files[:5], "test_list": files[5:], "meta": meta}.items():
        monkeypatch.setattr(torchvision.datasets.CIFAR10, attribute, value)
    return pixels[:train].reshape(-1, 3, 32, 32)
