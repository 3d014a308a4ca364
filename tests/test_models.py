"""The models: each update moves what it names, downhill, and sees what the update before it has moved."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.losses import binary_cross_entropy, fool_loss, gaussian_kl, half_squared_error, real_fake_loss
from aae_lib.models import AdversarialAutoencoder, Autoencoder, Model, VariationalAutoencoder
from aae_lib.priors import Gaussian
from aae_lib.training import SGD, Adam, Cosine, Recipe, train

KINDS = [Autoencoder, AdversarialAutoencoder, VariationalAutoencoder]
UPDATES = [(kind, update) for kind in KINDS for update in kind.moves]


class GaussianAside(Gaussian):
    """N((-3, -3), I)."""

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        return super().sample(count, device) - 3


def watched(model: Model, look: Callable[[Model, Images], Any]) -> list[tuple[str, Any, Any]]:
    """Let `model` record (update, look before it, look after it) at each update of a run, and return the record.

    Both looks come with the random numbers of the minibatch's beginning.
    """
    record: list[tuple[str, Any, Any]] = []
    kind = type(model)

    class Watched(kind):
        def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
            state = torch.get_rng_state()

            def seen() -> Any:
                with torch.no_grad(), torch.random.fork_rng([]):
                    torch.set_rng_state(state)
                    return look(self, batch)

            before = seen()
            for name, loss in kind.updates(self, batch):
                yield name, loss
                after = seen()
                record.append((name, before, after))
                before = after

    model.__class__ = Watched
    return record


def weights(model: Model, batch: Images | None = None) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def run(model: Model, images: Images, recipe: Recipe, **arguments: Any) -> list:
    return list(train(model, images, recipe, device="cpu", **{"bfloat16": False, **arguments}))


# Codes and images


@pytest.mark.parametrize("kind", KINDS)
def test_codes_and_images_have_their_shapes_and_ranges(kind: type[Model], images: Images, make_model) -> None:
    model = make_model(kind)
    codes = model.encode(images.images[:7])
    assert codes.shape == (7, 2) and codes.dtype == torch.float32
    assert codes.min() < 0  # no ReLU on a code
    decoded = model.decode(10 * torch.randn(50, 2))
    assert decoded.shape == (50, 784) and decoded.dtype == torch.float32
    assert 0 <= decoded.min() < 0.1 and 0.9 < decoded.max() <= 1


def test_codes_are_as_long_as_the_prior_is_wide() -> None:
    for model in (
        Autoencoder(5, (8,)),
        AdversarialAutoencoder(Gaussian(5), (8,)),
        VariationalAutoencoder(Gaussian(5), hidden=(8,)),
    ):
        assert model.encode(torch.rand(3, 784)).shape == (3, 5) and model.decode(torch.rand(3, 5)).shape == (3, 784)
    assert AdversarialAutoencoder(Gaussian(5), (8,)).discriminator(torch.rand(3, 5)).shape == (3, 1)


def test_what_is_trained_to_reconstruct_is_what_decode_returns(images: Images, make_model) -> None:
    model = make_model(Autoencoder)
    _, loss = next(model.updates(images[:10]))
    difference = images.images[:10] - model.decode(model.encode(images.images[:10]))
    assert loss.item() == pytest.approx(0.5 * difference.square().sum(1).mean().item(), rel=1e-5)


def test_only_the_variational_encoder_is_stochastic(images: Images, make_model) -> None:
    batch = images.images[:20]
    for kind in (Autoencoder, AdversarialAutoencoder):
        model = make_model(kind)
        assert torch.equal(model.encode(batch), model.encode(batch))
    model = make_model(VariationalAutoencoder)
    assert not torch.equal(model.encode(batch), model.encode(batch))
    mean, log_variance = model.posterior(batch)
    samples = torch.stack([model.encode(batch) for _ in range(4000)])
    deviation = (0.5 * log_variance).exp()
    assert ((samples.mean(0) - mean) / deviation).abs().max() < 0.08
    assert (samples.std(0) / deviation - 1).abs().max() < 0.06


@pytest.mark.parametrize("kl_weight", [1.0, 0.25, 0.0])
def test_the_variational_loss_is_the_formula(kl_weight: float, images: Images) -> None:
    torch.manual_seed(0)
    model = VariationalAutoencoder(Gaussian(3, 2.0), kl_weight, (16,), binary_cross_entropy)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    batch = images[:50]
    torch.manual_seed(5)
    ((name, loss),) = model.updates(batch)
    torch.manual_seed(5)
    noise = torch.randn(50, 3).double()
    double = copy.deepcopy(model).double()
    mean, log_variance = double.encoder(batch.images.double()).chunk(2, 1)
    logits = double.decoder(mean + (log_variance / 2).exp() * noise)
    bernoulli = torch.distributions.Bernoulli(logits=logits, validate_args=False)
    reconstruction = -bernoulli.log_prob(batch.images.double()).sum(1).mean()
    kl = 0.5 * ((log_variance.exp() + mean**2) / 4 - 1 - log_variance + np.log(4)).sum(1).mean()
    assert name == "evidence_lower_bound"
    assert loss.item() == pytest.approx((reconstruction + kl_weight * kl).item(), rel=1e-5)


@pytest.mark.parametrize("deviation", [0.01, 0.2, None])
def test_the_discriminators_initial_weights_are_as_asked_and_the_others_the_papers(deviation: float | None) -> None:
    arguments = {} if deviation == 0.01 else {"discriminator_deviation": deviation}
    torch.manual_seed(0)
    model = AdversarialAutoencoder(Gaussian(2), (300, 400), **arguments)
    torch.manual_seed(0)
    plain = Autoencoder(2, (300, 400))
    for name, tensor in plain.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    layers = [layer for layer in model.discriminator if isinstance(layer, nn.Linear)]
    expected = [nn.Linear(2, 300), nn.Linear(300, 400), nn.Linear(400, 1)]
    for layer, default in zip(layers, expected, strict=True):
        if deviation is None:
            assert torch.equal(layer.weight, default.weight) and torch.equal(layer.bias, default.bias)
        else:
            assert layer.weight.std().item() == pytest.approx(deviation, rel=0.15) and not layer.bias.any()


# What an update moves, and where to


@pytest.mark.parametrize(("kind", "update"), UPDATES)
@pytest.mark.parametrize("bfloat16", [False, True])
def test_an_update_moves_its_networks_and_no_other(
    kind: type[Model], update: str, bfloat16: bool, images: Images, make_model, make_recipe
) -> None:
    model = make_model(kind)
    record = watched(model, weights)
    run(model, images, make_recipe(model, 3, SGD(0.1)), bfloat16=bfloat16)
    assert [name for name, _, _ in record] == 3 * list(kind.moves)
    for _, before, after in (entry for entry in record if entry[0] == update):
        for name in before:
            is_named = name.split(".")[0] in kind.moves[update]
            assert torch.equal(before[name], after[name]) != is_named, name


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_update_lowers_its_own_loss(kind: type[Model], images: Images, make_model, make_recipe) -> None:
    model = make_model(kind)
    record = watched(model, lambda model, batch: next(kind.updates(model, batch))[1].item())
    run(model, images, make_recipe(model, 5, SGD(1e-3)))
    first = next(iter(kind.moves))
    assert all(after < before for name, before, after in record if name == first)


def test_the_adversaries_pull_where_they_should(images: Images, make_model, make_recipe) -> None:
    def look(model: AdversarialAutoencoder, batch: Images) -> dict[str, float]:
        code, real = model.encoder(batch.images), model.prior.sample(len(batch))
        return {
            "discriminator": real_fake_loss(model.discriminator, real=real, fake=code).item(),
            "generator": fool_loss(model.discriminator, code).item(),
            "real": model.discriminator(real).sigmoid().mean().item(),
            "fake": model.discriminator(code).sigmoid().mean().item(),
        }

    model = make_model()
    # Codes and prior on two sides of a discriminator without biases, so that it can learn on one alone.
    model.prior = GaussianAside()
    nn.init.constant_(model.encoder[-1].bias, 3.0)
    for layer in (model.discriminator[0], model.discriminator[-1]):
        nn.init.zeros_(layer.bias)
    record = watched(model, look)
    run(model, images, make_recipe(model, 10, SGD(1e-3)))
    for name, before, after in record:
        if name != "reconstruction":
            assert after[name] < before[name]
        if name == "discriminator":
            assert after["real"] > before["real"] and after["fake"] < before["fake"]
        if name == "generator":
            assert after["fake"] > before["fake"] and after["real"] == before["real"]


def test_updates_are_sequential(images: Images, make_model, make_recipe) -> None:
    """Discriminator and generator see the codes of the encoder that the reconstruction has just moved."""
    model = make_model()
    seen: list[Tensor] = []
    model.discriminator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach().clone()))
    record = watched(model, lambda model, batch: (weights(model), batch.images))
    run(model, images, make_recipe(model, 1, SGD(0.05)))
    (_, (old, batch), (new, _)), (_, _, (trained, _)), _ = record

    def code(state: dict[str, Tensor]) -> np.ndarray:
        w = {name: tensor.double().numpy() for name, tensor in state.items()}
        hidden = np.maximum(batch.double().numpy() @ w["encoder.0.weight"].T + w["encoder.0.bias"], 0)
        return hidden @ w["encoder.2.weight"].T + w["encoder.2.bias"]

    of_discriminator, of_generator = seen
    np.testing.assert_allclose(of_discriminator[100:].numpy(), code(new), atol=1e-5)
    np.testing.assert_allclose(of_generator.numpy(), code(new), atol=1e-5)
    assert np.abs(of_generator.numpy() - code(old)).max() > 0.01
    torch.manual_seed(0)  # the run's seed: its first random numbers are the prior's samples
    assert torch.equal(of_discriminator[:100], torch.randn(100, 2))
    assert not torch.equal(trained["discriminator.0.weight"], new["discriminator.0.weight"])


def test_the_generator_meets_the_discriminator_that_has_just_learned(
    images: Images, make_model, make_recipe
) -> None:
    model = make_model()
    record = watched(model, lambda model, batch: fool_loss(model.discriminator, model.encoder(batch.images)).item())
    (report,) = run(model, images, make_recipe(model, 1, SGD(0.05)))
    (_, _, _), (_, before_learning, after_learning), _ = record
    assert report.losses["generator"] == pytest.approx(after_learning, rel=1e-6)
    assert abs(after_learning - before_learning) > 1e-3


# The same as an independent plain loop


def plain_perceptron(model: nn.Sequential) -> nn.Sequential:
    """The same weights in a network that is written out."""
    first, last = model[0], model[-1]
    plain = nn.Sequential(
        nn.Linear(first.in_features, first.out_features), nn.ReLU(), nn.Linear(last.in_features, last.out_features)
    )
    plain.load_state_dict(model.state_dict())
    return plain


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


def furthest(model: Model, **networks: nn.Module) -> float:
    """The largest difference between a weight of the model and that of the plain network of the same name."""
    return max(
        (ours - theirs).abs().max().item()
        for name, network in networks.items()
        for ours, theirs in zip(getattr(model, name).parameters(), network.parameters(), strict=True)
    )


STEPS, SEED = 20, 5
RATES = {"reconstruction": SGD(0.002, 0.9), "discriminator": SGD(0.1, 0.1), "generator": SGD(0.1, 0.3)}


@pytest.mark.parametrize("flaw", [None, "stale code", "no generator", "gradients left over", "generator first"])
def test_the_adversarial_autoencoder_trains_as_a_plain_loop(flaw: str | None, images: Images, make_model) -> None:
    """And the comparison is sharp enough to see each of the field's defects, put into the plain loop on purpose."""
    model = make_model()
    encoder, decoder, discriminator = map(plain_perceptron, (model.encoder, model.decoder, model.discriminator))
    batches = recorded_batches(model)
    run(model, images, Recipe(RATES, STEPS), seed=SEED)

    both = [*encoder.parameters(), *decoder.parameters()]
    reconstruction_optimizer = torch.optim.SGD(both, lr=0.002, momentum=0.9)
    discriminator_optimizer = torch.optim.SGD(discriminator.parameters(), lr=0.1, momentum=0.1)
    generator_optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1, momentum=0.3)
    cross_entropy = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(100, 1), torch.zeros(100, 1)

    def reconstruct() -> None:
        reconstruction_optimizer.zero_grad()
        output = torch.sigmoid(decoder(encoder(batch)))
        (0.5 * ((output - batch) ** 2).sum(dim=1).mean()).backward()
        reconstruction_optimizer.step()

    def discriminate(fake: Tensor) -> None:
        discriminator_optimizer.zero_grad()
        loss = cross_entropy(discriminator(torch.randn(100, 2)), ones) + cross_entropy(discriminator(fake), zeros)
        loss.backward()
        discriminator_optimizer.step()

    def generate() -> None:
        if flaw != "gradients left over":
            generator_optimizer.zero_grad()
        cross_entropy(discriminator(encoder(batch)), ones).backward()
        generator_optimizer.step()

    torch.manual_seed(SEED)
    assert len(batches) == STEPS
    for batch in batches:
        stale = encoder(batch).detach()
        reconstruct()
        if flaw == "generator first":
            generate()
        discriminate(stale if flaw == "stale code" else encoder(batch).detach())
        if flaw not in ("generator first", "no generator"):
            generate()

    distance = furthest(model, encoder=encoder, decoder=decoder, discriminator=discriminator)
    assert distance < 1e-6 if flaw is None else distance > 1e-4


@pytest.mark.parametrize("flaw", [None, "mean", "no noise"])
def test_the_variational_autoencoder_trains_as_a_plain_loop(flaw: str | None, images: Images, make_model) -> None:
    model = make_model(VariationalAutoencoder)
    encoder, decoder = plain_perceptron(model.encoder), plain_perceptron(model.decoder)
    batches = recorded_batches(model)
    run(model, images, Recipe({"evidence_lower_bound": SGD(0.002, 0.9)}, STEPS), seed=SEED)

    optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.002, momentum=0.9)
    torch.manual_seed(SEED)
    for batch in batches:
        optimizer.zero_grad()
        output = encoder(batch)
        mean, log_variance = output[:, :2], output[:, 2:]
        noise = 0 if flaw == "no noise" else torch.randn(100, 2)
        image = torch.sigmoid(decoder(mean + torch.exp(log_variance / 2) * noise))
        error = 0.5 * ((image - batch) ** 2).sum(dim=1)
        kl = 0.5 * (torch.exp(log_variance) + mean**2 - 1 - log_variance).sum(dim=1)
        (error.mean() + (kl.sum() / (784 if flaw == "mean" else 100))).backward()
        optimizer.step()
    distance = furthest(model, encoder=encoder, decoder=decoder)
    assert distance < 1e-6 if flaw is None else distance > 1e-4


def test_the_autoencoder_trains_as_a_plain_loop_with_adam_and_a_schedule(images: Images, make_model) -> None:
    model = make_model(Autoencoder)
    encoder, decoder = plain_perceptron(model.encoder), plain_perceptron(model.decoder)
    batches = recorded_batches(model)
    schedule = Cosine(start=5, end=20, final=0.1)
    run(model, images, Recipe({"reconstruction": Adam(1e-3, (0.8, 0.9))}, STEPS, schedule), seed=SEED)

    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3, betas=(0.8, 0.9))
    for step, batch in enumerate(batches):
        progress = max(step - 5, 0) / 15
        optimizer.param_groups[0]["lr"] = 1e-3 * (0.1 + 0.9 * (1 + np.cos(np.pi * progress)) / 2)
        optimizer.zero_grad()
        (0.5 * ((torch.sigmoid(decoder(encoder(batch))) - batch) ** 2).sum() / 100).backward()
        optimizer.step()
    assert furthest(model, encoder=encoder, decoder=decoder) < 2e-6


def test_models_take_another_reconstruction_loss(images: Images) -> None:
    torch.manual_seed(0)
    losses = [
        next(AdversarialAutoencoder(Gaussian(2), (8,), loss).updates(images[:100]))[1].item()
        for loss in (half_squared_error, binary_cross_entropy)
    ]
    assert losses[1] == pytest.approx(784 * np.log(2), rel=0.02) and losses[0] < 200


def test_a_variational_run_lowers_the_bound(images: Images, make_model, make_recipe) -> None:
    model = make_model(VariationalAutoencoder)
    reports = run(model, images, make_recipe(model, 60, SGD(0.002, 0.9)), report_every=20)
    losses = [report.losses["evidence_lower_bound"] for report in reports]
    assert losses[0] > losses[1] > losses[2]
    with torch.no_grad():
        assert gaussian_kl(*model.posterior(images.images)).item() > 0
