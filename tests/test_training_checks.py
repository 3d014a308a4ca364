"""What training refuses: at the call what cannot work, in a step what has gone wrong."""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from short_runs import Pair, Updates, reports_of, run, same, weights
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.errors import DataError, TrainingError
from aae_lib.models import AdversarialAutoencoder, Autoencoder, Model
from aae_lib.networks import multilayer_perceptron
from aae_lib.priors import Gaussian
from aae_lib.seeding import seeded
from aae_lib.storage import load_weights, save_weights
from aae_lib.training import SGD, Adam, train

# At the call


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("moves", {"reconstruction": ("encoder", "decoder"), "generator": ("encoder",)}, "moves discriminator"),
        ("moves", {"reconstruction": ("encoder", "decorder")}, "decorder.*'decoder', 'discriminator', 'encoder'"),
        ("temperature", nn.Parameter(torch.ones(1)), "no update of AdversarialAutoencoder moves temperature"),
    ],
)
def test_networks_that_no_update_moves_are_refused(
    attribute: str, value: Any, words: str, images, make_model, make_recipe
) -> None:
    model = make_model()
    setattr(model, attribute, value)
    with pytest.raises(TrainingError, match=words):
        train(model, images, make_recipe(model))


def test_networks_that_share_a_weight_must_move_together(images, make_model, make_recipe) -> None:
    model = make_model()
    model.discriminator[0] = model.decoder[0]
    with pytest.raises(TrainingError, match="decoder and discriminator.*share a weight, but update 'reconstruction'"):
        train(model, images, make_recipe(model))
    model = make_model(Autoencoder)
    model.decoder[-1].bias = nn.Parameter(torch.zeros(784))
    model.encoder[0].odd = model.decoder[-1].bias  # both networks, and one update
    assert run(model, images, make_recipe(model, 2))[-1].step == 2


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [(Adam(math.nan), "nan"), (Adam(-1.0), "-1.0"), (SGD("a"), "a"), (Adam(1, (2.0, 0.9)), "2.0"), (SGD(1, -1), "-1")],
)
def test_optimizers_that_cannot_be_are_refused(optimizer: Any, words: str, images, make_model, make_recipe) -> None:
    model = make_model()
    with pytest.raises(TrainingError, match=f"optimizer of 'reconstruction'.*{words}"):
        train(model, images, make_recipe(model, 2, optimizer))


@pytest.mark.parametrize("found", [None, 3, torch.tensor(1.0), {"a": "b"}, {"a": torch.zeros(2)}, {"a": None}], ids=str)
def test_measures_are_numbers_by_name(found: Any, images, make_model, make_recipe) -> None:
    model = make_model()
    with pytest.raises(TrainingError, match="measure must return a dictionary of numbers"):
        run(model, images, make_recipe(model, 2), measure=lambda _: found)


def test_what_is_no_model_no_recipe_and_no_images_is_refused(images, make_model, make_recipe) -> None:
    model = make_model(Autoencoder)
    recipe = make_recipe(model)
    for arguments, words in (
        (("nonsense", 3, None), "model.*not a str"),
        ((nn.Sequential(nn.Linear(784, 2)), images, recipe), "model.*not a Sequential"),
        ((model, images, {"reconstruction": 0.1}), "Recipe, not a dict"),
        ((model, images.images, recipe), "Images.*found a Tensor"),
        ((model, [images.images], recipe), "Images.*found a Tensor"),
        ((model, 3, recipe), "Images.*found a int"),
    ):
        with pytest.raises((TrainingError, DataError), match=words):
            train(*arguments)


@pytest.mark.parametrize(
    ("kind", "counts", "words"),
    [
        (Autoencoder, (100, 100), r"takes 1 minibatches \(batch\).* 2 sets"),
        (Autoencoder, (), "0 sets"),
        (Pair, (100,), r"takes 2 minibatches \(first, second\).* 1 sets"),
        (Pair, (100, 99), "at least 100 images, found 99"),
    ],
)
def test_a_wrong_number_of_images_is_refused(kind, counts, words: str, images, make_model, make_recipe) -> None:
    model = make_model(kind)
    with pytest.raises((TrainingError, DataError), match=words):
        train(model, tuple(images[:count] for count in counts), make_recipe(model))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seed": -1}, "seed.*4293"),
        ({"seed": 4294}, "seed.*4293"),
        ({"steps": 0}, "steps must be an integer of at least 1"),
        ({"report_every": 0}, "report_every must be an integer of at least 1"),
        ({"report_every": -1}, "report_every must be an integer of at least 1"),
        ({"report_every": 2.5}, "report_every must be an integer of at least 1"),
        ({"steps": True}, "steps must be an integer of at least 1"),
        *(({"device": device}, f"'{device}'") for device in ("gpu", "mps", "meta", "cuda:99")),
    ],
)
def test_seeds_steps_and_devices_that_there_are_not_are_refused(
    arguments: dict, words: str, images, make_model, make_recipe
) -> None:
    model = make_model()
    with pytest.raises(TrainingError, match=words):
        train(model, images, make_recipe(model), **arguments)


def test_another_default_type_and_inference_mode_are_refused(images, make_model, make_recipe) -> None:
    model = make_model()
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(TrainingError, match="default type is torch.float64"):
            train(model, images, make_recipe(model))
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.inference_mode(), pytest.raises(TrainingError, match="inference_mode"):
        run(model, images, make_recipe(model))
    with torch.inference_mode():
        model = make_model()
    with pytest.raises(TrainingError, match="inference_mode"):
        train(model, images, make_recipe(model))


# Fine-tuning


def test_a_model_from_a_file_without_its_discriminator_can_be_given_another(
    tmp_path: Path, images, make_model, make_recipe
) -> None:
    save_weights(tmp_path / "weights", make_model(), {}, leave_out=("discriminator",))
    model = make_model(seed=1)
    load_weights(tmp_path / "weights", model)
    with pytest.raises(TrainingError, match="has no discriminator: shipped weights.*model.discriminator ="):
        train(model, images, make_recipe(model))
    model.discriminator = multilayer_perceptron(2, 1, (32,))
    assert run(model, images, make_recipe(model, 2))[-1].step == 2


def test_frozen_layers_do_not_move_and_all_else_does(images, make_model, make_recipe) -> None:
    model = make_model()
    model.encoder[0].requires_grad_(False)
    before = weights(model)
    run(model, images, make_recipe(model, 2))
    still = {name for name, end in weights(model).items() if torch.equal(end, before[name])}
    assert still == {"encoder.0.weight", "encoder.0.bias"}
    model.encoder.requires_grad_(False)
    with pytest.raises(TrainingError, match="'generator'.*moves nothing.*frozen"):
        train(model, images, make_recipe(model))


# In a step


class Changed(AdversarialAutoencoder):
    """Yields what `change` makes of each update."""

    change: Callable[[Model, str, Tensor], Iterable]

    def updates(self, batch: Images) -> Updates:
        for name, loss in super().updates(batch):
            yield from self.change(name, loss)


def detached(model: Model, name: str, loss: Tensor) -> Updates:
    """The generator's loss does not reach the encoder."""
    yield name, model.discriminator(torch.zeros(1, 2)).sum() if name == "generator" else loss


def inside_no_grad(model: Model, name: str, loss: Tensor) -> Updates:
    with torch.no_grad():
        yield name, loss


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (detached, r"'generator'.*does not reach encoder\.0\.weight.*detached"),
        (inside_no_grad, "'reconstruction'.*inside torch.no_grad"),
        (lambda model, name, loss: [(name, loss.detach())], "'reconstruction' depends on no network"),
        (lambda model, name, loss: [("fool", loss)], "in `moves`.*found 'fool'"),
        (lambda model, name, loss: [] if name == "generator" else [(name, loss)], r"never yielded \['generator'\]"),
        (lambda model, name, loss: [loss], "pairs.*found no pair and a tensor"),
        (lambda model, name, loss: [(name, loss.expand(100))], r"one number in a tensor.*\(100,\)"),
        (lambda model, name, loss: [(name, loss.item())], "one number in a tensor.*float"),
    ],
)
def test_a_step_that_cannot_work_is_refused(change: Callable, words: str, images, make_model, make_recipe) -> None:
    model = make_model(type("Changed", (Changed,), {"change": change}))
    with pytest.raises(TrainingError, match=words):
        run(model, images, make_recipe(model))
    assert torch.is_grad_enabled()


class Returned(Autoencoder):
    def updates(self, batch: Images) -> Updates:
        return list(super().updates(batch))


def test_updates_must_be_yielded(images, make_model, make_recipe) -> None:
    model = make_model(Returned)
    with pytest.raises(TrainingError, match="must yield.*not return a list"):
        run(model, images, make_recipe(model))


def test_a_layer_that_no_loss_reaches_is_refused(images, make_model, make_recipe) -> None:
    model = make_model(Autoencoder)
    model.decoder[0].head = nn.Linear(2, 10)
    with pytest.raises(TrainingError, match=r"does not reach decoder\.0\.head\.weight, decoder\.0\.head\.bias"):
        run(model, images, make_recipe(model))


# Runs that have died


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_before_it_moves_anything(
    value: float, bfloat16: bool, images, make_model, make_recipe
) -> None:
    steps, kept = itertools.count(), {}

    def change(model: Model, name: str, loss: Tensor) -> Iterator:
        kept.update(weights(model))
        yield name, loss * value if name == "discriminator" and next(steps) == 3 else loss

    model = make_model(type("Exploding", (Changed,), {"change": change}))
    with pytest.raises(TrainingError, match=rf"'discriminator' is {value} at step 3\b.*smaller learning rate"):
        run(model, images, make_recipe(model), bfloat16=bfloat16)
    assert same(weights(model), kept) and all(end.isfinite().all() for end in kept.values())


def test_weights_that_are_not_finite_after_the_last_update_are_refused(images, make_model, make_recipe) -> None:
    model = make_model(Autoencoder)
    with pytest.raises(TrainingError, match="NaN or infinite weights at step 1"):
        run(model, images, make_recipe(model, 1, SGD(math.inf)))


@pytest.mark.parametrize(
    ("variances", "center", "prior", "end"),
    [
        ([1e-6, 1e-6], 0, Gaussian(2), "collapsed"),
        ([1e-6, 1e-6, 1e-6], 0, None, ""),  # a model without a prior is exempt
        ([1.5e-3, 1.5e-3, 1.5e-3], 0, Gaussian(2), ""),
        ([1e-5, 1e-5, 1e-5], 0, Gaussian(2, 0.05), ""),  # what counts is the prior's variance
        ([1e-6, 1.0, 1e-6], 0, Gaussian(2), ""),
        ([1.0, 1.0], 6, Gaussian(2), "run away"),
        ([36.0, 36.0], 0, Gaussian(2), "run away"),
        ([36.0, 36.0, 36.0], 6, Gaussian(2, 2.0), ""),
    ],
)
def test_codes_that_are_long_one_point_or_far_away_stop_the_run(
    variances, center: float, prior: Gaussian | None, end: str, images, make_model, make_recipe, monkeypatch
) -> None:
    """Codes are looked at after steps 30, 40 and 50."""
    for name, steps in (("checks.LOST_STEPS", 20), ("checks.CHECK_CODES_EVERY", 10), ("run.PAUSE_EVERY", 10)):
        monkeypatch.setattr(f"aae_lib.training.{name}", steps)
    model, left, found = make_model(hidden=(2,)), iter(variances), []
    model.encode = lambda images: center + math.sqrt(next(left)) * torch.randn(len(images), 2)
    model.updates, model.prior = functools.partial(still, model), prior
    recipe = make_recipe(model, 50, SGD(1e-6), batch_size=2)
    try:
        found = [report.step for report in reports_of(model, images[:1000], recipe, report_every=50)]
    except TrainingError as error:
        assert end and f"{end}: for 20 steps up to step 40 " in str(error)
    assert found == ([] if end else [50])


def still(model: Model, batch: Images) -> Updates:
    """Updates of almost nothing."""
    for name, networks in model.moves.items():
        yield name, sum(p.sum() for network in networks for p in getattr(model, network).parameters())


def test_an_adversary_of_codes_with_batch_norm_is_found_out(images, make_recipe, monkeypatch) -> None:
    """It sees neither where the codes lie nor how wide they are, while the losses are those of an even game."""
    monkeypatch.setattr("aae_lib.training.checks.LOST_STEPS", 200)
    with seeded(0):
        networks = [multilayer_perceptron(*ends, (100,)) for ends in ((784, 2), (2, 784))]
        judge = nn.Sequential(nn.Linear(2, 100), nn.BatchNorm1d(100), nn.ReLU(), nn.Linear(100, 1))
        model = AdversarialAutoencoder(Gaussian(2), *networks, judge)
    reports = reports_of(model, images, make_recipe(model, 500, Adam(0.001), batch_size=50))
    with pytest.raises(TrainingError, match="run away.*batch-norm"):
        list(reports)
