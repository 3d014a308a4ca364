"""Generators of images: AGE, GAN and ALI play their games by the rules, and models take convolutional networks."""

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import (
    alone,
    check_that_each_update_moves_its_networks_and_no_other,
    check_that_no_label_is_read,
    equal,
    perceptron,
    run,
    sigmoid,
    watched,
    weights,
    with_large_weights,
)
from torch import Tensor, nn

from aae_lib import training
from aae_lib.data import Digits, Images
from aae_lib.losses import fitted_gaussian_kl
from aae_lib.models import (
    AdversarialAutoencoder,
    AdversarialGeneratorEncoder,
    AdversariallyLearnedInference,
    Autoencoder,
    Classifier,
    GenerativeAdversarialNetwork,
    Model,
    VariationalAutoencoder,
)
from aae_lib.networks import (
    JointDiscriminator,
    OntoSphere,
    convolutional_decoder,
    convolutional_encoder,
    has_batch_norm,
    multilayer_perceptron,
)
from aae_lib.priors import Gaussian, UniformSphere
from aae_lib.storage import load_weights, read_file, save_weights
from aae_lib.training import SGD, Adam, Recipe, TrainingError, recompute_batch_norm, train

D = 3  # dimensions of a code
SEED = 5


def of_perceptrons(kind: type[Model], seed: int = 0, batch_norm: bool = False, **arguments: Any) -> Model:
    """A tiny model without dropout, whose generated images differ much, so that their codes do."""

    def network(inputs: int, outputs: int) -> nn.Sequential:
        return multilayer_perceptron(inputs, outputs, (16,), batch_norm=batch_norm)

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = network(784, 2 * D if kind is AdversariallyLearnedInference else D)
        decoder = network(D, 784)
        if kind is AdversarialGeneratorEncoder:
            model = kind(UniformSphere(D), nn.Sequential(*encoder, OntoSphere()), decoder, **arguments)
        elif kind is GenerativeAdversarialNetwork:
            model = kind(Gaussian(D), decoder, network(784, 1))
        else:
            model = kind(Gaussian(D), encoder, decoder, multilayer_perceptron(784 + D, 1, (16,)))
        with_large_weights(model)
        with torch.no_grad():
            decoder[0].weight.mul_(10)
        return model


def of_normalized(kind: type[Model], seed: int = 0, **arguments: Any) -> Model:
    """With batch-norm where the experiments have it."""
    return of_perceptrons(kind, seed, batch_norm=True, **arguments)


def of_convolutions(kind: type[Model], seed: int = 0, **arguments: Any) -> Model:
    """A tiny model of the networks that the experiments use."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        decoder = convolutional_decoder(D, 4)
        if kind is AdversarialGeneratorEncoder:
            encoder = nn.Sequential(*convolutional_encoder(D, 4), OntoSphere())
            return kind(UniformSphere(D), encoder, decoder, **arguments)
        if kind is GenerativeAdversarialNetwork:
            return kind(Gaussian(D), decoder, convolutional_encoder(1, 4))
        return kind(Gaussian(D), convolutional_encoder(2 * D, 4), decoder, JointDiscriminator(D, 4))


def recipe_of(model: Model, steps: int, optimizer: SGD | Adam = Adam(1e-3), batch_size: int = 100) -> Recipe:  # noqa: B008
    return Recipe(dict.fromkeys(model.moves, optimizer), steps, batch_size=batch_size)


KINDS = [AdversarialGeneratorEncoder, GenerativeAdversarialNetwork, AdversariallyLearnedInference]
AGE, GAN, ALI = KINDS
MAKERS = [of_perceptrons, of_normalized, of_convolutions]


# Codes and images


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("kind", KINDS)
def test_codes_and_images_have_their_shapes_and_ranges(make: Callable, kind: type[Model], images: Images) -> None:
    model = make(kind)
    decoded = model.decode(20 * model.prior.sample(200))
    assert decoded.shape == (200, 784) and decoded.dtype == torch.float32
    assert 0 <= decoded.min() < 0.5 < decoded.max() <= 1  # a sigmoid, not a hyperbolic tangent
    if kind is GAN:
        return
    codes = model.encode(images.images[:50])
    assert codes.shape == (50, D) and codes.dtype == torch.float32
    on_sphere = (codes.norm(dim=1) - 1).abs().max() < 1e-5
    assert on_sphere == (kind is AGE)


def test_a_generative_adversarial_network_has_no_codes_of_images(images: Images) -> None:
    model = of_perceptrons(GAN)
    for ask in (lambda: model.encode(images.images), lambda: model.code_of(images)):
        with pytest.raises(NotImplementedError, match="GenerativeAdversarialNetwork has no encoder"):
            ask()
    assert not hasattr(model, "encoder")


def test_codes_of_learned_inference_are_samples_of_its_gaussian(images: Images) -> None:
    model, batch = of_perceptrons(ALI), images.images[:10]
    samples = torch.stack([model.encode(batch) for _ in range(2000)]).detach()
    output = perceptron(model.encoder, batch.double().numpy())
    mean, deviation = output[:, :D], np.exp(output[:, D:] / 2)
    assert deviation.max() > 1.2 * deviation.min()
    assert np.abs((samples.mean(0).numpy() - mean) / deviation).max() < 0.1
    assert np.abs(samples.std(0).numpy() / deviation - 1).max() < 0.08


@pytest.mark.parametrize("kind", KINDS)
def test_no_label_is_read(kind: type[Model], images: Images) -> None:
    check_that_no_label_is_read(lambda: of_perceptrons(kind), images, recipe_of)


# What an update moves


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("make", [of_perceptrons, of_normalized])
@pytest.mark.parametrize("kind", KINDS)
def test_each_update_moves_its_networks_and_no_other(
    kind: type[Model], make: Callable, bfloat16: bool, images: Images
) -> None:
    model = make(kind, **({"generator_updates": 1} if kind is AGE else {}))
    recipe = recipe_of(model, 1, SGD(0.01), batch_size=50)
    check_that_each_update_moves_its_networks_and_no_other(model, images, recipe, bfloat16)


@pytest.mark.parametrize("updates", [1, 2, 3])
def test_age_updates_the_encoder_once_and_then_the_generator_as_often_as_asked(updates: int, images: Images) -> None:
    model = of_perceptrons(AGE, generator_updates=updates)
    record = watched(model, lambda: {name: weights(network) for name, network in model.named_children()})
    run(model, images, recipe_of(model, 2, SGD(1e-3)))
    assert [name for name, _ in record] == 2 * ["", "encoder", *updates * ["generator"]]
    for (_, before), (name, after) in zip(record[:-1], record[1:], strict=True):
        moved = {network for network in before if not equal(before[network], after[network])}
        assert moved == {"": set(), "encoder": {"encoder"}, "generator": {"decoder"}}[name]


def test_age_updates_the_generator_twice_by_default() -> None:
    model = of_perceptrons(AGE)
    assert [name for name, _ in model.updates(random_images(10))] == ["encoder", "generator", "generator"]
    assert (model.image_weight, model.code_weight, model.generator_image_weight) == (10.0, 500.0, 0.0)


def random_images(count: int) -> Images:
    return Images(torch.rand(count, 784), torch.zeros(count, dtype=torch.int64))


class Remembered(UniformSphere):
    """A prior that keeps what it has sampled."""

    def __init__(self, dimensions: int):
        super().__init__(dimensions)
        self.drawn: list[Tensor] = []

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        codes = super().sample(count, device)
        self.drawn.append(codes)
        return codes


@pytest.mark.parametrize("updates", [1, 3])
def test_age_draws_new_codes_for_each_update(updates: int, images: Images) -> None:
    model = of_perceptrons(AGE, generator_updates=updates)
    model.prior = Remembered(D)
    decoded: list[Tensor] = []
    model.decoder.register_forward_pre_hook(lambda module, inputs: decoded.append(inputs[0].detach().clone()))
    run(model, images, recipe_of(model, 4, SGD(1e-3)))
    drawn = model.prior.drawn[2:]  # the first were drawn twice, to look at the prior
    assert len(drawn) == 4 * (1 + updates) and {codes.shape for codes in drawn} == {(100, D)}
    assert len(torch.cat(drawn).unique(dim=0)) == 400 * (1 + updates)
    # And they are what is decoded; the codes of images are, once a step.
    of_prior = [any(torch.equal(codes, other) for other in drawn) for codes in decoded]
    assert sum(of_prior) == len(drawn) and len(decoded) == len(drawn) + 4


# AGE: the losses against formulas in float64


def divergence(codes: np.ndarray) -> float:
    """Equation 7, with the mean m and the standard deviation s of each dimension over the minibatch."""
    m, s = codes.mean(axis=0), np.sqrt(((codes - codes.mean(axis=0)) ** 2).mean(axis=0))
    return float(-1 / 2 + ((s**2 + m**2) / 2 - np.log(s)).sum() / codes.shape[1])


def on_sphere(codes: np.ndarray) -> np.ndarray:
    return codes / np.sqrt((codes**2).sum(axis=1, keepdims=True))


def age_losses(model: AdversarialGeneratorEncoder, images: Tensor, drawn: list[Tensor]) -> list[float]:
    """Of the encoder, and of each update of the generator; no update moves anything in between."""
    x = images.double().numpy()
    z, *others = (codes.double().numpy() for codes in drawn)

    def encode(images: np.ndarray) -> np.ndarray:
        return on_sphere(perceptron(model.encoder, images))

    def decode(codes: np.ndarray) -> np.ndarray:
        return sigmoid(perceptron(model.decoder, codes))

    # Pictures from -1 to 1, as the official code has them.
    image_error = np.abs((2 * decode(encode(x)) - 1) - (2 * x - 1)).mean()
    losses = [divergence(encode(x)) - divergence(encode(decode(z))) + model.image_weight * image_error]
    for z in others:
        back = encode(decode(z))
        code_error = model.code_weight * ((z - back) ** 2).mean()
        losses.append(divergence(back) + code_error + model.generator_image_weight * image_error)
    return losses


@pytest.mark.parametrize(
    "arguments",
    [
        {"image_weight": 0.0, "code_weight": 0.0},
        {"image_weight": 10.0, "code_weight": 0.0},
        {"image_weight": 0.0, "code_weight": 500.0},
        {"image_weight": 1.0, "code_weight": 2.0, "generator_image_weight": 3.0},
        {},
    ],
    ids=str,
)
def test_ages_losses_are_its_equations(arguments: dict[str, float], images: Images) -> None:
    model, batch = of_perceptrons(AGE, **arguments), images[:50]
    model.prior = Remembered(D)
    found = [loss.item() for _, loss in model.updates(batch)]
    assert found == pytest.approx(age_losses(model, batch.images, model.prior.drawn), rel=1e-4, abs=1e-5)


def test_the_divergence_is_that_of_the_deviation_and_not_of_the_variance(images: Images) -> None:
    """Which the official code puts where the deviation belongs."""
    model, batch = of_perceptrons(AGE, image_weight=0.0, code_weight=0.0), images[:50]
    torch.manual_seed(SEED)
    _, (_, loss), _ = model.updates(batch)
    back = last_back(model)
    m, variance = back.mean(axis=0), back.var(axis=0)
    flawed = ((variance**2 + m**2) / 2 - np.log(variance) - 1 / 2).mean()
    assert loss.item() == pytest.approx(divergence(back), rel=1e-5)
    assert abs(loss.item() - flawed) > 0.3


def last_back(model: AdversarialGeneratorEncoder) -> np.ndarray:
    """e(g(z)) of the second of 50 samples drawn since the seed was set."""
    torch.manual_seed(SEED)
    z = [model.prior.sample(50) for _ in range(2)][1].double().numpy()
    return on_sphere(perceptron(model.encoder, sigmoid(perceptron(model.decoder, z))))


def test_the_official_codes_cosine_differs_by_a_constant_from_the_code_error(images: Images) -> None:
    """Twice lambda times (2 - the mean of z e(g(z)) over all numbers) has the same gradient."""
    weight, batch = 500.0, images[:40]
    with_error = of_perceptrons(AGE, code_weight=weight)
    alone_at_play = of_perceptrons(AGE, code_weight=0.0)
    for seed in range(3):
        torch.manual_seed(seed)
        _, (_, loss), _ = with_error.updates(batch)
        torch.manual_seed(seed)
        _, (_, game), _ = alone_at_play.updates(batch)
        torch.manual_seed(seed)
        z = [with_error.prior.sample(40) for _ in range(2)][1]
        back = F.normalize(with_error.encoder[:-1](torch.sigmoid(with_error.decoder(z))), dim=1)
        cosine = 2 * weight * (2 - (z * back).mean())
        difference = cosine.item() - (loss.item() - game.item())
        assert difference == pytest.approx(4 * weight - 2 * weight / D, rel=1e-5)
        of_loss = torch.autograd.grad(loss, list(with_error.decoder.parameters()))
        of_game = torch.autograd.grad(game, list(alone_at_play.decoder.parameters()))
        of_cosine = torch.autograd.grad(cosine, list(with_error.decoder.parameters()))
        for total, of_play, of_code in zip(of_loss, of_game, of_cosine, strict=True):
            torch.testing.assert_close(total, of_play + of_code, rtol=1e-3, atol=1e-4)
            assert of_code.abs().max() > 0.1


# AGE: who plays for what


@torch.no_grad()
def spread(model: AdversarialGeneratorEncoder, images: Images) -> tuple[float, float]:
    """How far the codes of images, and of generated images, are from the prior."""
    torch.manual_seed(0)
    generated = model.decode(model.prior.sample(600))
    return fitted_gaussian_kl(model.encode(images.images)).item(), fitted_gaussian_kl(model.encode(generated)).item()


def test_encoder_and_generator_pull_generated_codes_to_opposite_sides(images: Images) -> None:
    model = of_perceptrons(AGE, image_weight=0.0, code_weight=0.0)
    real, generated = spread(model, images)
    run(model, images, alone(model, "encoder", SGD(0.02), 20))
    after_real, after_generated = spread(model, images)
    assert after_real < real - 0.01 and after_generated > generated + 0.01
    run(model, images, alone(model, "generator", SGD(1.0), 20))
    last_real, last_generated = spread(model, images)
    assert last_real == after_real and last_generated < after_generated - 0.01


def test_images_come_back_by_the_encoder_and_codes_by_the_generator() -> None:
    model = of_perceptrons(AGE, image_weight=1000.0)
    z = model.prior.sample(600)
    with torch.no_grad():  # images that the decoder can make
        images = Images(model.decode(z), torch.zeros(600, dtype=torch.int64))

    @torch.no_grad()
    def errors() -> tuple[float, float]:
        of_images = (model.decode(model.encode(images.images)) - images.images).abs().mean()
        return of_images.item(), (model.encode(model.decode(z)) - z).square().mean().item()

    before, _ = errors()
    run(model, images, alone(model, "encoder", Adam(5e-3), 40))
    after, before_of_codes = errors()
    assert after < 0.93 * before
    run(model, images, alone(model, "generator", Adam(5e-3), 20))
    assert errors()[1] < 0.8 * before_of_codes


@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_the_generator_sees_images_only_where_their_error_has_a_weight_there(weight: float, images: Images) -> None:
    def trained(images: Images, image_weight: float) -> list[Tensor]:
        model = of_perceptrons(AGE, image_weight=image_weight, generator_image_weight=weight)
        run(model, images, alone(model, "generator", SGD(1e-3), 5))
        return weights(model.decoder)

    reference = trained(images, 10.0)
    assert equal(trained(images, 1000.0), reference)  # mu is the encoder's alone
    others = Images(1 - images.images, images.labels)
    assert equal(trained(others, 10.0), reference) == (weight == 0)


def test_the_error_of_codes_is_the_generators_alone(images: Images) -> None:
    def trained(update: str, code_weight: float) -> list[Tensor]:
        model = of_perceptrons(AGE, code_weight=code_weight)
        run(model, images, alone(model, update, SGD(1e-3), 5))
        return weights(model)

    assert equal(trained("encoder", 0.0), trained("encoder", 500.0))
    assert not equal(trained("generator", 0.0), trained("generator", 500.0))


# The same as an independent plain loop


def recorded_batches(model: Model) -> list[Tensor]:
    """Let `model` record the images of each minibatch."""
    batches: list[Tensor] = []
    kind = type(model)

    class Recorded(kind):
        def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
            batches.append(batch.images.clone())
            yield from kind.updates(self, batch)

    model.__class__ = Recorded
    return batches


def furthest(model: Model, networks: dict[str, nn.Module]) -> float:
    """The largest difference between a weight of the model and that of the plain network of the same name."""
    return max(
        (ours - theirs).abs().max().item()
        for name, network in networks.items()
        for ours, theirs in zip(getattr(model, name).parameters(), network.parameters(), strict=True)
    )


def check_against(flaw: str | None, model: Model, networks: dict[str, nn.Module]) -> None:
    """The same weights, but for rounding; and other ones where the plain loop has a flaw."""
    distance = furthest(model, networks)
    assert distance < 1e-5 if flaw is None else distance > 1e-4, distance


RATES = {
    AGE: {"encoder": SGD(0.005, 0.5), "generator": SGD(0.01, 0.3)},
    GAN: {"discriminator": SGD(0.05, 0.5), "generator": SGD(0.05, 0.3)},
    ALI: {"discriminator": SGD(0.05, 0.5), "generator": SGD(0.02, 0.3)},
}


def plain_run(
    kind: type[Model], make: Callable, images: Images, steps: int, **arguments: Any
) -> tuple[Model, dict[str, nn.Module], list[Tensor], dict[str, torch.optim.Optimizer]]:
    """A trained model; the networks that it began with; its minibatches; and plain optimizers for these networks."""
    model = make(kind, **arguments)
    networks = {name: copy.deepcopy(network).train() for name, network in model.named_children()}
    batches = recorded_batches(model)
    run(model, images, Recipe(RATES[kind], steps, batch_size=50), seed=SEED)
    assert len(batches) == steps
    optimizers = {}
    for update, moved in kind.moves.items():
        parameters = [parameter for name in moved for parameter in networks[name].parameters()]
        rates = RATES[kind][update]
        optimizers[update] = torch.optim.SGD(parameters, lr=rates.learning_rate, momentum=rates.momentum)
    torch.manual_seed(SEED)
    return model, networks, batches, optimizers


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def plain_divergence(codes: Tensor, is_flawed: bool = False) -> Tensor:
    mean = codes.mean(dim=0)
    deviation = ((codes - mean) ** 2).mean(dim=0) ** (1.0 if is_flawed else 0.5)
    return ((deviation**2 + mean**2) / 2 - torch.log(deviation) - 0.5).mean()


AGE_FLAWS = ["variance", "other side", "real and generated together", "same codes", "image error", "generator first"]


@pytest.mark.parametrize(
    ("make", "flaw"),
    [(of_perceptrons, None), (of_normalized, None)]
    + [(of_perceptrons, flaw) for flaw in AGE_FLAWS if flaw != "real and generated together"]
    + [(of_normalized, "real and generated together")],
)
@pytest.mark.parametrize("generator_image_weight", [0.0, 4.0])
def test_age_trains_as_a_plain_loop(
    make: Callable, flaw: str | None, generator_image_weight: float, images: Images
) -> None:
    """And the comparison is sharp enough to see each defect that is put into the plain loop on purpose."""
    arguments = {"image_weight": 3.0, "code_weight": 20.0, "generator_image_weight": generator_image_weight}
    model, networks, batches, optimizers = plain_run(AGE, make, images, 3, **arguments)
    encoder, decoder = networks["encoder"], networks["decoder"]

    def sample() -> Tensor:
        noise = torch.randn(50, D)
        return noise / (noise**2).sum(dim=1, keepdim=True).sqrt()

    def generate(z: Tensor) -> Tensor:
        return torch.sigmoid(decoder(z))

    def of_codes(codes: Tensor) -> Tensor:
        return plain_divergence(codes, flaw == "variance")

    def image_error(batch: Tensor) -> Tensor:
        return 2 * (generate(encoder(batch)) - batch).abs().sum() / (50 * 784)

    def move_encoder(batch: Tensor, z: Tensor) -> None:
        if flaw == "real and generated together":
            code, back = encoder(torch.cat([batch, generate(z)])).split(50)
        else:
            code, back = encoder(batch), encoder(generate(z))
        sign = -1 if flaw == "other side" else 1
        descend(optimizers["encoder"], sign * (of_codes(code) - of_codes(back)) + 3 * image_error(batch))

    def move_generator(batch: Tensor, z: Tensor) -> None:
        back = encoder(generate(z))
        loss = of_codes(back) + 20 * ((z - back) ** 2).sum() / (50 * D)
        weight = 3 if flaw == "image error" else generator_image_weight
        descend(optimizers["generator"], loss + weight * image_error(batch))

    for batch in batches:
        first, *others = sample(), sample(), sample()
        if flaw == "generator first":
            move_generator(batch, others[0])
        move_encoder(batch, first)
        for z in others[1:] if flaw == "generator first" else others:
            move_generator(batch, first if flaw == "same codes" else z)
    check_against(flaw, model, networks)


ONES, ZEROS = torch.ones(50, 1), torch.zeros(50, 1)
WITHOUT_FLAW = [(of_perceptrons, None), (of_normalized, None)]


@pytest.mark.parametrize(
    ("make", "flaw"),
    [*WITHOUT_FLAW, (of_normalized, "real and fake together")]
    + [(of_perceptrons, flaw) for flaw in ("swapped", "saturating", "other samples", "generator first")],
)
def test_the_generative_adversarial_network_trains_as_a_plain_loop(
    make: Callable, flaw: str | None, images: Images
) -> None:
    model, networks, batches, optimizers = plain_run(GAN, make, images, 5)
    decoder, discriminator = networks["decoder"], networks["discriminator"]
    cross_entropy = nn.BCEWithLogitsLoss()

    def discriminate(batch: Tensor, z: Tensor) -> None:
        fake = torch.sigmoid(decoder(z)).detach()
        real_logits, fake_logits = discriminator(batch), discriminator(fake)
        if flaw == "real and fake together":
            real_logits, fake_logits = discriminator(torch.cat([batch, fake])).split(50)
        real_label, fake_label = (ZEROS, ONES) if flaw == "swapped" else (ONES, ZEROS)
        descend(
            optimizers["discriminator"],
            cross_entropy(real_logits, real_label) + cross_entropy(fake_logits, fake_label),
        )

    def generate(z: Tensor) -> None:
        if flaw == "other samples":
            z = torch.randn(50, D)
        logits = discriminator(torch.sigmoid(decoder(z)))
        loss = -cross_entropy(logits, ZEROS) if flaw == "saturating" else cross_entropy(logits, ONES)
        descend(optimizers["generator"], loss)

    for batch in batches:
        z = torch.randn(50, D)
        if flaw == "generator first":
            generate(z)
        discriminate(batch, z)
        if flaw != "generator first":
            generate(z)
    check_against(flaw, model, networks)


ALI_FLAWS = ["swapped", "no noise", "decoder alone", "encoder alone", "labels not swapped", "new noise"]


@pytest.mark.parametrize(("make", "flaw"), [*WITHOUT_FLAW, *((of_perceptrons, flaw) for flaw in ALI_FLAWS)])
def test_adversarially_learned_inference_trains_as_a_plain_loop(
    make: Callable, flaw: str | None, images: Images
) -> None:
    model, networks, batches, optimizers = plain_run(ALI, make, images, 5)
    encoder, decoder, discriminator = networks["encoder"], networks["decoder"], networks["discriminator"]
    cross_entropy = nn.BCEWithLogitsLoss()

    def pairs(batch: Tensor, noise: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        output = encoder(batch)
        code = output[:, :D] + torch.exp(output[:, D:] / 2) * (0 if flaw == "no noise" else noise)
        return torch.cat([batch, code], dim=1), torch.cat([torch.sigmoid(decoder(z)), z], dim=1)

    for batch in batches:
        noise, z = torch.randn(50, D), torch.randn(50, D)
        real, fake = (pair.detach() for pair in pairs(batch, noise, z))
        if flaw == "swapped":
            real, fake = fake, real
        loss = cross_entropy(discriminator(real), ONES) + cross_entropy(discriminator(fake), ZEROS)
        descend(optimizers["discriminator"], loss)

        real, fake = pairs(batch, torch.randn(50, D) if flaw == "new noise" else noise, z)
        if flaw == "decoder alone":
            real = real.detach()
        if flaw == "encoder alone":
            fake = fake.detach()
        as_real, as_fake = (ONES, ZEROS) if flaw == "labels not swapped" else (ZEROS, ONES)
        loss = cross_entropy(discriminator(real), as_real) + cross_entropy(discriminator(fake), as_fake)
        descend(optimizers["generator"], loss)
    check_against(flaw, model, networks)


@pytest.mark.parametrize("kind", KINDS)
def test_generators_train_as_pytorchs_adam(kind: type[Model], images: Images) -> None:
    """One step of DCGAN's optimizer moves each weight by the learning rate against its gradient."""
    model, adam = of_perceptrons(kind), Adam(2e-4, (0.5, 0.999))
    names = [name for name, _ in model.updates(images[:2])]
    plain = copy.deepcopy(model)
    batches = recorded_batches(model)
    run(model, images, recipe_of(model, 1, adam, batch_size=50), seed=SEED)
    optimizers = {
        update: torch.optim.Adam(
            [parameter for name in moved for parameter in getattr(plain, name).parameters()], 2e-4, (0.5, 0.999)
        )
        for update, moved in kind.moves.items()
    }
    torch.manual_seed(SEED)
    for (name, loss), expected in zip(plain.updates(Images(batches[0], images.labels[:50])), names, strict=True):
        assert name == expected
        descend(optimizers[name], loss)
    ours, theirs = (torch.cat([w.flatten() for w in weights(one)]) for one in (model, plain))
    apart = (ours - theirs).abs()  # where a gradient is nearly 0, rounding decides about its sign
    assert (apart > 1e-6).float().mean() < 1e-3


# Who fools whom


@torch.no_grad()
def opinions(model: Model, images: Images) -> tuple[float, float]:
    """What the discriminator says on average of what is real and of what is generated."""
    torch.manual_seed(0)
    z = model.prior.sample(600)
    real, fake = images.images, model.decode(z)
    if isinstance(model, ALI):
        real, fake = torch.cat([real, model.encode(real)], dim=1), torch.cat([fake, z], dim=1)
    return model.discriminator(real).mean().item(), model.discriminator(fake).mean().item()


@pytest.mark.parametrize("kind", [GAN, ALI])
def test_the_discriminator_learns_to_tell_and_the_generator_to_fool_it(kind: type[Model], images: Images) -> None:
    model = of_perceptrons(kind)
    run(model, images, alone(model, "discriminator", Adam(1e-3), 20))
    real, fake = opinions(model, images)
    assert real > 0.2 and fake < -0.2
    run(model, images, alone(model, "generator", SGD(0.5), 10))
    fooled_real, fooled_fake = opinions(model, images)
    assert fooled_fake > fake + 0.02
    if kind is GAN:
        assert fooled_real == real
    else:  # the encoder's pairs want to be taken for generated ones
        assert fooled_real < real - 0.01


@pytest.mark.parametrize(("logit_of_real", "logit_of_fake"), [(2.0, -3.0), (-3.0, 2.0), (0.0, 0.0)])
def test_learned_inference_swaps_the_labels_for_both_of_its_networks(
    logit_of_real: float, logit_of_fake: float, images: Images
) -> None:
    """Where the discriminator is right, both are far from their aim; where it is wrong, they have reached it."""

    class Judge(nn.Module):
        """Knows real pairs by their first pixel, which is quite black in digits and never in generated images."""

        def forward(self, pairs: Tensor) -> Tensor:
            is_real = (pairs[:, :1] == 0).float()
            return is_real * logit_of_real + (1 - is_real) * logit_of_fake + 0 * pairs.sum(1, keepdim=True)

    model = of_perceptrons(ALI)
    model.discriminator = Judge()
    (_, discriminator), (_, generator) = model.updates(images[:50])

    def minus_log(probability: float) -> float:
        return -math.log(probability)

    says_real, says_fake = (1 / (1 + math.exp(-logit)) for logit in (logit_of_real, logit_of_fake))
    assert discriminator.item() == pytest.approx(minus_log(says_real) + minus_log(1 - says_fake), rel=1e-5)
    assert generator.item() == pytest.approx(minus_log(1 - says_real) + minus_log(says_fake), rel=1e-5)


def test_the_encoder_of_learned_inference_learns_from_the_pairs_with_images_alone(images: Images) -> None:
    model = of_perceptrons(ALI)
    with torch.no_grad():
        model.discriminator[0].weight[:, 784:] = 0  # blind for codes
    *_, (_, loss) = model.updates(images[:50])
    encoder, decoder = list(model.encoder.parameters()), list(model.decoder.parameters())
    gradients = torch.autograd.grad(loss, [*encoder, *decoder])
    assert not any(gradient.any() for gradient in gradients[: len(encoder)])
    assert all(gradient.any() for gradient in gradients[len(encoder) :])


# Batch-norm


def first_normalized(network: nn.Sequential, inputs: Tensor) -> tuple[nn.Module, Tensor]:
    """The network's first layer of batch-norm, and what comes to it, ``[units, numbers]``."""
    for layer in network:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            return layer, inputs.transpose(0, 1).flatten(1)
        inputs = layer(inputs)
    raise AssertionError("there is no batch-norm")


def assert_statistics_of(network: nn.Sequential, inputs: Tensor) -> None:
    with torch.no_grad():
        layer, numbers = first_normalized(network, inputs)
    torch.testing.assert_close(layer.running_mean, numbers.mean(1), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(layer.running_var, numbers.var(1), rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize(("kind", "make"), [*((kind, of_normalized) for kind in KINDS), (GAN, of_convolutions)])
def test_batch_norm_statistics_are_those_of_images_and_of_samples(
    kind: type[Model], make: Callable, images: Images
) -> None:
    model = make(kind).train()
    for _ in range(3):  # what was gathered before does not count
        model.decode(100 * model.prior.sample(20))
    state, before = torch.get_rng_state(), weights(model)
    recompute_batch_norm(model, images.images)
    assert torch.equal(torch.get_rng_state(), state) and equal(weights(model), before) and model.training
    torch.manual_seed(0)
    if kind is not GAN:
        codes = model.encode(images.images)  # a stochastic encoder draws its noise first
        assert codes.shape == (600, D)
        assert_statistics_of(model.encoder.eval(), images.images)
        torch.manual_seed(0)
        if kind is ALI:
            torch.randn(600, D)
    assert_statistics_of(model.decoder.eval(), model.prior.sample(10_000))


def test_a_model_without_encoder_decodes_after_training_as_its_samples_are_normalized(images: Images) -> None:
    model = of_normalized(GAN)
    run(model, images, recipe_of(model, 5, batch_size=50))
    assert not model.training and has_batch_norm(model.decoder)
    z = Gaussian(D).sample(1000)
    with torch.no_grad():
        in_evaluation = model.decode(z)
        of_minibatch = model.train().decode(z)
    assert (in_evaluation - of_minibatch).abs().mean() < 0.1 * of_minibatch.std(0).mean()


def test_a_model_without_decoder_has_the_statistics_of_its_images(digits: Digits) -> None:
    network = nn.Sequential(*convolutional_encoder(8, 4), nn.ReLU(), nn.Linear(8, 10))
    model = Classifier(input_noise=0.5, network=network).train()
    recompute_batch_norm(model, digits.train.images[:1000])
    assert_statistics_of(model.encoder[1:].eval(), digits.train.images[:1000])  # without the noise


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_no_training_bit_depends_on_batch_norm_statistics(kind: type[Model], bfloat16: bool, images: Images) -> None:
    model, disturbed = of_normalized(kind), of_normalized(kind)
    recipe = recipe_of(model, 4, batch_size=20)
    run(model, images, recipe, bfloat16=bfloat16)
    for report in train(disturbed, images, recipe, report_every=2, device="cpu", bfloat16=bfloat16):
        if report.step == 2:
            for name, buffer in disturbed.named_buffers():
                if "running" in name:
                    buffer.fill_(100)
    assert equal(weights(model), weights(disturbed))
    assert equal(list(model.buffers()), list(disturbed.buffers()))


# Collapse


def pointed(variance: float, dimensions: int = 10) -> AdversarialGeneratorEncoder:
    """A model that puts all codes close to one point of the sphere; `variance`: of their dimensions, on average."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(784, dimensions), OntoSphere())
    decoder = multilayer_perceptron(dimensions, 784, (8,), deviation=1.0)
    return at_a_point(AdversarialGeneratorEncoder(UniformSphere(dimensions), encoder, decoder), variance)


@torch.no_grad()
def at_a_point(model: AdversarialGeneratorEncoder, variance: float) -> AdversarialGeneratorEncoder:
    layer = model.encoder[0]
    layer.bias.fill_(0.3)
    layer.weight.mul_(math.sqrt(variance))
    return model


STILL = {"encoder": SGD(0.0), "generator": SGD(0.0)}


def test_codes_of_age_that_are_all_the_same_stop_the_run(images: Images) -> None:
    """At once: the divergence of a point is infinite."""
    model = pointed(0.0)
    with pytest.raises(TrainingError, match=r"the loss of update 'encoder' is (nan|inf) at step 0"):
        run(model, images, Recipe(STILL, 10))


@pytest.mark.parametrize(("share", "is_refused"), [(3e-4, True), (3e-3, False)])
def test_codes_of_age_that_are_almost_the_same_stop_the_run(
    share: float, is_refused: bool, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their variance is compared with that of the sphere, 1/d."""
    monkeypatch.setattr(training, "COLLAPSE_STEPS", 20)
    monkeypatch.setattr(training, "CHECK_EVERY_STEPS", 10)
    with torch.no_grad():
        model = pointed(1e-6)
        found = model.encode(images.images).var(0).mean().item()
        model = pointed(1e-6 * share / 10 / found)
        assert model.encode(images.images).var(0).mean().item() == pytest.approx(share / 10, rel=0.05)
    if not is_refused:
        assert run(model, images, Recipe(STILL, 60, batch_size=10))[-1].step == 60
        return
    with pytest.raises(TrainingError, match=r"collapsed: for 20 steps up to step 40 .* \(now 3e-05 against 0\.1\)"):
        run(model, images, Recipe(STILL, 60, batch_size=10))


def test_a_model_without_encoder_has_no_codes_that_could_collapse(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "COLLAPSE_STEPS", 2)
    monkeypatch.setattr(training, "CHECK_EVERY_STEPS", 2)
    model = of_perceptrons(GAN)
    assert run(model, images, recipe_of(model, 9))[-1].step == 9


# Files


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_saved_and_loaded(kind: type[Model], tmp_path: Path, images: Images) -> None:
    trained, loaded = of_convolutions(kind), of_convolutions(kind, seed=1)
    for parameter in trained.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.2)
    for _ in range(5):  # so that there are statistics
        trained.decode(trained.prior.sample(100))
        if kind is not GAN:
            trained.encode(images.images[:100])
    trained.eval()
    save_weights(tmp_path / "weights", trained, {"experiment": "tiny"})
    assert load_weights(tmp_path / "weights", loaded) == {"experiment": "tiny"}
    loaded.eval()
    z = trained.prior.sample(100)
    with torch.no_grad():
        before, after = trained.decode(z), loaded.decode(z)
        assert (before - after).abs().mean() < 0.1 * before.std(0).mean()
        if kind is not GAN:
            outputs = trained.encoder(images.images), loaded.encoder(images.images)
            assert (outputs[0] - outputs[1]).abs().mean() < 0.1 * outputs[0].std(0).mean()
    for (name, one), other in zip(trained.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=0, atol=one.abs().max().item() / 200, msg=name)


@pytest.mark.parametrize("kind", [GAN, ALI])
def test_a_file_without_the_discriminator_is_a_generator_all_the_same(kind: type[Model], tmp_path: Path) -> None:
    trained, loaded = of_convolutions(kind), of_convolutions(kind, seed=1)
    del trained.discriminator
    save_weights(tmp_path / "weights", trained, {})
    load_weights(tmp_path / "weights", loaded)
    assert not hasattr(loaded, "discriminator")
    assert loaded.eval().decode(loaded.prior.sample(3)).shape == (3, 784)


class BrokenError(Exception):
    pass


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_broken_off_ends_with_the_same_bits(
    kind: type[Model], bfloat16: bool, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "STATE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(training, "CHECK_EVERY_STEPS", 2)
    recipe = recipe_of(of_normalized(kind), 10, batch_size=20)

    def go(model: Model, path: Path) -> list[tuple[int, dict[str, float]]]:
        reports = run(model, images[:50], recipe, state=path, report_every=5, bfloat16=bfloat16, seed=SEED)
        return [(report.step, report.losses) for report in reports]

    def breaking_at(step: int, model: Model) -> Model:
        kind, steps = type(model), iter(range(100))

        class Breaking(kind):
            def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
                if next(steps) == step:
                    raise BrokenError
                yield from kind.updates(self, batch)

        Breaking.__name__ = kind.__name__
        model.__class__ = Breaking
        return model

    unbroken = of_normalized(kind)
    expected = go(unbroken, tmp_path / "unbroken")
    for seed, (steps, reached) in enumerate([(3, 2), (5, 6)]):
        with pytest.raises(BrokenError):
            go(breaking_at(steps, of_normalized(kind, seed=seed)), tmp_path / "resumed")
        assert read_file(tmp_path / "resumed")[1]["step"] == reached
    resumed = of_normalized(kind, seed=7)
    torch.manual_seed(8)
    assert go(resumed, tmp_path / "resumed") == expected
    assert equal(weights(resumed), weights(unbroken))
    assert equal(list(resumed.buffers()), list(unbroken.buffers()))
    tensors, expected_tensors = (read_file(tmp_path / name)[0] for name in ("resumed", "unbroken"))
    assert tensors.keys() == expected_tensors.keys()
    assert all(torch.equal(tensor, expected_tensors[name]) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    "change", [{"image_weight": 1.0}, {"code_weight": 1.0}, {"generator_image_weight": 1.0}, {"generator_updates": 3}]
)
def test_the_state_of_a_game_by_other_rules_is_refused(
    change: dict[str, float], images: Images, tmp_path: Path
) -> None:
    model = of_perceptrons(AGE)
    run(model, images, recipe_of(model, 2), state=tmp_path / "state")
    with pytest.raises(TrainingError, match="is the state of another run"):
        run(of_perceptrons(AGE, **change), images, recipe_of(model, 2), state=tmp_path / "state")


# Convolutional networks in the place of perceptrons


def convolutional(kind: type[Model], **arguments: Any) -> Model:
    """With codes of three dimensions."""
    torch.manual_seed(0)
    if kind is Classifier:
        return Classifier(network=nn.Sequential(*convolutional_encoder(8, 4), nn.ReLU(), nn.Linear(8, 10)), **arguments)
    outputs = 2 * D if kind is VariationalAutoencoder else D
    networks = convolutional_encoder(outputs, 4), convolutional_decoder(D, 4)
    return kind(D if kind is Autoencoder else Gaussian(D), networks=networks, **arguments)


OTHERS = [Autoencoder, AdversarialAutoencoder, VariationalAutoencoder, Classifier]


@pytest.mark.parametrize("kind", OTHERS)
def test_models_train_with_convolutional_networks(kind: type[Model], images: Images) -> None:
    model = convolutional(kind, **({"hidden": (16,)} if kind is AdversarialAutoencoder else {}))
    first, *_ = kind.moves
    with torch.no_grad():
        before = next(model.train().updates(images[:20]))[1].item()
    record = watched(model, lambda: {name: weights(network) for name, network in model.named_children()})
    (report,) = run(model, images, recipe_of(model, 10, Adam(5e-3), batch_size=20))
    assert report.losses[first] < 0.95 * before
    assert [name for name, _ in record] == 10 * ["", *kind.moves]
    for (_, old), (name, new) in zip(record[:-1], record[1:], strict=True):
        moved = {network for network in old if not equal(old[network], new[network])}
        assert moved == set(kind.moves.get(name, ()))
    codes = model.encode(images.images[:20])
    assert codes.shape == (20, 10 if kind is Classifier else D)
    if kind is not Classifier:
        decoded = model.decode(codes)
        assert decoded.shape == (20, 784) and 0 <= decoded.min() <= decoded.max() <= 1


@pytest.mark.parametrize("kind", OTHERS[:3])
def test_the_networks_of_a_model_are_those_that_it_was_given(kind: type[Model]) -> None:
    encoder, decoder = nn.Linear(784, 2 * D if kind is VariationalAutoencoder else D), nn.Linear(D, 784)
    model = kind(D if kind is Autoencoder else Gaussian(D), networks=(encoder, decoder))
    assert model.encoder is encoder and model.decoder is decoder


def test_the_discriminator_of_codes_stays_a_perceptron() -> None:
    for arguments, hidden in (({}, (1000, 1000)), ({"hidden": (7, 5)}, (7, 5))):
        model = convolutional(AdversarialAutoencoder, **arguments)
        assert {type(layer) for layer in model.discriminator} == {nn.Linear, nn.ReLU}
        sizes = [layer.out_features for layer in model.discriminator if isinstance(layer, nn.Linear)]
        assert sizes == [*hidden, 1] and model.discriminator[0].in_features == D
        assert not any(isinstance(layer, nn.Linear) for layer in [*model.encoder, *model.decoder])


def test_a_share_of_the_reconstruction_reaches_a_convolutional_encoder() -> None:
    full, attenuated = (convolutional(AdversarialAutoencoder, hidden=(8,), encoder_share=share) for share in (1, 0.25))
    batch = random_images(20)
    (_, of_full), (_, of_share) = (next(model.updates(batch)) for model in (full, attenuated))
    assert of_full.item() == of_share.item()
    for name, share in (("encoder", 0.25), ("decoder", 1.0)):
        gradients = (
            torch.autograd.grad(loss, list(getattr(model, name).parameters()), retain_graph=True)
            for model, loss in ((full, of_full), (attenuated, of_share))
        )
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(other, share * one, rtol=1e-3, atol=1e-6)


def test_a_variational_model_reads_mean_and_log_variance_from_a_convolutional_encoder(images: Images) -> None:
    model = convolutional(VariationalAutoencoder).eval()
    mean, log_variance = model.posterior(images.images[:20])
    output = model.encoder(images.images[:20])
    assert torch.equal(mean, output[:, :D]) and torch.equal(log_variance, output[:, D:])


def test_a_classifiers_features_are_what_its_last_layer_decides_by(images: Images) -> None:
    batch = images.images[:50]
    for model, size in ((convolutional(Classifier), 8), (Classifier(hidden=(12, 6)), 6)):
        features = model.eval().features(batch)
        assert features.shape == (50, size) and features.dtype == torch.float32 and (features >= 0).all()
        last = model.encoder[-1]
        torch.testing.assert_close(features @ last.weight.T + last.bias, model.classify(batch), rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.features(batch).dtype == torch.float32


def test_a_classifier_adds_its_noise_to_the_images_of_any_network() -> None:
    model = convolutional(Classifier, input_noise=0.3)
    seen: list[Tensor] = []
    model.encoder[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    batch = torch.rand(200, 784)
    model.train().classify(batch)
    model.eval().classify(batch)
    assert (seen[0] - batch).std().item() == pytest.approx(0.3, rel=0.02) and torch.equal(seen[1], batch)


@pytest.mark.parametrize("kind", KINDS)
def test_convolutional_networks_of_color_images_learn(kind: type[Model]) -> None:
    shape = (3, 32, 32)
    torch.manual_seed(0)
    decoder = convolutional_decoder(D, 4, shape)
    if kind is AGE:
        model = AGE(UniformSphere(D), nn.Sequential(*convolutional_encoder(D, 4, shape), OntoSphere()), decoder)
    elif kind is GAN:
        model = GAN(Gaussian(D), decoder, convolutional_encoder(1, 4, shape))
    else:
        discriminator = JointDiscriminator(D, 4, shape)
        model = ALI(Gaussian(D), convolutional_encoder(2 * D, 4, shape), decoder, discriminator)
    images = Images(torch.rand(20, 3 * 32 * 32), torch.zeros(20, dtype=torch.int64))
    for name, loss in model.train().updates(images):
        moved = [parameter for network in kind.moves[name] for parameter in getattr(model, network).parameters()]
        for gradient in torch.autograd.grad(loss, moved, retain_graph=True):
            assert gradient.isfinite().all() and gradient.any()
    assert model.decode(model.prior.sample(2)).shape == (2, 3072)
