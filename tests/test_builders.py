"""The builders: sizes and layers of networks, initial weights, and what encoders see while training."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import MOTION, SYSTEMS, sets_of, tiny
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.experiments import builders
from aae_lib.losses import half_squared_error
from aae_lib.models import Model
from aae_lib.networks import Attenuated, Dropout, GaussianNoise, RandomAffine, multilayer_perceptron
from aae_lib.priors import Gaussian, GaussianMixture
from aae_lib.seeding import seeded

Sets = tuple[Images, Images]
SHAPE = (3, 4, 5)  # 60 numbers
# Inputs and outputs of each network, by its name, for styles and codes of 2 dimensions, 4 classes and 7 clusters.
SIZES = {
    "autoencoder": {"encoder": (60, 2), "decoder": (2, 60)},
    "adversarial": {"encoder": (60, 2), "decoder": (2, 60), "discriminator": (2, 1)},
    "gaussian_posterior": {"encoder": (60, 4), "decoder": (2, 60), "discriminator": (2, 1)},
    "universal_posterior": {"encoder": (70, 2), "decoder": (2, 60), "discriminator": (2, 1)},
    "label_informed": {"encoder": (60, 2), "decoder": (2, 60), "discriminator": (2 + 10 + 1, 1)},
    "supervised": {"encoder": (60, 2), "decoder": (6, 60), "discriminator": (2, 1)},
    "semi_supervised": {
        "encoder": (60, 6), "decoder": (6, 60), "label_discriminator": (4, 1), "style_discriminator": (2, 1)
    },
    "classifier": {"classifier": (60, 4)},
    "m2": {"classifier": (60, 4), "encoder": (64, 4), "decoder": (6, 60)},
    "clustering": {
        "encoder": (60, 9), "decoder": (9, 60), "label_discriminator": (7, 1), "style_discriminator": (2, 1)
    },
    "reducing": {
        "encoder": (60, 9), "decoder": (2, 60), "label_discriminator": (7, 1), "style_discriminator": (2, 1)
    },
    "guided_clustering": {
        "encoder": (60, 9), "decoder": (9, 60), "label_discriminator": (7, 1), "style_discriminator": (2, 1)
    },
    "guided_reducing": {
        "encoder": (60, 9), "decoder": (2, 60), "label_discriminator": (7, 1), "style_discriminator": (2, 1)
    },
    "semi_supervised_reducing": {
        "encoder": (60, 6), "decoder": (2, 60), "label_discriminator": (4, 1), "style_discriminator": (2, 1)
    },
    "fixed_heads": {
        "encoder": (60, 8), "decoder": (4, 60), "label_discriminator": (4, 1), "style_discriminator": (4, 1)
    },
    "variational": {"encoder": (60, 4), "decoder": (2, 60)},
}  # fmt: skip

CLUSTERING = ("clustering", "reducing", "guided_clustering", "guided_reducing")


def build(name: str, **settings: Any) -> Model:
    settings = {"clusters": 7, **settings} if name in CLUSTERING else settings
    prior = GaussianMixture() if name == "label_informed" else Gaussian(4 if name == "fixed_heads" else 2)
    return getattr(builders, name)(SHAPE, 4, prior, **settings)


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_those_asked_for_and_by_default_the_papers(name: str) -> None:
    """A thousand units twice, weights of deviation 0.01 and biases of 0, whatever the shape and number of classes."""
    for settings, hidden in (({"hidden": (8, 5)}, [8, 5]), ({}, [1000, 1000])):
        model = build(name, **settings)
        networks = dict(model.named_children())
        networks.pop("heads", None)
        assert networks.keys() == SIZES[name].keys()
        for network, (inputs, outputs) in SIZES[name].items():
            layers = [layer for layer in networks[network].modules() if isinstance(layer, nn.Linear)]
            assert [layers[0].in_features, *(layer.out_features for layer in layers)] == [inputs, *hidden, outputs]
            if not settings:
                assert all(layer.weight.std().item() == pytest.approx(0.01, rel=0.15) for layer in layers[:2])
                assert not any(layer.bias.any() for layer in layers)
    if "reducing" in name:
        assert model.heads.positions.shape == (7 if name in CLUSTERING else 4, 2)
    if name == "fixed_heads":
        assert torch.equal(model.heads.positions, 10 * torch.eye(4))


def test_m1_m2_is_m2_on_the_codes_of_a_variational_autoencoder() -> None:
    model = builders.m1_m2(SHAPE, 4, Gaussian(2), hidden=(8,), features=7, hidden_above=(9,))
    shapes = [tuple(layer.weight.shape) for layer in model.modules() if isinstance(layer, nn.Linear)]
    above = [(9, 7), (4, 9), (9, 7 + 4), (4, 9), (9, 4 + 2), (14, 9)]
    assert shapes == [*above, (8, 60), (14, 8), (8, 7), (60, 8)]
    assert model.vae.prior.dimensions == 7


def test_settings_are_plain_data_and_follow_shape_classes_and_prior() -> None:
    for system in SYSTEMS.values():
        parameters = inspect.signature(system.build).parameters.values()
        assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == ["shape", "classes", "prior"]
        for parameter in parameters:
            if parameter.kind is parameter.KEYWORD_ONLY:
                assert isinstance(parameter.default, int | float | tuple), parameter


def test_the_order_of_random_draws_is_that_of_the_shipped_runs() -> None:
    """Encoder, decoder, discriminators; some draw an encoder that another one replaces; heads come first."""

    def first(network: nn.Module) -> Tensor:
        return next(network.parameters())

    with seeded(4):
        sizes = (60, 2), (2, 60), (2, 1)
        encoder, decoder, discriminator = (multilayer_perceptron(*size, (8,)) for size in sizes)
        later = multilayer_perceptron(60 + 10, 2, (8,))
    with seeded(4):
        heads = torch.randn(4, 2)
    plain, universal = seeded_build("adversarial", 4), seeded_build("universal_posterior", 4)
    informed, reducing = seeded_build("label_informed", 4), seeded_build("semi_supervised_reducing", 4)
    for model, expected in ((plain, encoder), (universal, later)):
        assert torch.equal(first(model.encoder), first(expected))
        assert torch.equal(first(model.decoder), first(decoder))
        assert torch.equal(first(model.discriminator), first(discriminator))
    with seeded(4):
        for size in sizes[:2]:
            multilayer_perceptron(*size, (8,))
        assert torch.equal(first(informed.encoder), first(multilayer_perceptron(60, 2, (8,))))
    assert torch.equal(first(informed.decoder), first(decoder)) and torch.equal(reducing.heads.positions, heads)


def seeded_build(name: str, seed: int) -> Model:
    with seeded(seed):
        return build(name, hidden=(8,))


def test_the_discriminator_s_initial_weights_are_as_asked() -> None:
    wide = build("adversarial", discriminator_deviation=0.2).discriminator
    default = build("adversarial", discriminator_deviation=None).discriminator
    assert wide[2].weight.std().item() == pytest.approx(0.2, rel=0.02) and not wide[2].bias.any()
    assert default[2].weight.abs().max() < 1 / 1000**0.5 + 1e-6 and default[2].bias.any()
    assert build("adversarial", discriminator_deviation=None).encoder[2].weight.std() < 0.011


def test_layers_of_noise_and_dropout_stand_where_the_settings_say() -> None:
    def kinds(network: nn.Module) -> list[type]:
        return [type(layer) for layer in network if not isinstance(layer, nn.Linear | nn.ReLU)]

    model = build("adversarial", motion=(1.0,), input_noise=0.3, dropout=0.1, output_noise=1.0, decoder_dropout=0.2)
    assert kinds(model.encoder) == [RandomAffine, GaussianNoise, Dropout, Dropout, GaussianNoise]
    assert [layer.standard_deviation for layer in model.encoder if isinstance(layer, GaussianNoise)] == [0.3, 1.0]
    assert kinds(model.decoder) == [Dropout, Dropout] and model.decoder[2].p == 0.2
    assert kinds(build("adversarial").encoder) == [] and not isinstance(build("adversarial").decoder, Attenuated)
    assert build("adversarial", encoder_share=0.3).decoder.share == 0.3
    normalized = build("clustering", input_noise=0.1)
    assert kinds(normalized.encoder) == [GaussianNoise, Dropout, *3 * [nn.BatchNorm1d]]
    assert normalized.encoder[-1].num_features == 9 and normalized.encoder[1].p == 0.2  # the code is normalized, too
    assert kinds(build("semi_supervised_reducing").encoder) == [GaussianNoise]
    for name in SYSTEMS:
        for network in tiny(name).adversaries:
            *_, last = getattr(tiny(name), network).modules()
            assert isinstance(last, nn.Linear | nn.AvgPool2d | nn.Flatten), "no ReLU keeps it from saying less than 0.5"


def test_a_classifier_s_features_are_what_its_last_layer_decides_by(sets: Sets) -> None:
    for name, size in (("classifier", 32), ("convolutional classifier", 8)):
        model = tiny(name).eval()
        features, last = model.features(sets[0].images), model.classifier[-1]
        assert features.shape == (300, size) and features.dtype == torch.float32 and (features >= 0).all()
        expected = model.classify(sets[0].images)
        torch.testing.assert_close(features @ last.weight.T + last.bias, expected, rtol=1e-4, atol=1e-5)


# What encoders and classifiers see


def seen_in_a_step(model: Model, sets: tuple[Images, ...]) -> tuple[list[Tensor], list[Tensor]]:
    """What enters the first layer of the encoder or classifier in each pass, and what is to be reconstructed."""
    seen, targets = [], []
    network = model.classifier if hasattr(model, "classifier") else model.encoder
    layer = next(layer for layer in network.modules() if isinstance(layer, nn.Linear))
    handle = layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach()))

    def loss(logits: Tensor, images: Tensor) -> Tensor:
        targets.append(images)
        return half_squared_error(logits, images)

    model.reconstruction_loss = loss
    with seeded(3):
        list(model.updates(*sets))
    handle.remove()
    return seen, targets


def passes(name: str, unlabeled: Tensor, labeled: Tensor) -> list[Tensor]:
    """The images of each pass through the encoder or classifier, as they are."""
    if name == "label-informed":
        return [torch.cat([unlabeled, labeled])] * 2
    if name == "M2":
        return [unlabeled, labeled]
    of_labeled = [labeled] if name in ("semi-supervised", "reducing, labels", "classifier") else []
    return [unlabeled, unlabeled, *of_labeled] if name != "classifier" else of_labeled


DISTURBED = ["adversarial", "label-informed", "semi-supervised", "classifier", "M2", "clustering", "reducing, labels"]


@pytest.mark.parametrize("name", DISTURBED)
def test_encoders_see_noise_while_training_and_clean_images_are_reconstructed(name: str, sets: Sets) -> None:
    others = {"input_dropout": 0.0} if name == "clustering" else {"motion": ()} if name != "reducing, labels" else {}
    model = tiny(name, input_noise=0.25, **others)
    clean = passes(name, sets[0].images, sets[1].images)
    seen, targets = seen_in_a_step(model.train(), sets_of(model, *sets))
    noises = [noisy - images for noisy, images in zip(seen, clean, strict=True)]
    for noise in noises:
        assert noise.mean().abs() < 0.003 and noise.std().item() == pytest.approx(0.25, rel=0.01)
    if len(noises) > 1 and noises[0].shape == noises[1].shape:  # new noise in each pass
        assert F.cosine_similarity(noises[0].flatten(), noises[1].flatten(), dim=0).abs() < 0.01
    assert all(torch.equal(target, clean[0]) for target in targets)
    seen, targets = seen_in_a_step(model.eval(), sets_of(model, *sets))
    assert all(torch.equal(*pair) for pair in zip(seen, clean, strict=True))


@pytest.mark.parametrize("name", ["adversarial", "label-informed", "semi-supervised", "classifier", "M2"])
def test_encoders_see_augmented_images_and_images_are_reconstructed_as_they_are(name: str, sets: Sets) -> None:
    others = {"dropout": 0.0} if name == "label-informed" else {}
    model = tiny(name, motion=MOTION, input_noise=0.0, **others)
    clean = passes(name, sets[0].images, sets[1].images)
    seen, targets = seen_in_a_step(model.train(), sets_of(model, *sets))
    for moved, images in zip(seen, clean, strict=True):
        assert (moved != images).any(1).all() and 0 <= moved.min() <= moved.max() <= 1.0001
        assert F.cosine_similarity(moved, images).mean() > 0.5  # the same image, moved a little
    assert all(torch.equal(target, clean[0]) for target in targets)
    seen, _ = seen_in_a_step(model.eval(), sets_of(model, *sets))
    assert all(torch.equal(*pair) for pair in zip(seen, clean, strict=True))


def test_a_share_of_the_pixels_is_left_out_after_the_noise(sets: Sets) -> None:
    model = tiny("clustering", input_dropout=0.4, input_noise=0.25).train()
    seen, (target,) = seen_in_a_step(model, (sets[0],))
    for pixels in seen:
        kept = pixels != 0
        assert kept.double().mean() == pytest.approx(0.6, abs=0.01)
        assert (0.6 * pixels - target)[kept].std().item() == pytest.approx(0.25, rel=0.02)
    assert ((seen[0] != 0) & (seen[1] != 0)).double().mean() == pytest.approx(0.36, abs=0.01)  # other pixels


# How much of a gradient reaches the encoder


@pytest.mark.parametrize(
    ("name", "share"), [("adversarial", 0.05), ("label-informed", 0.05), ("convolutional AAE", 0.25)]
)
def test_a_share_of_the_reconstruction_s_gradient_reaches_the_encoder_and_all_of_it_the_decoder(
    name: str, share: float, sets: Sets
) -> None:
    def gradients(encoder_share: float) -> list[list[Tensor]]:
        model = tiny(name).train()
        decoder = nn.Sequential(*model.decoder)
        model.decoder = Attenuated(decoder, encoder_share) if encoder_share < 1 else decoder
        with seeded(2):
            _, loss = next(model.updates(*sets_of(model, *sets)))
        networks = ([*model.encoder.parameters()], [*model.decoder.parameters()])
        return [torch.autograd.grad(loss, network, retain_graph=True) for network in networks]

    for factor, some, all_of_it in zip((share, 1.0), gradients(share), gradients(1.0), strict=True):
        for part, whole in zip(some, all_of_it, strict=True):
            torch.testing.assert_close(part, factor * whole, rtol=1e-3, atol=1e-6)
            assert part.any()


@pytest.mark.parametrize("build, classes", [(builders.clustering, 16), (builders.semi_supervised, 3)])
def test_labels_may_be_unequally_likely(build: Callable[..., Model], classes: int) -> None:
    probabilities = (0.5, *[0.5 / (classes - 1)] * (classes - 1))
    model = build((1, 8, 8), 3, Gaussian(2), hidden=(8,), probabilities=probabilities)
    assert model.prior.label.probabilities == probabilities
