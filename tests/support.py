"""What several test files need: tiny models, short runs, what they leave, networks written out, and files of images."""

import functools
import hashlib
import pickle
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets
from torch import Tensor, nn

from aae_lib.data import Digits, Images
from aae_lib.experiments import EXPERIMENTS, UNMOVED, Evidence, Experiment, train_experiment
from aae_lib.models import (
    AdversarialAutoencoder,
    Autoencoder,
    Classifier,
    ClusteringAutoencoder,
    GaussianPosteriorAutoencoder,
    LabelAndStyleAutoencoder,
    LabelInformedAutoencoder,
    Model,
    ReducingAutoencoder,
    SemiSupervisedAutoencoder,
    SemiSupervisedReducingAutoencoder,
    SemiSupervisedVariationalAutoencoder,
    SupervisedAutoencoder,
    UniversalPosteriorAutoencoder,
    VariationalAutoencoder,
)
from aae_lib.networks import PIXELS, ClusterHeads, GaussianNoise, multilayer_perceptron
from aae_lib.priors import Gaussian, GaussianMixture, SwissRoll
from aae_lib.storage import load_weights, save_weights
from aae_lib.training import SGD, Adam, Recipe, Report, train

STEPS = 20


def _noisy_perceptrons() -> tuple[nn.Sequential, nn.Sequential]:
    """The recipe of aae-mixture has a schedule for noise, which ``train`` refuses for networks without any."""
    encoder = nn.Sequential(GaussianNoise(0.3), *multilayer_perceptron(PIXELS, 2, (32,)))
    return encoder, multilayer_perceptron(2, PIXELS, (32,))


# Networks of 32 units for experiments, by their names.
TINY = {
    "autoencoder": lambda: Autoencoder(2, (32,)),
    "aae-gaussian": lambda: AdversarialAutoencoder(Gaussian(2), (32,)),
    "vae-gaussian": lambda: VariationalAutoencoder(Gaussian(2), 1.0, (32,)),
    "vae-gaussian-0.5": lambda: VariationalAutoencoder(Gaussian(2), 0.5, (32,)),
    "aae-mixture": lambda: AdversarialAutoencoder(GaussianMixture(), (32,), networks=_noisy_perceptrons()),
    "vae-mixture": lambda: VariationalAutoencoder(GaussianMixture(), 1.0, (32,)),
    "aae-mixture-labels": lambda: LabelInformedAutoencoder(GaussianMixture(), (32,)),
    "aae-swissroll-labels": lambda: LabelInformedAutoencoder(SwissRoll(), (32,)),
    "aae-gaussian-posterior": lambda: GaussianPosteriorAutoencoder(Gaussian(2), (32,)),
    "aae-universal-posterior": lambda: UniversalPosteriorAutoencoder(Gaussian(2), hidden=(32,)),
}
TINY_WITH_LABELS = {  # beside the codes
    "supervised": lambda: SupervisedAutoencoder(15, hidden=(32,)),
    "supervised-2d": lambda: SupervisedAutoencoder(2, hidden=(32,)),
    "semi-100": lambda: SemiSupervisedAutoencoder(hidden=(32,), input_motion=(1.0,)),
    "labels-100": lambda: Classifier(hidden=(32,)),
    "m2-100": lambda: SemiSupervisedVariationalAutoencoder(100.0, hidden=(32,)),
}
TINY_CLUSTERS = {
    "cluster-16": lambda: ClusteringAutoencoder(16, hidden=(32,)),
    "reduce-2d-unsupervised": lambda: ReducingAutoencoder(12, hidden=(32,)),
}
TINY_MAPS = {
    "reduce-2d-unsupervised": TINY_CLUSTERS["reduce-2d-unsupervised"],
    "reduce-10d-100": lambda: SemiSupervisedReducingAutoencoder(10, 10, hidden=(32,), batch_norm=False),
}
# Experiments that know labels or find them, with the number of labels where it is in the name.
OF_LABELS = ["aae-mixture-labels", "aae-swissroll-labels"]
LABELED = {
    name + ending: count
    for name, count in {
        "semi-100": 100, "semi-1000": 1000, "semi-all": None, "labels-100": 100, "labels-1000": 1000, "m2-100": 100
    }.items()
    for ending in ("", UNMOVED)
}  # fmt: skip
OF_MAPS = {"reduce-2d-1000": 1000, "reduce-2d-100": 100, "reduce-10d-100": 100, "reduce-3d-100": 100}
OF_CLUSTERS = ["cluster-16", "cluster-30", "reduce-2d-unsupervised"]
OF_FEW = [name for name, count in LABELED.items() if count]


def run(model: nn.Module, sets: Images | tuple[Images, ...], recipe: Recipe, **arguments: Any) -> list[Report]:
    """Train in float32 on the CPU."""
    return list(train(model, sets, recipe, device="cpu", **{"bfloat16": False, **arguments}))


def with_tiny_networks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Experiment]:
    """The registry, where some experiments have networks of 32 units in the place of those of 1000."""
    for name, make in (TINY | TINY_WITH_LABELS | TINY_CLUSTERS | TINY_MAPS).items():
        monkeypatch.setitem(EXPERIMENTS, name, replace(EXPERIMENTS[name], build=make))
    return EXPERIMENTS


def go(experiment: Experiment, digits: Digits, out: Path, **arguments: Any) -> list:
    """Train an experiment for a few steps on the CPU, with its files in the folder `out`."""
    arguments = {"steps": STEPS, "device": "cpu", "progress": False, **arguments}
    return list(train_experiment(experiment, digits, out, **arguments))


def agree(one: Evidence, other: Evidence) -> bool:
    """Whether all that the files hold is the same, bit by bit."""
    return one.tensors.keys() == other.tensors.keys() and all(
        torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items()
    )


def same(one: Model, other: Model) -> bool:
    """Whether all parameters are the same, bit by bit."""
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def with_large_weights(model: nn.Module) -> nn.Module:
    """The model with weights of its layers larger than the paper's, so that every update shows within a few steps."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.1)
            nn.init.normal_(layer.bias, std=0.1)
    return model


def with_any_statistics(model: nn.Module) -> nn.Module:
    """The model with batch-norm layers whose weights and statistics are none that one could leave out unseen."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d):
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias)
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return model


def heads_at(positions: list[list[float]]) -> ClusterHeads:
    """Cluster heads at given places."""
    heads = ClusterHeads(len(positions), len(positions[0]))
    heads.positions.data = torch.tensor(positions)
    return heads


def weights(model: nn.Module) -> list[Tensor]:
    """Copies, in the order of the parameters."""
    return [parameter.detach().clone() for parameter in model.parameters()]


def equal(some: list[Tensor], others: list[Tensor]) -> bool:
    """Whether all bits agree."""
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


def labeled_as(images: Images, labels: int | Tensor) -> Images:
    """The same images with another label, or with others."""
    return Images(images.images, torch.as_tensor(labels).expand(len(images)).clone())


def check_that_no_label_of_an_unlabeled_image_is_read(
    make: Callable[[], Model], sets: tuple[Images, Images], make_recipe: Callable[..., Recipe]
) -> None:
    """Whatever they are, training has the same bits; whatever one label of a labeled image is, it has not."""
    unlabeled, labeled = sets

    def trained(unlabeled: Images, labeled: Images) -> list[Tensor]:
        model = make()
        run(model, (unlabeled, labeled), make_recipe(model, 6))  # two passes and three
        return weights(model)

    reference = trained(unlabeled, labeled)
    for label in (-1, 7, 1 << 40):
        assert equal(trained(labeled_as(unlabeled, label), labeled), reference)
    assert equal(trained(Images(unlabeled.images, unlabeled.labels.flip(0)), labeled), reference)
    wrong = labeled.labels.clone()
    wrong[0] = 9 - wrong[0]
    assert not equal(trained(unlabeled, Images(labeled.images, wrong)), reference)


def check_that_no_label_is_read(
    make: Callable[[], Model], images: Images, make_recipe: Callable[..., Recipe]
) -> None:
    """Whatever the labels are, training has the same bits; images in another order give others."""

    def trained(images: Images) -> list[Tensor]:
        model = make()
        run(model, images, make_recipe(model, 6))
        return list(model.state_dict().values())

    reference = trained(images)
    for label in (-1, 7, 1 << 40):
        assert equal(trained(labeled_as(images, label)), reference)
    assert equal(trained(labeled_as(images, images.labels.flip(0))), reference)
    assert not equal(trained(Images(images.images.flip(0), images.labels)), reference)


def check_that_labels_reach_the_classification_alone(
    make: Callable[[], Model], sets: tuple[Images, Images]
) -> None:
    """And images without labels reach all but it; an update of cluster heads alone looks at no image."""
    unlabeled, labeled = sets

    def losses(unlabeled: Images, labeled: Images) -> dict[str, float]:
        model = make()
        torch.manual_seed(1)
        return {name: loss.item() for name, loss in model.updates(unlabeled, labeled)}

    def changed(unlabeled: Images, labeled: Images) -> set[str]:
        return {name for name, loss in losses(unlabeled, labeled).items() if loss != reference[name]}

    reference = losses(unlabeled, labeled)
    assert changed(unlabeled, Images(labeled.images, labeled.labels.flip(0))) == {"classification"}
    assert changed(unlabeled, labeled[20:]) == {"classification"}
    assert changed(unlabeled[:299], labeled) == {"reconstruction", "discriminator", "generator"}


def check_that_weights_go_through_a_file_with_or_without_discriminators(
    make: Callable[..., Model],
    sets: Images | tuple[Images, ...],
    make_recipe: Callable[..., Recipe],
    folder: Path,
    tolerance: float,
) -> None:
    """Of trained models that `make` gives for a `seed`; what ships without discriminators draws the same images.

    Args:
        tolerance: of codes from matrices of eight bits.
    """
    images = sets[0] if isinstance(sets, tuple) else sets
    trained, loaded, twice, small = (make(seed=seed).eval() for seed in range(1, 5))
    run(trained, sets, make_recipe(trained, 6))
    trained.eval()
    save_weights(folder / "all", trained, {})
    load_weights(folder / "all", loaded)
    for (name, before), after in zip(trained.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert before.dtype == after.dtype
        if before.ndim < 2:
            assert torch.equal(before, after), name  # biases, batch-norm and its statistics exactly
        if name.endswith("running_mean"):
            assert after.any(), name
    torch.testing.assert_close(loaded.encode(images.images), trained.encode(images.images), rtol=0, atol=tolerance)

    save_weights(folder / "again", loaded, {})
    load_weights(folder / "again", twice)
    torch.testing.assert_close(twice.encode(images.images), loaded.encode(images.images), rtol=1e-5, atol=1e-5)

    children = [name for name, _ in trained.named_children()]
    discriminators = [name for name in children if "discriminator" in name]
    assert discriminators
    for name in discriminators:
        delattr(trained, name)
    save_weights(folder / "rest", trained, {})
    load_weights(folder / "rest", small)
    assert [name for name, _ in small.named_children()] == [name for name in children if name not in discriminators]
    assert torch.equal(small.code_of(images), loaded.code_of(images))
    assert torch.equal(small.decode(small.code_of(images)), loaded.decode(loaded.code_of(images)))


def alone(model: Model, update: str, optimizer: SGD | Adam, steps: int) -> Recipe:
    """A recipe in which nothing moves but what this update moves."""
    return Recipe({**dict.fromkeys(model.moves, SGD(0.0)), update: optimizer}, steps)


def watched(model: Model, look: Callable[[], Any]) -> list[tuple[str, Any]]:
    """Let `model` record (update, look after it) in a run, beginning each step with a look before its first."""
    record: list[tuple[str, Any]] = []
    kind = type(model)

    class Watched(kind):
        @functools.wraps(kind.updates)
        def updates(self, *minibatches: Images) -> Iterator[tuple[str, Tensor]]:
            record.append(("", look()))
            for name, loss in kind.updates(self, *minibatches):
                yield name, loss
                record.append((name, look()))

    model.__class__ = Watched
    return record


def check_that_each_update_moves_its_networks_and_no_other(
    model: Model, sets: Images | tuple[Images, ...], recipe: Recipe, bfloat16: bool
) -> None:
    """In one step, in the order of `moves`."""
    record = watched(model, lambda: {name: weights(network) for name, network in model.named_children()})
    run(model, sets, recipe, bfloat16=bfloat16)
    assert [name for name, _ in record] == ["", *model.moves]
    for (_, before), (name, after) in zip(record[:-1], record[1:], strict=True):
        moved = {network for network in before if not equal(before[network], after[network])}
        assert moved == set(model.moves[name]), name


@torch.no_grad()
def opinions(model: LabelAndStyleAutoencoder, images: Images) -> dict[str, float]:
    """What the two discriminators say on average, of samples and of the labels and styles of images."""
    torch.manual_seed(0)
    logits, style = model.logits_and_style(images.images)
    shown = {
        "real label": model.label_discriminator(model.prior.label.sample(len(images))),
        "fake label": model.label_discriminator(logits.softmax(1)),
        "real style": model.style_discriminator(model.prior.style.sample(len(images))),
        "fake style": model.style_discriminator(style),
    }
    return {name: logits.mean().item() for name, logits in shown.items()}


def check_that_the_discriminators_learn_to_tell_and_the_encoder_to_fool_them(
    model: LabelAndStyleAutoencoder, images: Images
) -> None:
    """Each by its own update alone, of a model of one set of images and without noise, dropout and batch-norm."""
    before = opinions(model, images)
    run(model, images, alone(model, "discriminator", Adam(0.01), 100))
    told = opinions(model, images)
    for half in ("label", "style"):
        assert told[f"real {half}"] > max(0.2, before[f"real {half}"])
        assert told[f"fake {half}"] < min(-0.2, before[f"fake {half}"])
    run(model, images, alone(model, "generator", SGD(0.01), 20))
    fooled = opinions(model, images)
    for half in ("label", "style"):
        assert fooled[f"fake {half}"] > told[f"fake {half}"] + 0.02
        assert fooled[f"real {half}"] == told[f"real {half}"]


def perceptron(network: nn.Sequential, inputs: np.ndarray) -> np.ndarray:
    """The output of a perceptron in evaluation, in float64, written out."""
    is_first = True
    for layer in network:
        if isinstance(layer, nn.Linear):
            weight, bias = (parameter.detach().double().numpy() for parameter in layer.parameters())
            inputs = (inputs if is_first else np.maximum(inputs, 0)) @ weight.T + bias
            is_first = False
        elif isinstance(layer, nn.BatchNorm1d):
            mean, variance = layer.running_mean.double().numpy(), layer.running_var.double().numpy()
            inputs = (inputs - mean) / np.sqrt(variance + 1e-5)
            if layer.affine:
                inputs = inputs * layer.weight.detach().double().numpy() + layer.bias.detach().double().numpy()
    return inputs


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


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
