"""What several test files need: short runs, what they leave, and networks written out."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.models import LabelAndStyleAutoencoder, Model
from aae_lib.networks import ClusterHeads
from aae_lib.training import SGD, Adam, Recipe, Report, train


def run(model: nn.Module, sets: Images | tuple[Images, ...], recipe: Recipe, **arguments: Any) -> list[Report]:
    """Train in float32 on the CPU."""
    return list(train(model, sets, recipe, device="cpu", **{"bfloat16": False, **arguments}))


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
