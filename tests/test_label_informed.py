"""Labels in the discriminator: what it is shown, what no update reads, and where the labeled codes go."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from aae_lib.data import Images, balanced_subset
from aae_lib.models import LabelInformedAutoencoder
from aae_lib.models.label_informed import UNLABELED, hide_labels
from aae_lib.priors import Categorical, ClassConditionalPrior, Gaussian, GaussianMixture, PriorError, SwissRoll
from aae_lib.training import SGD, Adam, Recipe, train


@pytest.fixture
def half_labeled(images: Images) -> Images:
    """600 images, of which 300 have a label."""
    return hide_labels(images, balanced_subset(images.labels, 300, seed=0))


def tiny(prior: ClassConditionalPrior, hidden: tuple[int, ...] = (32,)) -> LabelInformedAutoencoder:
    """With weights larger than the paper's, so that every update shows within a few steps."""
    torch.manual_seed(0)
    model = LabelInformedAutoencoder(prior, hidden)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model


def run(model: LabelInformedAutoencoder, images: Images, recipe: Recipe) -> list:
    return list(train(model, images, recipe, device="cpu", bfloat16=False))


def weights(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def equal(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


# What the discriminator is shown


def test_the_switch_has_an_entry_for_each_label_and_one_for_none() -> None:
    model = LabelInformedAutoencoder(GaussianMixture(), (8,))
    assert torch.equal(model.switch(torch.tensor([0, 9, UNLABELED, 3])), torch.eye(11)[[0, 9, 10, 3]])
    assert LabelInformedAutoencoder(Categorical(3), (8,)).switch(torch.tensor([UNLABELED, 2])).tolist() == [
        [0, 0, 0, 1],
        [0, 0, 1, 0],
    ]


def seen_by_the_discriminator(batch: Images) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Real and fake codes with their switches, the generator's, and the two codes of one step on one-hot codes."""
    model = tiny(Categorical(10))
    inputs, codes = [], []
    model.discriminator.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0].detach()))
    model.encoder.register_forward_hook(lambda module, arguments, output: codes.append(output.detach()))
    torch.manual_seed(1)
    for name, loss in model.updates(batch):
        if name == "reconstruction":
            gradients = torch.autograd.grad(loss, list(model.encoder.parameters()))
            for parameter, gradient in zip(model.encoder.parameters(), gradients, strict=True):
                parameter.data -= 0.01 * gradient
    of_discriminator, of_generator = inputs
    real, fake = of_discriminator.split(len(batch))
    return real, fake, of_generator, codes


def test_labeled_samples_are_of_their_class_and_the_others_of_any(images: Images, half_labeled: Images) -> None:
    labels, is_labeled = half_labeled.labels, half_labeled.labels != UNLABELED
    real, _, _, _ = seen_by_the_discriminator(half_labeled)
    classes = real[:, :10].argmax(1)
    assert torch.equal(classes[is_labeled], labels[is_labeled])
    of_others = classes[~is_labeled]
    assert torch.bincount(of_others, minlength=10).min() > 10
    assert (of_others == images.labels[~is_labeled]).double().mean() < 0.2  # 0.1 by chance


def test_codes_come_with_the_same_switches_from_the_encoder_that_has_moved(half_labeled: Images) -> None:
    real, fake, of_generator, (before, after) = seen_by_the_discriminator(half_labeled)
    expected = torch.eye(11)[half_labeled.labels.where(half_labeled.labels != UNLABELED, 10)]
    assert torch.equal(real[:, 10:], expected) and torch.equal(fake[:, 10:], expected)
    assert torch.equal(fake[:, :10], after) and torch.equal(of_generator, fake)
    assert not torch.equal(before, after)


@pytest.mark.parametrize("count", [0, 600])
def test_no_label_and_all_labels_will_do(count: int, images: Images) -> None:
    batch = hide_labels(images, torch.arange(count))
    real, fake, _, _ = seen_by_the_discriminator(batch)
    assert real[:, 20].sum() == fake[:, 20].sum() == 600 - count


@pytest.mark.parametrize("label", [10, -2])
def test_labels_that_the_prior_does_not_have_are_refused(label: int, images: Images) -> None:
    batch = Images(images.images[:10], torch.full((10,), label))
    with pytest.raises(PriorError, match=f"GaussianMixture needs integer labels .* not labels from {label} to {label}"):
        list(tiny(GaussianMixture()).updates(batch))


def test_a_prior_without_classes_is_refused() -> None:
    with pytest.raises(PriorError, match="labels need a ClassConditionalPrior, and Gaussian is none"):
        LabelInformedAutoencoder(Gaussian(2), (8,))


# What an update moves


@pytest.mark.parametrize("bfloat16", [False, True])
def test_each_update_moves_its_networks_and_no_other(bfloat16: bool, half_labeled: Images, make_recipe) -> None:
    states: list[tuple[str, dict[str, list[Tensor]]]] = []

    class Watched(LabelInformedAutoencoder):
        def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
            states.append(("", {name: weights(network) for name, network in self.named_children()}))
            for name, loss in super().updates(batch):
                yield name, loss
                states.append((name, {name: weights(network) for name, network in self.named_children()}))

    model = tiny(SwissRoll())
    model.__class__ = Watched
    list(train(model, half_labeled, make_recipe(model, 1, SGD(0.1)), device="cpu", bfloat16=bfloat16))
    assert [name for name, _ in states] == ["", "reconstruction", "discriminator", "generator"]
    for (_, before), (name, after) in zip(states[:-1], states[1:], strict=True):
        moved = {network for network in before if not equal(before[network], after[network])}
        assert moved == set(LabelInformedAutoencoder.moves[name])


# Labels that are hidden


def test_hidden_labels_are_gone(images: Images) -> None:
    labels = images.labels.clone()
    hidden = hide_labels(images, torch.tensor([3, 17]))
    assert hidden.images is images.images and torch.equal(images.labels, labels)
    assert hidden.labels[[3, 17]].tolist() == labels[[3, 17]].tolist() and hidden.labels.dtype == labels.dtype
    assert (hidden.labels == UNLABELED).sum() == len(images) - 2


def test_no_label_but_those_that_were_given_is_read(images: Images, make_recipe) -> None:
    """Whatever the other labels are, training has the same bits; whatever these are, it has not."""
    labeled = balanced_subset(images.labels, 100, seed=0)

    def trained(labels: Tensor) -> list[Tensor]:
        model = tiny(GaussianMixture())
        run(model, hide_labels(Images(images.images, labels), labeled), make_recipe(model, 6))
        return weights(model)

    reference = trained(images.labels)
    for other in (images.labels.flip(0), torch.full_like(images.labels, 7), torch.full_like(images.labels, 1 << 40)):
        tampered = other.index_copy(0, labeled, images.labels[labeled])
        assert equal(trained(tampered), reference)
    wrong = images.labels.index_copy(0, labeled[:1], 9 - images.labels[labeled[:1]])
    assert not equal(trained(wrong), reference)


def test_codes_and_images_need_no_label(images: Images) -> None:
    model = tiny(SwissRoll())
    codes = model.encode(images.images[:5])
    assert codes.shape == (5, 2) and model.decode(codes).shape == (5, 784)


@pytest.mark.parametrize(("prior", "share"), [(GaussianMixture(), 0.5), (SwissRoll(), 0.35)])
def test_codes_of_held_out_images_go_to_the_part_of_their_label(
    prior: ClassConditionalPrior, share: float, digits
) -> None:
    model = tiny(prior, hidden=(64,))
    images = hide_labels(digits.train, balanced_subset(digits.train.labels, 2000, seed=0))
    discriminator, generator = Adam(0.01, (0.5, 0.9)), Adam(0.002, (0.5, 0.9))
    optimizers = {"reconstruction": SGD(1e-4, 0.9), "discriminator": discriminator, "generator": generator}

    def own() -> float:
        with torch.no_grad():
            return (prior.nearest_class(model.encode(digits.test.images)) == digits.test.labels).double().mean().item()

    assert own() < 0.2  # 0.1 by chance
    run(model, images, Recipe(optimizers, steps=400))
    assert own() > share
