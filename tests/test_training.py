"""The loop: what it refuses, whose random numbers it uses, when it stops, and that resumed runs end the same."""

import copy
import itertools
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aae_lib import training
from aae_lib.data import Images
from aae_lib.losses import fool_loss, real_fake_loss
from aae_lib.models import (
    AdversarialAutoencoder,
    Autoencoder,
    LabelInformedAutoencoder,
    Model,
    VariationalAutoencoder,
)
from aae_lib.networks import Dropout, GaussianNoise, RandomAffine, disturbed
from aae_lib.priors import Gaussian, GaussianMixture
from aae_lib.storage import read_file, write_file
from aae_lib.training import (
    SGD,
    Adam,
    Cosine,
    Drops,
    Recipe,
    Report,
    Rise,
    TrainingError,
    WarmUp,
    _order_seed,
    recompute_batch_norm,
    train,
)

Updates = Iterator[tuple[str, Tensor]]
KINDS = [Autoencoder, AdversarialAutoencoder, VariationalAutoencoder]


def run(model: Model, images: Images | tuple[Images, ...], recipe: Recipe, **arguments: Any) -> list[Report]:
    return list(train(model, images, recipe, device="cpu", **{"bfloat16": False, **arguments}))


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether all bits agree."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def without_seconds(reports: list[Report]) -> list[tuple]:
    return [(report.step, report.clock, report.losses, report.learning_rates, report.measures) for report in reports]


# Models and updates that do not fit together


class DetachedGenerator(AdversarialAutoencoder):
    def updates(self, batch: Images) -> Updates:
        code = self.encoder(batch.images)
        yield "reconstruction", self.reconstruction_loss(self.decoder(code), batch.images)
        code = self.encoder(batch.images).detach()
        yield "discriminator", real_fake_loss(self.discriminator, real=self.prior.sample(100), fake=code)
        yield "generator", fool_loss(self.discriminator, code)


class DetachedLoss(AdversarialAutoencoder):
    def updates(self, batch: Images) -> Updates:
        for name, loss in super().updates(batch):
            yield name, loss.detach()


class ForgottenHead(Autoencoder):
    def __init__(self, dimensions: int = 2, hidden: tuple[int, ...] = (8,)):
        super().__init__(dimensions, hidden)
        self.decoder.head = nn.Linear(2, 10)

    def updates(self, batch: Images) -> Updates:
        code = self.encoder(batch.images)
        logits = self.decoder[2](self.decoder[1](self.decoder[0](code)))
        yield "reconstruction", self.reconstruction_loss(logits, batch.images)


class Undeclared(AdversarialAutoencoder):
    def updates(self, batch: Images) -> Updates:
        for name, loss in super().updates(batch):
            yield name.replace("generator", "fool"), loss


class NeverYielded(AdversarialAutoencoder):
    def updates(self, batch: Images) -> Updates:
        for name, loss in super().updates(batch):
            if name != "generator":
                yield name, loss


class GradientsOff(Autoencoder):
    def updates(self, batch: Images) -> Updates:
        code = self.encoder(batch.images)
        loss = self.reconstruction_loss(self.decoder(code), batch.images)
        torch.set_grad_enabled(False)
        try:
            yield "reconstruction", loss
        finally:
            torch.set_grad_enabled(True)


class BareLoss(Autoencoder):
    def updates(self, batch: Images) -> Iterator[Tensor]:
        for _, loss in super().updates(batch):
            yield loss


class LossOfEachImage(Autoencoder):
    def updates(self, batch: Images) -> Updates:
        yield "reconstruction", self.decoder(self.encoder(batch.images)).square().sum(1)


class LossWithoutTensor(Autoencoder):
    def updates(self, batch: Images) -> Iterator[tuple[str, float]]:
        for name, loss in super().updates(batch):
            yield name, float(loss)


class Returned(Autoencoder):
    def updates(self, batch: Images) -> dict[str, Tensor]:
        return dict(super().updates(batch))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (BareLoss, r"BareLoss\.updates must yield pairs \(name of the update, loss\), not a Tensor"),
        (LossOfEachImage, r"'reconstruction' must be one number in a tensor, and is of shape \(100,\)"),
        (LossWithoutTensor, "'reconstruction' must be one number in a tensor, and is a float"),
        (Returned, r"Returned\.updates must yield its updates, one after the other, not return them"),
        (DetachedGenerator, r"update 'generator'.*does not reach encoder\.0\.weight.*detached"),
        (DetachedLoss, "update 'reconstruction' depends on no network"),
        (ForgottenHead, r"does not reach decoder\.head\.weight, decoder\.head\.bias"),
        (Undeclared, "update 'fool' is not declared in Undeclared.moves"),
        (NeverYielded, r"never yielded \['generator'\]"),
        (GradientsOff, "update 'reconstruction' was yielded inside torch.no_grad"),
    ],
)
def test_a_step_that_cannot_work_is_refused(kind: type[Model], message: str, images, make_model, make_recipe) -> None:
    model = make_model(kind)
    with pytest.raises(TrainingError, match=message):
        run(model, images, make_recipe(model))
    assert torch.is_grad_enabled()


class WithAround(Autoencoder):
    def updates(self, batch: Images) -> Updates:
        code = self.encoder(batch.images)
        with torch.autocast("cpu"):
            yield "reconstruction", self.reconstruction_loss(self.decoder(code), batch.images)


class WithAroundFrom(Autoencoder):
    def updates(self, batch: Images) -> Updates:
        with torch.autocast("cpu"):
            yield from super().updates(batch)


class WithInside(Autoencoder):
    def updates(self, batch: Images) -> Updates:
        with torch.no_grad():
            assert self.encoder(batch.images).isfinite().all()
        yield from super().updates(batch)


class Inherited(WithAround):
    """Whose own part is clean."""

    def updates(self, batch: Images) -> Updates:
        yield from super().updates(batch)


class Homeless(AdversarialAutoencoder):
    moves = {"reconstruction": ("encoder", "decoder"), "generator": ("encoder",)}


class Unknown(Autoencoder):
    moves = {"reconstruction": ("encoder", "decorder")}


class Loose(Autoencoder):
    def __init__(self, dimensions: int = 2, hidden: tuple[int, ...] = (8,)):
        super().__init__(dimensions, hidden)
        self.temperature = nn.Parameter(torch.ones(1))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (WithAround, r"WithAround\.updates yields inside a `with` \(line 3"),
        (WithAroundFrom, r"WithAroundFrom\.updates yields inside a `with` \(line 2"),
        (Inherited, r"WithAround\.updates yields inside a `with` \(line 3"),
        (Homeless, r"no update of Homeless moves discriminator\.0\.weight"),
        (Unknown, r"names \['decorder'\], but its networks are \['decoder', 'encoder'\]"),
        (Loose, "no update of Loose moves temperature"),
    ],
)
def test_a_model_that_cannot_work_is_refused_before_it_moves(
    kind: type[Model], message: str, images, make_model, make_recipe
) -> None:
    model = make_model(kind)
    before = weights(model)
    with pytest.raises(TrainingError, match=message):
        run(model, images, make_recipe(model))
    assert same(weights(model), before)


def test_a_with_that_is_closed_before_the_yield_is_allowed(images, make_model, make_recipe) -> None:
    model = make_model(WithInside)
    assert run(model, images, make_recipe(model, 3))[-1].step == 3


AT_THE_PROMPT = """
class Typed(Autoencoder):
    def updates(self, batch):
        code = self.encoder(batch.images)
        loss = self.reconstruction_loss(self.decoder(code), batch.images)
        with torch.no_grad():
            yield "reconstruction", loss
"""


def test_no_grad_around_a_yield_is_refused_where_there_is_no_source(images, make_model, make_recipe) -> None:
    names = {"Autoencoder": Autoencoder, "torch": torch, "__name__": "__console__"}
    exec(AT_THE_PROMPT, names)
    model = make_model(names["Typed"])
    with pytest.raises(TrainingError, match="inside torch.no_grad") as error:
        run(model, images, make_recipe(model))
    assert torch.is_grad_enabled(), error  # although the error still holds the step's frame


@pytest.mark.parametrize("names", [["reconstruction"], ["reconstruction", "discriminator", "generator", "more"], []])
def test_a_recipe_for_other_updates_is_refused(names: list[str], images, make_model) -> None:
    recipe = Recipe({name: SGD(0.1) for name in names}, 10)
    with pytest.raises(TrainingError, match=r"but AdversarialAutoencoder has updates \['discriminator', 'generator'"):
        run(make_model(), images, recipe)


def test_too_few_images_are_refused(images, make_model, make_recipe) -> None:
    model = make_model()
    with pytest.raises(TrainingError, match="99 training images do not fill one minibatch of 100"):
        run(model, images[:99], make_recipe(model))
    model = Pair()
    for sets in ((images, images[:99]), (images[:99], images)):
        with pytest.raises(TrainingError, match="99 training images do not fill one minibatch of 100"):
            run(model, sets, make_recipe(model))
    run(model, (images[:100], images), make_recipe(model, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images: images.images, "takes aae_lib.data.Images, or a tuple of them, not a Tensor"),
        (lambda images: Images(images.images.double(), images.labels), "not images .* of torch.float64"),
        (lambda images: Images((255 * images.images).byte(), images.labels), "not images .* of torch.uint8"),
        (lambda images: Images(images.images.view(-1, 28, 28), images.labels), r"not images \[600, 28, 28\]"),
        (lambda images: Images(images.images, images.labels[:-1]), r"and labels \[599\]"),
    ],
)
def test_what_is_no_set_of_images_is_refused(change: Callable, message: str, images, make_model, make_recipe) -> None:
    model = make_model(Autoencoder)
    with pytest.raises(TrainingError, match=message):
        run(model, change(images), make_recipe(model))


def test_what_is_no_model_is_refused(images, make_model, make_recipe) -> None:
    recipe = make_recipe(make_model(Autoencoder))
    with pytest.raises(TrainingError, match="a class of aae_lib.models.Model, and Sequential is none"):
        run(nn.Sequential(nn.Linear(784, 2)), images, recipe)


def test_sets_may_come_in_a_list(images, make_recipe) -> None:
    model = Pair()
    run(model, [images[:100], images], make_recipe(model, 2))
    assert len(model.seen[1]) == 2


class Pair(Autoencoder):
    """Takes two minibatches and writes down the labels of each."""

    def __init__(self, dimensions: int = 2, hidden: tuple[int, ...] = (2,)):
        super().__init__(dimensions, hidden)
        self.seen: tuple[list[Tensor], list[Tensor]] = ([], [])

    def updates(self, first: Images, second: Images) -> Updates:
        for diary, batch in zip(self.seen, (first, second), strict=True):
            diary.append(batch.labels)
        yield from super().updates(Images(torch.cat([first.images, second.images]), first.labels))


@pytest.mark.parametrize(
    ("kind", "count", "message"),
    [
        (Autoencoder, 2, r"Autoencoder\.updates takes 1 minibatches \(batch\), but there are 2 sets"),
        (Pair, 1, r"Pair\.updates takes 2 minibatches \(first, second\), but there are 1 sets"),
        (Pair, 3, r"Pair\.updates takes 2 minibatches \(first, second\), but there are 3 sets"),
        (Autoencoder, 0, r"Autoencoder\.updates takes 1 minibatches \(batch\), but there are 0 sets"),
    ],
)
def test_a_wrong_number_of_sets_is_refused_before_anything_moves(
    kind: type[Model], count: int, message: str, images, make_model, make_recipe
) -> None:
    model = make_model(kind)
    before = weights(model)
    with pytest.raises(TrainingError, match=message):
        run(model, (images,) * count, make_recipe(model))
    assert same(weights(model), before)


class StaleGraph(AdversarialAutoencoder):
    """Its generator goes back through a graph that was built before the reconstruction moved the encoder."""

    def updates(self, batch: Images) -> Updates:
        code, stale = self.encoder(batch.images), self.encoder(batch.images)
        yield "reconstruction", self.reconstruction_loss(self.decoder(code), batch.images)
        fake = stale.detach()
        yield "discriminator", real_fake_loss(self.discriminator, real=self.prior.sample(100), fake=fake)
        yield "generator", fool_loss(self.discriminator, stale)


class UsedGraph(AdversarialAutoencoder):
    """One encoder pass for all three updates."""

    def updates(self, batch: Images) -> Updates:
        code = self.encoder(batch.images)
        yield "reconstruction", self.reconstruction_loss(self.decoder(code), batch.images)
        yield "discriminator", real_fake_loss(self.discriminator, real=self.prior.sample(100), fake=code.detach())
        yield "generator", fool_loss(self.discriminator, code)


class StaleDiscriminator(AdversarialAutoencoder):
    """Its generator goes back through the discriminator as it was before it moved."""

    def updates(self, batch: Images) -> Updates:
        yield "reconstruction", self.reconstruction_loss(self.decoder(self.encoder(batch.images)), batch.images)
        code = self.encoder(batch.images)
        fooled = fool_loss(self.discriminator, code)
        yield "discriminator", real_fake_loss(self.discriminator, real=self.prior.sample(100), fake=code.detach())
        yield "generator", fooled


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("optimizer", [SGD(0.01, 0.9), Adam(0.001)])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (StaleGraph, "modified by an inplace operation"),
        (StaleDiscriminator, "modified by an inplace operation"),
        (UsedGraph, "second time"),
    ],
)
def test_a_stale_graph_raises(
    kind: type[Model], message: str, optimizer: SGD | Adam, bfloat16: bool, images, make_model, make_recipe
) -> None:
    model = make_model(kind)
    with pytest.raises(RuntimeError, match=message):
        run(model, images, make_recipe(model, optimizer=optimizer), bfloat16=bfloat16)


class Transposed(nn.Linear):
    """A layer whose weights are ``[inputs, outputs]``, so that their gradient lies in memory the other way round."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(outputs, inputs, bias=False)

    def forward(self, units: Tensor) -> Tensor:
        return nn.functional.linear(units, self.weight.t().contiguous())


@pytest.mark.parametrize("optimizer", [SGD(0.01, 0.9), Adam(0.01)])
def test_how_a_gradient_lies_in_memory_changes_nothing(optimizer: SGD | Adam, images, make_model, make_recipe) -> None:
    model = make_model(Autoencoder)
    model.encoder = nn.Sequential(Transposed(784, 2))
    plain = copy.deepcopy(model)
    run(model, images[:100], make_recipe(model, steps=3, optimizer=optimizer))

    kind = torch.optim.SGD if isinstance(optimizer, SGD) else torch.optim.Adam
    momentum = {"momentum": 0.9} if isinstance(optimizer, SGD) else {}
    steps = kind(plain.parameters(), lr=optimizer.learning_rate, **momentum, fused=False, foreach=False)
    for _ in range(3):
        ((_, loss),) = plain.updates(images[:100])
        steps.zero_grad()
        loss.backward()
        steps.step()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


# Random numbers


def random_states() -> tuple:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


@pytest.mark.parametrize("kind", KINDS)
def test_the_callers_random_numbers_are_left_alone(kind: type[Model], images, make_model, make_recipe) -> None:
    model = make_model(kind)
    before = random_states()
    reports = train(model, images, make_recipe(model), report_every=5, device="cpu", bfloat16=False)
    for _ in reports:
        assert random_states() == before
        torch.rand(3), np.random.rand(3), random.random()
        before = random_states()
    assert random_states() == before


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_caller_draws_changes_no_bit(kind: type[Model], images, make_model, make_recipe) -> None:
    torch.manual_seed(1)
    quiet, busy = make_model(kind), make_model(kind)
    run(quiet, images, make_recipe(quiet), report_every=5)
    torch.manual_seed(2)
    for _ in train(busy, images, make_recipe(busy), report_every=5, device="cpu", bfloat16=False):
        torch.manual_seed(3)
        busy.decode(busy.encode(images.images)), torch.rand(10)
    assert same(weights(quiet), weights(busy))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bfloat16", [False, True])
def test_how_often_is_reported_changes_no_bit(
    kind: type[Model], bfloat16: bool, images, make_model, make_recipe
) -> None:
    ends, means = [], []
    for every in (1, 7, 150, 600):
        model = make_model(kind)
        reports = run(model, images, make_recipe(model, 120), report_every=every, bfloat16=bfloat16)
        assert [report.step for report in reports] == [*range(every, 120, every), 120]
        steps = np.diff([0, *(report.step for report in reports)])
        means.append({name: np.average([r.losses[name] for r in reports], weights=steps) for name in kind.moves})
        ends.append(weights(model))
    assert all(same(end, ends[0]) for end in ends)
    assert all(mean == pytest.approx(means[0]) for mean in means)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_bits_and_others_do_not(kind: type[Model], images, make_model, make_recipe) -> None:
    ends = []
    for seed in (1, 1, 2):
        model = make_model(kind)
        run(model, images, make_recipe(model), seed=seed)
        ends.append(weights(model))
    assert same(ends[0], ends[1]) and not same(ends[0], ends[2])


# Data


class Diary(Autoencoder):
    """Writes down the labels of each minibatch."""

    def __init__(self, dimensions: int = 2, hidden: tuple[int, ...] = (2,)):
        super().__init__(dimensions, hidden)
        self.seen: list[Tensor] = []

    def updates(self, batch: Images) -> Updates:
        assert torch.equal(batch.images[:, 0], batch.labels.float())
        self.seen.append(batch.labels)
        yield from super().updates(batch)


def numbered(count: int) -> Images:
    """Images whose label and first pixel are their number."""
    images = torch.zeros(count, 784)
    images[:, 0] = torch.arange(count)
    return Images(images, torch.arange(count))


@pytest.mark.parametrize("count", [60, 65])
def test_each_pass_takes_each_image_once_in_a_new_order(count: int, make_recipe) -> None:
    def passes(seed: int) -> list[list[int]]:
        model = Diary()
        run(model, numbered(count), make_recipe(model, 18, SGD(1e-9), batch_size=10), seed=seed)
        assert all(len(batch) == 10 for batch in model.seen)
        return [torch.cat(model.seen[start : start + 6]).tolist() for start in (0, 6, 12)]

    orders = passes(0)
    for order in orders:
        assert len(set(order)) == 60 and set(order) <= set(range(count))
        if count == 60:
            assert sorted(order) == list(range(60))
    assert sorted(orders[0]) != orders[0] != orders[1] != orders[2] != orders[0]
    if count == 65:  # another five are left out each time
        assert set(orders[0]) != set(orders[1])
    assert passes(0) == orders and passes(1)[0] not in orders


@pytest.mark.parametrize("seed", [0, 3])
def test_the_order_of_a_pass_is_that_of_its_seed_and_number(seed: int, make_recipe) -> None:
    """The shipped models were trained in this order: another one would change their bits."""
    expected = [
        torch.randperm(65, generator=torch.Generator().manual_seed(seed * 1_000_003 + number))[:60]
        for number in range(3)
    ]
    ends = []
    for images in (numbered(65), (numbered(65),)):
        model = Diary()
        for parameter in model.parameters():
            nn.init.constant_(parameter, 0.01)
        run(model, images, make_recipe(model, 18, SGD(1e-9), batch_size=10), seed=seed)
        assert torch.equal(torch.cat(model.seen), torch.cat(expected))
        ends.append(weights(model))
    assert same(*ends)


def passes_of_two(seed: int, counts: tuple[int, int], make_recipe) -> list[list[list[int]]]:
    """The passes over each of two sets in 24 steps of 10 images each, those that are complete."""
    model = Pair()
    run(model, tuple(map(numbered, counts)), make_recipe(model, 24, SGD(1e-9), batch_size=10), seed=seed)
    assert all(len(batch) == 10 for diary in model.seen for batch in diary)
    per_pass = [count // 10 for count in counts]
    return [
        [torch.cat(diary[start : start + length]).tolist() for start in range(0, 25 - length, length)]
        for diary, length in zip(model.seen, per_pass, strict=True)
    ]


@pytest.mark.parametrize("counts", [(60, 30), (30, 60), (60, 60), (65, 48), (10, 80)])
def test_each_set_is_passed_over_in_its_own_time(counts: tuple[int, int], make_recipe) -> None:
    for passes, count in zip(passes_of_two(0, counts, make_recipe), counts, strict=True):
        assert len(passes) == 240 // (count // 10 * 10)
        for order in passes:
            assert len(order) == len(set(order)) == count // 10 * 10 and set(order) <= set(range(count))
        assert len(set(map(tuple, passes))) == len(passes)  # a new order each time


@pytest.mark.parametrize("seed", [0, 1, 4000])
def test_each_set_has_an_order_of_its_own(seed: int, make_recipe) -> None:
    """Sets of equal size would otherwise go in step, and each image would meet the same partner in each pass."""
    first, second = passes_of_two(seed, (60, 60), make_recipe)
    assert not {*map(tuple, first)} & {*map(tuple, second)}
    alike = np.mean(np.array(first) == np.array(second))
    assert alike < 0.08  # 1/60 by chance
    others = passes_of_two(seed + 1, (60, 60), make_recipe)
    assert not {*map(tuple, [*first, *second])} & {*map(tuple, [*others[0], *others[1]])}
    assert passes_of_two(seed, (60, 60), make_recipe) == [first, second]


def test_the_first_set_goes_as_it_would_alone(make_recipe) -> None:
    alone = Diary()
    run(alone, numbered(60), make_recipe(alone, 24, SGD(1e-9), batch_size=10), seed=2)
    expected = torch.cat(alone.seen).tolist()
    for count in (30, 70):
        first, _ = passes_of_two(2, (60, count), make_recipe)
        assert sum(first, []) == expected


# Clock and schedules


def test_cosine_holds_and_falls_to_its_end() -> None:
    schedule = Cosine(start=100, end=300, final=0.01)
    assert [schedule(clock) for clock in (0, 50, 100)] == [1, 1, 1]
    assert schedule(150) == pytest.approx(0.01 + 0.99 * (1 + math.sqrt(0.5)) / 2)
    assert schedule(200) == pytest.approx(0.01 + 0.99 / 2)
    assert schedule(300) == schedule(1e6) == pytest.approx(0.01)


def test_drops_multiply_at_their_times() -> None:
    schedule = Drops(at=(10, 20), factor=0.1)
    assert [schedule(clock) for clock in (0, 9.99)] == [1, 1]
    assert schedule(10) == schedule(19) == pytest.approx(0.1) and schedule(20) == pytest.approx(0.01)
    assert Drops()(1e9) == 1


@pytest.mark.parametrize("after", [Drops(), Drops(at=(50, 200), factor=0.5), Cosine(50, 150, 0.1)])
def test_a_warm_up_rises_evenly_and_then_follows_its_schedule(after: Cosine | Drops) -> None:
    schedule = WarmUp(until=40, schedule=after)
    assert [schedule(clock) for clock in (0, 10, 20, 30, 40)] == [0, 0.25, 0.5, 0.75, 1]
    for clock in (40.5, 49.9, 50, 75, 150, 200, 1e6):
        assert schedule(clock) == after(clock)
    late = WarmUp(until=100, schedule=after)  # the schedule's own times pass meanwhile
    assert late(75) == pytest.approx(0.75 * after(75)) and late(100) == after(100)
    for some, other in ((schedule, WarmUp(40, after)), (schedule, schedule)):
        assert some == other and hash(some) == hash(other)


def test_a_rise_holds_and_goes_evenly_up_to_one() -> None:
    schedule = Rise(0.2, start=100, end=300)
    assert [schedule(clock) for clock in (0, 50, 100)] == [0.2] * 3
    assert [schedule(clock) for clock in (101, 150, 200, 299)] == pytest.approx([0.204, 0.4, 0.6, 0.996])
    assert schedule(300) == schedule(300.5) == schedule(1e6) == 1
    assert [Rise(0.0, 0, 4)(clock) for clock in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]
    assert schedule == Rise(0.2, 100, 300) and hash(schedule) == hash(Rise(0.2, 100, 300))


def test_rates_rise_as_well(images, make_model, make_recipe) -> None:
    model = make_model()
    reports = run(model, images, make_recipe(model, 6, SGD(0.01), Rise(0.5, 2, 4)), report_every=1)
    assert [report.learning_rates["generator"] for report in reports] == pytest.approx(
        [0.005, 0.005, 0.0075, 0.01, 0.01, 0.01]
    )


def test_the_first_step_of_a_warm_up_moves_nothing(images, make_model, make_recipe) -> None:
    model = make_model(Autoencoder)
    states = [weights(model)]
    recipe = make_recipe(model, 4, SGD(0.01), WarmUp(2.0, Drops()))
    for report in train(model, images, recipe, report_every=1, device="cpu", bfloat16=False):
        states.append(weights(model))
        assert report.learning_rates == {"reconstruction": 0.01 * min(report.step / 2, 1)}
    assert same(states[0], states[1])
    assert not any(same(before, after) for before, after in zip(states[1:-1], states[2:], strict=True))


def test_a_warm_up_scales_the_steps(images, make_model, make_recipe) -> None:
    ends = []
    for schedule in (WarmUp(4.0, Drops(at=(5,))), lambda clock: [0, 0.25, 0.5, 0.75, 1, 0.1][int(clock)]):
        model = make_model()
        run(model, images, make_recipe(model, 5, schedule=schedule))
        ends.append(weights(model))
    assert same(*ends)


@pytest.mark.parametrize(("batch_size", "dropped_at"), [(100, 6), (50, 12), (200, 3), (300, 2)])
def test_the_clock_counts_hundreds_of_images(batch_size: int, dropped_at: int, images, make_model, make_recipe) -> None:
    model = make_model(Autoencoder)
    recipe = make_recipe(model, 14, SGD(0.01), Drops(at=(6,), factor=0.0), batch_size)
    states, reports = [weights(model)], []
    for report in train(model, images, recipe, report_every=1, device="cpu", bfloat16=False):
        states.append(weights(model))
        reports.append(report)
    assert [report.clock for report in reports] == [step * batch_size / 100 for step in range(1, 15)]
    assert reports[-1].epoch == pytest.approx(14 * batch_size / 60_000)
    rates = [report.learning_rates["reconstruction"] for report in reports]
    assert rates == [0.01 * (step < dropped_at) for step in range(1, 15)]
    moved = [not same(before, after) for before, after in zip(states[:-1], states[1:], strict=True)]
    assert moved == [step < dropped_at for step in range(14)]


def noisy(make_model: Callable[..., Model], deviation: float = 0.3) -> Autoencoder:
    model = make_model(Autoencoder)
    model.encoder = nn.Sequential(GaussianNoise(deviation), *model.encoder)
    return model


def test_noise_follows_the_recipe_by_the_clock(images, make_model, make_recipe) -> None:
    model, found = noisy(make_model), []
    model.encoder[0].register_forward_hook(
        lambda layer, inputs, output: found.append((output - inputs[0]).std().item() / 0.3) if layer.training else None
    )
    fading = replace(make_recipe(model, 12, batch_size=50), noise=Drops(at=(2, 4), factor=0.5))
    run(model, images, fading)
    assert found == pytest.approx([1.0] * 4 + [0.5] * 4 + [0.25] * 4, rel=0.02)
    found.clear()
    model.train().encode(images.images)
    run(model, images, make_recipe(model, 3))
    assert found == pytest.approx([1.0] * 4, rel=0.02), "all of it outside of training, and without a schedule"


class Disturbed(Autoencoder):
    """With three classes of noise in front of its encoder, which write down how strong they are in each pass."""

    def __init__(self, dimensions: int = 2, hidden: tuple[int, ...] = (8,)):
        super().__init__(dimensions, hidden)
        self.encoder = disturbed(nn.Sequential(Dropout(0.4), *self.encoder), 0.3, (2.0, 10.0))
        self.strengths: dict[str, list[float]] = {}
        for layer, measure in zip(self.encoder, (self._motion, self._deviation, self._share), strict=False):
            diary = self.strengths.setdefault(type(layer).__name__, [])
            layer.register_forward_hook(
                lambda layer, inputs, output, diary=diary, measure=measure: (
                    diary.append(measure(inputs[0], output)) if layer.training else None
                )
            )
            layer.register_forward_pre_hook(lambda layer, inputs: setattr(layer, "before", torch.get_rng_state()))

    def _motion(self, images: Tensor, moved: Tensor) -> float:
        """By trying which share of the limits moves the images so, from the same random numbers on."""
        with torch.random.fork_rng():
            for share in (1.0, 0.5, 0.25):
                torch.set_rng_state(self.encoder[0].before)
                if torch.equal(RandomAffine(2.0 * share, 10.0 * share).train()(images), moved):
                    return share
        return 0.0 if torch.equal(images, moved) else math.nan

    def _deviation(self, images: Tensor, noisy: Tensor) -> float:
        return (noisy - images).std().item() / 0.3

    def _share(self, units: Tensor, left: Tensor) -> float:
        return (left[units != 0] == 0).float().mean().item() / 0.4


HALVED = Drops(at=(2, 4), factor=0.5)
CONSTANT, FALLING = [1.0] * 12, [1.0] * 4 + [0.5] * 4 + [0.25] * 4  # of steps that are half an update of 100 images


@pytest.mark.parametrize("names", [(), ("RandomAffine",), ("GaussianNoise",), ("Dropout", "RandomAffine")])
def test_only_the_classes_of_noise_that_a_recipe_names_follow_it(
    names: tuple[str, ...], images, make_model, make_recipe
) -> None:
    model = make_model(Disturbed)
    run(model, images, replace(make_recipe(model, 12, batch_size=50), noise=dict.fromkeys(names, HALVED)))
    assert [*model.strengths] == ["RandomAffine", "GaussianNoise", "Dropout"]
    for name, found in model.strengths.items():
        assert found == pytest.approx(FALLING if name in names else CONSTANT, rel=0.05), name
        found.clear()
    model.train().encode(images.images)
    assert all(found == pytest.approx([1.0], rel=0.02) for found in model.strengths.values())


def test_each_class_of_noise_follows_its_own_schedule_and_one_schedule_is_for_all(
    images, make_model, make_recipe
) -> None:
    noise = {"RandomAffine": HALVED, "GaussianNoise": Drops(at=(3,), factor=0.0), "Dropout": Rise(0.2, 1, 5)}
    own, common = make_model(Disturbed), make_model(Disturbed)
    run(own, images, replace(make_recipe(own, 12, batch_size=50), noise=noise))
    assert own.strengths["RandomAffine"] == FALLING
    assert own.strengths["GaussianNoise"] == pytest.approx([1.0] * 6 + [0.0] * 6, rel=0.02, abs=1e-6)
    assert own.strengths["Dropout"] == pytest.approx([0.2] * 3 + [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1], rel=0.05)
    run(common, images, replace(make_recipe(common, 12, batch_size=50), noise=HALVED))
    assert all(found == pytest.approx(FALLING, rel=0.05) for found in common.strengths.values())


def test_a_schedule_for_noise_that_a_model_does_not_have_is_refused(images, make_model, make_recipe) -> None:
    model = make_model()
    for noise in (Cosine(2, 10), {"GaussianNoise": Cosine(2, 10)}):
        with pytest.raises(
            TrainingError, match="schedule for noise, but AdversarialAutoencoder has none: build it with"
        ):
            run(model, images, replace(make_recipe(model), noise=noise))


@pytest.mark.parametrize("name", ["RandomShift", "Dropout", "Linear", "gaussianNoise", "encoder"])
def test_a_schedule_for_noise_of_an_unknown_class_is_refused(name: str, images, make_model, make_recipe) -> None:
    model = noisy(make_model)
    before = weights(model)
    message = rf"schedules for \['{name}'\], but the noise of Autoencoder is \['GaussianNoise'\]"
    with pytest.raises(TrainingError, match=message):
        run(model, images, replace(make_recipe(model), noise={"GaussianNoise": HALVED, name: HALVED}))
    assert same(weights(model), before)


@pytest.mark.parametrize("noise", [Cosine(start=2, end=10, final=0.0), {"GaussianNoise": Cosine(2, 10, final=0.0)}])
def test_a_run_with_fading_noise_goes_on_where_it_stopped(
    noise: Cosine | dict[str, Cosine], tmp_path: Path, images, make_model, make_recipe
) -> None:
    whole, first, second, constant = (noisy(make_model) for _ in range(4))
    fading = replace(make_recipe(whole, 12), noise=noise)
    run(whole, images, fading)
    run(first, images, fading, steps=6, state=tmp_path / "state")
    run(second, images, fading, state=tmp_path / "state")
    assert same(weights(second), weights(whole))
    run(constant, images, make_recipe(constant, 12))
    assert not same(weights(constant), weights(whole))


class Weighted(Autoencoder):
    """Its loss has two weights; it writes down which they are in each step."""

    def __init__(self, dimensions: int = 2, hidden: tuple[int, ...] = (8,)):
        super().__init__(dimensions, hidden)
        self.share_weight, self.count_weight, self.share, self.kind_weight = 0.8, 3, 0.5, "text"
        self.seen: list[tuple[float, float]] = []

    def updates(self, batch: Images) -> Updates:
        self.seen.append((self.share_weight, self.count_weight))
        for name, loss in super().updates(batch):
            yield name, self.share_weight * self.count_weight * loss


def test_weights_of_a_model_follow_the_recipe_by_the_clock_and_are_its_own_outside(
    images, make_model, make_recipe
) -> None:
    model = make_model(Weighted)
    rising = {"share_weight": Rise(0.5, 1, 3), "count_weight": Drops(at=(2,), factor=0.5)}
    recipe = replace(make_recipe(model, 8, batch_size=50), weights=rising)
    asked = []

    def measure(model: Weighted) -> dict[str, float]:
        asked.append((model.share_weight, model.count_weight))
        return {}

    for _ in train(model, images, recipe, report_every=3, measure=measure, device="cpu", bfloat16=False):
        assert (model.share_weight, model.count_weight) == (0.8, 3) and isinstance(model.count_weight, int)
    shares, counts = zip(*model.seen, strict=True)
    assert shares == pytest.approx([0.4, 0.4, 0.4, 0.5, 0.6, 0.7, 0.8, 0.8])  # at 0, 1/2, 1, ... updates of 100 images
    assert counts == (3, 3, 3, 3, 1.5, 1.5, 1.5, 1.5)
    assert asked == [(0.8, 3)] * 3
    model.seen.clear()
    run(model, images, make_recipe(model, 2))
    assert model.seen == [(0.8, 3)] * 2


def test_a_weight_by_the_clock_is_a_factor_on_the_loss(images, make_model, make_recipe) -> None:
    """As a rate by the clock is, for gradient descent without momentum."""
    weighted, plain = make_model(Weighted), make_model(Weighted)
    rising = Rise(0.25, 1, 5)
    recipe = make_recipe(plain, 8, SGD(0.002))
    found = run(weighted, images, replace(recipe, weights={"share_weight": rising}), report_every=1)
    expected = run(plain, images, replace(recipe, schedule=rising), report_every=1)
    for one, other in zip(weighted.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    for report, other in zip(found, expected, strict=True):
        at = rising(other.clock - 1)
        assert report.losses["reconstruction"] == pytest.approx(at * other.losses["reconstruction"], rel=1e-4)


class Failing(Weighted):
    """Breaks in the middle of its fourth step."""

    def updates(self, batch: Images) -> Updates:
        yield from super().updates(batch)
        if len(self.seen) == 4:
            raise KeyboardInterrupt


def test_an_error_inside_a_step_leaves_the_weights_of_the_model_as_they_were_built(
    images, make_model, make_recipe
) -> None:
    model = make_model(Failing)
    with pytest.raises(KeyboardInterrupt):
        run(model, images, replace(make_recipe(model), weights={"share_weight": Rise(0.5, 1, 5)}))
    assert [share for share, _ in model.seen] == pytest.approx([0.4, 0.4, 0.5, 0.6])
    assert (model.share_weight, model.count_weight) == (0.8, 3)


@pytest.mark.parametrize("name", ["share", "kind_weight", "training", "encoder", "dimensions", "seen", "updates"])
def test_a_schedule_for_a_weight_that_is_no_number_of_the_model_is_refused(
    name: str, images, make_model, make_recipe
) -> None:
    model = make_model(Weighted)
    before = weights(model)
    message = rf"schedules for the weights \['{name}'\], but those of Weighted are \['count_weight', 'share_weight'\]"
    with pytest.raises(TrainingError, match=message):
        weighed = dict.fromkeys(("share_weight", name), Rise(0.5, 1, 3))
        run(model, images, replace(make_recipe(model), weights=weighed))
    assert same(weights(model), before) and model.share_weight == 0.8


def test_the_text_of_a_recipe_makes_it_again_and_has_noise_and_weights_only_where_there_are_some(
    make_model, make_recipe
) -> None:
    plain = make_recipe(make_model(Autoencoder))
    fading, rising = replace(plain, noise=Cosine(2, 10, 0.0)), replace(plain, weights={"share": Rise(0.3, 1, 3)})
    both = replace(rising, noise={"RandomAffine": Cosine(2, 10, 0.5)})
    for recipe in (plain, fading, rising, both):
        assert eval(repr(recipe)) == recipe
    text = (
        "Recipe(optimizers={'reconstruction': SGD(learning_rate=0.005, momentum=0.5)}, steps=20, "
        "schedule=Drops(at=(), factor=0.1), batch_size=100"
    )
    assert repr(plain) == f"{text})"  # the files of runs that are finished have it
    assert repr(fading) == f"{text}, noise=Cosine(start=2, end=10, final=0.0))"
    of_weights = "weights={'share': Rise(initial=0.3, start=1, end=3)}"
    assert repr(rising) == f"{text}, {of_weights})"
    assert repr(both) == f"{text}, noise={{'RandomAffine': Cosine(start=2, end=10, final=0.5)}}, {of_weights})"


def test_a_shorter_run_keeps_the_schedules_positions(images, make_model, make_recipe) -> None:
    long, short = make_model(), make_model()
    recipe = make_recipe(long, 40, schedule=Cosine(start=5, end=40))
    middle = [(report, weights(long)) for report in train(long, images, recipe, report_every=15, device="cpu")][0]
    (end,) = run(short, images, recipe, steps=15, bfloat16=None)
    assert end.step == middle[0].step == 15 and end.learning_rates == middle[0].learning_rates
    assert end.learning_rates == dict.fromkeys(short.moves, 0.005 * recipe.schedule(15))
    assert recipe.schedule(15) < 1
    assert same(weights(short), middle[1])


@pytest.mark.parametrize("seed", [-1, 4294])
def test_a_seed_that_gives_no_order_of_its_own_is_refused(seed: int, images, make_model, make_recipe) -> None:
    model = make_model()
    with pytest.raises(TrainingError, match=f"no data order for the seed {seed}: choose one from 0 to 4293"):
        run(model, images, make_recipe(model), seed=seed)


def test_every_seed_set_and_epoch_has_a_number_of_its_own_that_fits_into_32_bits() -> None:
    numbers = [_order_seed(seed, index, epoch) for seed in (0, 1, 4292, 4293) for index in (0, 1)
               for epoch in (0, 1, 499_999)]  # fmt: skip
    assert len(set(numbers)) == len(numbers) and max(numbers) < 2**32
    assert _order_seed(0, 1, 3_000_000) < _order_seed(1, 0, 0), "a long run does not reach the next seed's"


def test_the_largest_seed_has_an_order_of_its_own(images, make_model, make_recipe) -> None:
    ends = []
    for seed in (4293, 4292, 0):
        model = make_model(Autoencoder)
        run(model, images, make_recipe(model, 2), seed=seed)
        ends.append(weights(model))
    assert not any(same(*pair) for pair in itertools.combinations(ends, 2))


def test_each_update_has_its_own_rate(images, make_model) -> None:
    model = make_model()
    before = weights(model)
    rates = {"reconstruction": SGD(0.01), "discriminator": SGD(0.0), "generator": SGD(0.0)}
    run(model, images, Recipe(rates, 5))
    assert [name for name, end in weights(model).items() if torch.equal(end, before[name])] == [
        name for name in before if name.startswith("discriminator")
    ]


def test_each_update_can_have_its_own_schedule(images, make_model) -> None:
    """As long as its schedule is that of the others, bits are too; where it is zero, nothing moves."""
    optimizers = {"reconstruction": SGD(0.001), "discriminator": SGD(0.02), "generator": SGD(0.03)}
    stopping = {"reconstruction": Drops(), "discriminator": Drops(at=(3,), factor=0.0), "generator": Cosine(1, 5, 0.0)}
    models, states = [make_model(), make_model()], [[], []]
    schedules = stopping, {name: stopping["discriminator"] for name in optimizers}
    reports = []
    for model, seen, schedule in zip(models, states, schedules, strict=True):
        for report in train(
            model, images, Recipe(optimizers, 6, schedule), report_every=1, device="cpu", bfloat16=False
        ):
            seen.append(weights(model))
            reports.append(report)
    for before, after, step in zip(states[0][:-1], states[0][1:], range(1, 6), strict=True):
        moved = {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])}
        assert moved == {"encoder", "decoder"} | ({"discriminator"} if step < 3 else set())
    assert not same(states[1][1], states[1][2]) and same(states[1][2], states[1][5])
    for report in reports[:6]:
        assert report.learning_rates == {
            "reconstruction": 0.001,
            "discriminator": 0.02 * (report.step < 3),
            "generator": pytest.approx(0.03 * (1 + math.cos(math.pi * max(min((report.step - 1) / 4, 1), 0))) / 2),
        }
    one = make_model()
    run(one, images, Recipe(optimizers, 6, stopping["discriminator"]))
    assert same(weights(one), states[1][5])


@pytest.mark.parametrize("names", [["reconstruction"], ["reconstruction", "discriminator", "generator", "more"], []])
def test_schedules_of_other_updates_are_refused(names: list[str], images, make_model) -> None:
    model = make_model()
    recipe = Recipe(dict.fromkeys(model.moves, SGD(0.1)), 3, dict.fromkeys(names, Drops()))
    with pytest.raises(TrainingError, match=r"optimizers for \['discriminator', .* but schedules for \["):
        run(model, images, recipe)


# Runs that have died


class Exploding(AdversarialAutoencoder):
    """The discriminator's loss is not finite at the fourth minibatch."""

    value = math.nan
    count = 0

    def updates(self, batch: Images) -> Updates:
        for name, loss in super().updates(batch):
            explodes = name == "discriminator" and self.count == 3
            self.kept = weights(self)
            yield name, loss * self.value if explodes else loss
        self.count += 1


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_the_run(
    value: float, bfloat16: bool, images, make_model, make_recipe
) -> None:
    model = make_model(Exploding)
    model.value = value
    with pytest.raises(TrainingError, match=rf"update 'discriminator' is {value} at step 3\b.*smaller learning rate"):
        run(model, images, make_recipe(model), bfloat16=bfloat16)
    for name, end in weights(model).items():
        assert end.dtype == torch.float32 and end.isfinite().all()
        assert torch.equal(end.to(model.kept[name].dtype), model.kept[name])


class Shrunken(Autoencoder):
    """Codes of the given variance, as one reads them out."""

    variance = 1e-6
    revives_at = None
    count = 0

    def updates(self, batch: Images) -> Updates:
        self.count += 1
        yield from super().updates(batch)

    def encode(self, images: Tensor) -> Tensor:
        alive = self.revives_at is not None and self.revives_at <= self.count < self.revives_at + 100
        generator = torch.Generator().manual_seed(0)
        codes = torch.randn(len(images), 2, generator=generator)
        return codes * math.sqrt(1.0 if alive else self.variance)


class ShrunkenWithPrior(Shrunken):
    prior = Gaussian(2)




def test_collapsed_codes_stop_the_run(images, make_recipe) -> None:
    model = ShrunkenWithPrior(2, (2,))
    recipe = make_recipe(model, 1500, SGD(1e-4), batch_size=2)
    steps = []
    with pytest.raises(TrainingError, match=r"collapsed: for 600 steps up to step 1200 .* against 1\)"):
        for report in train(model, images[:100], recipe, report_every=100, device="cpu", bfloat16=False):
            steps.append(report.step)
    assert steps == list(range(100, 1200, 100))


@pytest.mark.parametrize(
    ("kind", "variance", "prior", "revives_at"),
    [
        (Shrunken, 1e-6, None, None),  # the plain autoencoder is exempt
        (ShrunkenWithPrior, 1.5e-3, Gaussian(2), None),
        (ShrunkenWithPrior, 1e-5, Gaussian(2, 0.05), None),  # what counts is the prior's variance
        (ShrunkenWithPrior, 1e-6, Gaussian(2), 1150),
    ],
)
def test_codes_that_have_not_collapsed_go_on(
    kind: type[Model], variance: float, prior: Gaussian | None, revives_at: int | None, images, make_recipe
) -> None:
    model = kind(2, (2,))
    model.variance, model.revives_at = variance, revives_at
    if prior is not None:
        model.prior = prior
    reports = run(model, images[:100], make_recipe(model, 1300, SGD(1e-4), batch_size=2))
    assert reports[-1].step == 1300


class NoReconstruction(AdversarialAutoencoder):
    """A real collapse: all that moves the encoder pulls every code to zero."""

    def updates(self, batch: Images) -> Updates:
        code = self.encoder(batch.images)
        yield "reconstruction", self.reconstruction_loss(self.decoder(code), batch.images) * 0 + code.square().sum()
        code = self.encoder(batch.images)
        real = self.prior.sample(len(code))
        yield "discriminator", real_fake_loss(self.discriminator, real=real, fake=code.detach())
        yield "generator", fool_loss(self.discriminator, code)


def test_a_real_collapse_is_seen(images, make_model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "COLLAPSE_STEPS", 200)
    model = make_model(NoReconstruction, hidden=(4,))
    recipe = Recipe(
        {"reconstruction": SGD(0.01), "discriminator": SGD(1e-6), "generator": SGD(1e-6)}, 1000, batch_size=10
    )
    with pytest.raises(TrainingError, match=r"collapsed: for 200 steps up to step (4|5)00"):
        run(model, images, recipe)


# Precision


class Interrupting(AdversarialAutoencoder):
    count = 0

    def updates(self, batch: Images) -> Updates:
        for name, loss in super().updates(batch):
            self.count += 1
            self.dtypes = {parameter.dtype for parameter in self.parameters()}
            if self.count == 17:
                raise KeyboardInterrupt
            yield name, loss


@pytest.mark.parametrize("bfloat16", [False, True])
def test_an_interrupt_leaves_an_ordinary_model(bfloat16: bool, images, make_model, make_recipe) -> None:
    model = make_model(Interrupting)
    before, state = weights(model), torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        run(model, images, make_recipe(model), bfloat16=bfloat16)
    assert torch.equal(torch.get_rng_state(), state) and not torch.is_autocast_enabled("cpu") and not model.training
    assert model.dtypes == {torch.bfloat16 if bfloat16 else torch.float32}
    after = weights(model)
    assert all(end.dtype == torch.float32 and not torch.equal(end, before[name]) for name, end in after.items())
    assert any(not torch.equal(end, end.bfloat16().float()) for end in after.values())  # it is the masters


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_float32_masters_at_each_yield(kind: type[Model], images, make_model, make_recipe) -> None:
    model = make_model(kind)
    parameters = list(model.parameters())
    for _ in train(model, images, make_recipe(model), report_every=5, device="cpu", bfloat16=True):
        assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
        assert [id(parameter) for parameter in model.parameters()] == [id(parameter) for parameter in parameters]
        assert any(not torch.equal(p, p.bfloat16().float()) for p in model.parameters())
        assert model.encode(images.images).dtype == model.decode(torch.zeros(1, 2)).dtype == torch.float32
        assert all(parameter.grad is None for parameter in model.parameters())


def test_masters_add_up_what_bfloat16_cannot_resolve(images, make_model, make_recipe) -> None:
    ends = {}
    for bfloat16 in (False, True):
        model = make_model(Autoencoder)
        before = model.decoder[0].weight.detach().clone()
        run(model, images, make_recipe(model, 60, SGD(3e-7)), bfloat16=bfloat16)
        ends[bfloat16] = model.decoder[0].weight.detach() - before
    assert (ends[True] / before).abs().max() < 2**-8  # rounded to bfloat16 after each step, nothing would move
    torch.testing.assert_close(ends[True], ends[False], rtol=0, atol=0.03 * ends[False].abs().max().item())


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_trains_as_float32_does(kind: type[Model], images, make_model, make_recipe) -> None:
    losses = {}
    for bfloat16 in (False, True):
        model = make_model(kind)
        losses[bfloat16] = run(model, images, make_recipe(model, 60), bfloat16=bfloat16)[-1].losses
    assert losses[True] == pytest.approx(losses[False], rel=0.02)
    assert losses[True] != losses[False]


@pytest.mark.parametrize("bfloat16", [False, True])
def test_autocast_does_not_leak(bfloat16: bool, images, make_model, make_recipe) -> None:
    model, inside = make_model(), make_model()
    for _ in train(model, images, make_recipe(model), report_every=5, device="cpu", bfloat16=bfloat16):
        assert not torch.is_autocast_enabled("cpu") and torch.is_autocast_cache_enabled()
        assert model.encoder(images.images).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        for _ in train(inside, images, make_recipe(inside), report_every=5, device="cpu", bfloat16=bfloat16):
            assert torch.is_autocast_enabled("cpu")
    assert same(weights(model), weights(inside))


class SeesConvolutions(Autoencoder):
    """Writes down whether a GPU's convolutions would give the same bits each time."""

    def __init__(self, dimensions: int = 2, hidden: tuple[int, ...] = (2,)):
        super().__init__(dimensions, hidden)
        self.seen: list[bool] = []

    def updates(self, batch: Images) -> Updates:
        self.seen.append(torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark)
        yield from super().updates(batch)


@pytest.mark.parametrize("of_caller", [False, True])
def test_convolutions_give_the_same_bits_each_time_in_steps_alone(
    of_caller: bool, images, make_model, make_recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", of_caller)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", not of_caller)
    model = make_model(SeesConvolutions)
    for _ in train(model, images, make_recipe(model, steps=2), report_every=1, device="cpu"):
        assert torch.backends.cudnn.deterministic == of_caller != torch.backends.cudnn.benchmark
    assert model.seen == [True, True]


def test_a_caller_without_gradients_can_train(images, make_model, make_recipe) -> None:
    model, inside = make_model(), make_model()
    run(model, images, make_recipe(model))
    with torch.no_grad():
        for _ in train(inside, images, make_recipe(inside), report_every=5, device="cpu", bfloat16=False):
            assert not torch.is_grad_enabled()
    assert same(weights(model), weights(inside))


def test_losses_are_float32_and_products_bfloat16(images, make_model, make_recipe) -> None:
    seen = []

    class Dtypes(AdversarialAutoencoder):
        def updates(self, batch: Images) -> Updates:
            seen.append(self.encoder(batch.images).dtype)
            for name, loss in super().updates(batch):
                seen.append(loss.dtype)
                yield name, loss

    model = make_model(Dtypes)
    run(model, images, make_recipe(model, 1), bfloat16=True)
    assert seen == [torch.bfloat16, *3 * [torch.float32]]


# Batch-norm


class Normalized(AdversarialAutoencoder):
    """Batch-norm in encoder and decoder."""

    def __init__(self, prior: Gaussian, hidden: tuple[int, ...] = (16,)):
        super().__init__(prior, hidden)
        self.encoder = nn.Sequential(nn.Linear(784, 16), nn.BatchNorm1d(16, momentum=0.3), nn.ReLU(), nn.Linear(16, 2))
        self.decoder = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 784))


def statistics(model: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


@pytest.mark.parametrize("is_training", [False, True])
def test_batch_norm_statistics_are_those_of_one_pass(is_training: bool, digits, make_model) -> None:
    model = make_model(Normalized).train(is_training)
    model.encode(digits.train.images[:50] * 3)  # what was gathered before does not count
    images, state, before = digits.train.images[:2000], torch.get_rng_state(), weights(model)
    recompute_batch_norm(model, images)
    assert torch.equal(torch.get_rng_state(), state) and same(weights(model), before)
    assert model.training is is_training and model.encoder[1].training is is_training
    with torch.no_grad():
        of_encoder = model.encoder[0](images)
        torch.manual_seed(0)
        of_decoder = model.decoder[0](model.prior.sample(10_000))
    for layer, inputs in ((model.encoder[1], of_encoder), (model.decoder[1], of_decoder)):
        torch.testing.assert_close(layer.running_mean, inputs.mean(0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(layer.running_var, inputs.var(0), rtol=5e-3, atol=1e-5)
    first = statistics(model)
    recompute_batch_norm(model, images)
    assert same(statistics(model), first)


class NormalizedWithNoise(Normalized):
    """Noise and dropout around the encoder's batch-norm."""

    def __init__(self, prior: Gaussian, hidden: tuple[int, ...] = (16,)):
        super().__init__(prior, hidden)
        self.encoder = nn.Sequential(GaussianNoise(5.0), *self.encoder[:-1], nn.Dropout(0.9), self.encoder[-1])


def test_batch_norm_statistics_are_those_of_clean_images(digits, make_model) -> None:
    """Neither noise nor dropout is on, and every layer comes back in the mode that it was in."""
    noisy = make_model(NormalizedWithNoise)
    clean = copy.deepcopy(noisy)
    clean.encoder[0], clean.encoder[4] = nn.Identity(), nn.Identity()
    noisy.train()
    noisy.encoder[2].eval(), noisy.decoder.eval(), noisy.decoder[1].train(), noisy.discriminator.eval()
    modes = [module.training for module in noisy.modules()]
    assert len(set(modes)) == 2
    for model in (noisy, clean):
        recompute_batch_norm(model, digits.train.images[:2000])
    assert [module.training for module in noisy.modules()] == modes
    for ours, theirs in ((noisy.encoder[2], clean.encoder[2]), (noisy.decoder[1], clean.decoder[1])):
        assert torch.equal(ours.running_mean, theirs.running_mean)
        assert torch.equal(ours.running_var, theirs.running_var)


class OfOtherNames(Autoencoder):
    """Encodes by a network that is not called encoder."""

    def __init__(self, dimensions: int = 2, hidden: tuple[int, ...] = (16,)):
        super().__init__(dimensions, hidden)
        self.reader = nn.Sequential(nn.Linear(784, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, dimensions))
        self.label_discriminator = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def test_a_network_whose_statistics_would_be_lost_is_refused(images: Images) -> None:
    model = OfOtherNames()
    with pytest.raises(TrainingError, match=r"no batch-norm statistics for reader\.1: .* `encoder` and `decoder`"):
        recompute_batch_norm(model, images.images)


def test_noise_and_batch_norm_train_together(images, make_model, make_recipe) -> None:
    """The noise is on in each step, also after a report, and off in the statistics that come with it."""
    model = make_model(NormalizedWithNoise)
    inputs: list[Tensor] = []
    hook = model.encoder[1].register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0]))
    for report in train(model, images, make_recipe(model, 6), report_every=3, device="cpu", bfloat16=False):
        noisy, clean = inputs[:6], inputs[6:]
        assert report.step in (3, 6) and all(batch.std() > 4 for batch in noisy)  # two passes of each step
        assert torch.equal(torch.cat(clean), images.images)
        inputs.clear()
    hook.remove()
    with torch.no_grad():
        hidden = model.encoder[1](images.images)
    torch.testing.assert_close(model.encoder[2].running_mean, hidden.mean(0), rtol=1e-4, atol=1e-5)


def test_batch_norm_keeps_its_momentum(images, make_model) -> None:
    model = make_model(Normalized)
    recompute_batch_norm(model, images.images)
    assert model.encoder[1].momentum == 0.3


def test_without_batch_norm_nothing_is_computed(images, make_model) -> None:
    model = make_model()
    model.encode = None
    recompute_batch_norm(model, images.images)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_no_training_bit_depends_on_batch_norm_statistics(bfloat16: bool, images, make_model, make_recipe) -> None:
    model, disturbed = make_model(Normalized), make_model(Normalized)
    run(model, images, make_recipe(model), bfloat16=bfloat16)
    end = statistics(model)
    for report in train(disturbed, images, make_recipe(model), report_every=3, device="cpu", bfloat16=bfloat16):
        if report.step < 20:
            for buffer in disturbed.buffers():
                buffer.fill_(100)
    assert same(weights(disturbed), weights(model)) and same(statistics(disturbed), end)
    recompute_batch_norm(model, images.images)  # the last report came with fresh statistics
    assert same(statistics(model), end)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


# Reports


def test_models_train_in_training_mode_and_are_given_out_in_evaluation_mode(images, make_model, make_recipe) -> None:
    modes = []

    class Modes(Autoencoder):
        def updates(self, batch: Images) -> Updates:
            modes.append(self.encoder.training)
            yield from super().updates(batch)

    model = make_model(Modes)
    for _ in train(model, images, make_recipe(model, 10), report_every=3, device="cpu"):
        assert not any(module.training for module in model.modules())
    assert modes == 10 * [True]


def test_seconds_count_training_alone(images, make_model, make_recipe) -> None:
    model = make_model()
    seconds = [0.0]
    started = time.perf_counter()
    for report in train(model, images, make_recipe(model), report_every=5, device="cpu"):
        time.sleep(0.1)
        seconds.append(report.seconds)
    assert seconds == sorted(set(seconds))
    assert seconds[-1] <= time.perf_counter() - started - 0.4 + 0.01


def test_losses_are_means_since_the_last_report(images, make_model, make_recipe) -> None:
    single, pairs = make_model(), make_model()
    one = run(single, images, make_recipe(single, 6), report_every=1)
    two = run(pairs, images, make_recipe(pairs, 6), report_every=2)
    for index, report in enumerate(two):
        for name, loss in report.losses.items():
            assert loss == pytest.approx((one[2 * index].losses[name] + one[2 * index + 1].losses[name]) / 2)


def size_of_codes(images: Images) -> Callable[[Model], dict[str, float]]:
    """A measure that draws random numbers, and looks at the model as its caller finds it."""

    def measure(model: Model) -> dict[str, float]:
        assert not model.training and not torch.is_grad_enabled()
        codes = model.encode(images.images[torch.randperm(len(images))[:50]])
        assert codes.dtype == torch.float32
        return {"size": float(codes.abs().mean())}

    return measure


@pytest.mark.parametrize("kind", KINDS)
def test_measures_stand_in_the_reports_and_change_no_bit(kind: type[Model], images, make_model, make_recipe) -> None:
    plain, measured = make_model(kind), make_model(kind)
    assert all(report.measures == {} for report in run(plain, images, make_recipe(plain), report_every=5))
    reports = []
    for report in train(
        measured, images, make_recipe(measured), report_every=5, measure=size_of_codes(images), device="cpu",
        bfloat16=False,
    ):  # fmt: skip
        reports.append(report)
        assert report.measures["size"] == pytest.approx(measured.encode(images.images).abs().mean().item(), rel=0.3)
    assert len({report.measures["size"] for report in reports}) == len(reports) == 4
    assert same(weights(plain), weights(measured))


def test_a_resumed_run_repeats_the_measures_of_the_models_that_are_gone(
    tmp_path: Path, images, make_model, make_recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "STATE_EVERY_SECONDS", 0.0)
    model = make_model()
    arguments = {"report_every": 4, "state": tmp_path / "state"}
    expected = run(model, images, make_recipe(model), steps=12, measure=size_of_codes(images), **arguments)
    asked = []

    def measure(model: Model) -> dict[str, float]:
        asked.append(model)
        return {"size": -1.0}

    again = make_model(seed=1)
    reports = run(again, images, make_recipe(again), measure=measure, **arguments)
    assert without_seconds(reports[:3]) == without_seconds(expected)
    assert [report.measures for report in reports[3:]] == [{"size": -1.0}] * 2 and asked == [again, again]


def test_the_progress_bar_shows_on_demand(images, make_model, make_recipe, capsys: pytest.CaptureFixture) -> None:
    model = make_model()
    run(model, images, make_recipe(model))
    assert capsys.readouterr().err == ""
    run(model, images, make_recipe(model), progress=True)
    assert "/20" in capsys.readouterr().err


# The state


def all_of_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A state file's tensors and position, without what the clock on the wall has made."""
    tensors, position = read_file(path)
    del position["seconds"]
    for report in position["reports"]:
        del report["seconds"]
    return tensors, position


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("optimizer", [SGD(0.005, 0.9), SGD(0.01), Adam(0.001)], ids=["momentum", "sgd", "adam"])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_resumed_run_ends_with_the_same_bits(
    kind: type[Model], optimizer: SGD | Adam, bfloat16: bool, tmp_path: Path, images, make_model, make_recipe
) -> None:
    recipe = make_recipe(make_model(kind), 20, optimizer, Cosine(3, 20))

    def go(model: Model, path: Path, steps: int) -> list[Report]:
        return run(model, images, recipe, steps=steps, state=path, report_every=4, bfloat16=bfloat16, seed=2)

    unbroken = make_model(kind)
    expected = go(unbroken, tmp_path / "unbroken", 20)
    for steps in (4, 12, 20):
        resumed = make_model(kind, seed=0 if steps == 4 else steps)  # a state's weights take the place of its own
        torch.manual_seed(steps)
        reports = go(resumed, tmp_path / "resumed", steps)
        assert without_seconds(reports) == without_seconds(expected[: steps // 4])
        assert [report.seconds for report in reports] == sorted(report.seconds for report in reports)
    assert same(weights(resumed), weights(unbroken))
    tensors, position = all_of_state(tmp_path / "resumed")
    expected_tensors, expected_position = all_of_state(tmp_path / "unbroken")
    assert same(tensors, expected_tensors) and position == expected_position
    optimizers = {name.split("/")[-1] for name in tensors if name.startswith("optimizers/")}
    expected_keys = {"exp_avg", "exp_avg_sq", "step"} if isinstance(optimizer, Adam) else {"momentum_buffer"}
    assert optimizers == (expected_keys if optimizer != SGD(0.01) else set())


def with_labels(seed: int = 0, input_noise: float = 0.3) -> LabelInformedAutoencoder:
    torch.manual_seed(seed)
    model = LabelInformedAutoencoder(GaussianMixture(), (8,), input_noise=input_noise)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model


RISING = {"labeled_weight": Rise(0.1, 3, 17)}
FADING = {"GaussianNoise": Cosine(2, 15, 0.0), "RandomAffine": Cosine(4, 18, 0.5)}


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("by_clock", [{}, {"noise": FADING, "weights": RISING}], ids=["constant", "by the clock"])
def test_a_resumed_run_on_two_sets_ends_with_the_same_bits(
    by_clock: dict[str, Any], bfloat16: bool, tmp_path: Path, images, make_recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off inside of passes over both sets, over one, and between them, while noise falls and a weight rises."""
    monkeypatch.setattr(training, "STATE_EVERY_SECONDS", 0.0)
    sets = images[:350], images[350:]  # passes of three and of two minibatches
    unbroken = with_labels()
    recipe = replace(make_recipe(unbroken, 20, schedule=WarmUp(8, Cosine(10, 20))), **by_clock)

    def go(model: Model, path: Path, steps: int) -> list[Report]:
        return run(model, sets, recipe, steps=steps, state=path, report_every=1, bfloat16=bfloat16, seed=2)

    expected = go(unbroken, tmp_path / "unbroken", 20)
    for steps in (1, 5, 6, 8, 9, 16, 20):
        resumed = with_labels(seed=0 if steps == 1 else steps)
        reports = go(resumed, tmp_path / "resumed", steps)
        assert without_seconds(reports) == without_seconds(expected[:steps])
    assert same(weights(resumed), weights(unbroken))
    tensors, position = all_of_state(tmp_path / "resumed")
    expected_tensors, expected_position = all_of_state(tmp_path / "unbroken")
    assert same(tensors, expected_tensors) and position == expected_position


@pytest.mark.parametrize("by_clock", [{"noise": FADING}, {"weights": RISING}], ids=["noise", "weights"])
def test_noise_and_weights_by_the_clock_change_the_run(by_clock: dict[str, Any], images, make_recipe) -> None:
    plain, other = with_labels(), with_labels()
    for model, changes in ((plain, {}), (other, by_clock)):
        run(model, (images[:350], images[350:]), replace(make_recipe(model, 6), **changes))
    assert not same(weights(plain), weights(other))


@pytest.mark.parametrize("change", ["first", "second", "swapped", "others", "noise"])
def test_the_state_of_a_run_on_other_sets_or_with_other_noise_is_refused(
    change: str, tmp_path: Path, images, make_recipe
) -> None:
    model = with_labels()
    recipe = make_recipe(model, 4)
    run(model, (images[:400], images[400:]), recipe, state=tmp_path / "state")
    other = {
        "first": (images[:300], images[400:]),
        "second": (images[:400], images[500:]),
        "swapped": (images[400:], images[:400]),
        "others": (images[100:500], images[400:]),
        "noise": (images[:400], images[400:]),
    }[change]
    with pytest.raises(TrainingError, match="state of another run .*Choose another folder or delete it"):
        run(with_labels(input_noise=0.5 if change == "noise" else 0.3), other, recipe, state=tmp_path / "state")


class OfItsClass(Autoencoder):
    prior = Gaussian(2)


def test_the_state_of_a_run_with_another_prior_is_refused_wherever_the_prior_stands(
    tmp_path: Path, images, make_model, make_recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(OfItsClass)
    recipe = make_recipe(model, 4)
    run(model, images, recipe, state=tmp_path / "state")
    monkeypatch.setattr(OfItsClass, "prior", Gaussian(2, 3.0))
    with pytest.raises(TrainingError, match="state of another run"):
        run(make_model(OfItsClass), images, recipe, state=tmp_path / "state")


def test_a_model_may_say_that_it_has_no_prior(images, make_model, make_recipe) -> None:
    model = make_model(Autoencoder)
    model.prior = None
    assert run(model, images, make_recipe(model, 4))[-1].step == 4


def test_a_run_left_at_any_report_resumes(
    tmp_path: Path, images, make_model, make_recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "STATE_EVERY_SECONDS", 0.0)
    unbroken = make_model()
    recipe = make_recipe(unbroken, 20)
    expected = run(unbroken, images, recipe, report_every=3)
    for life in range(7):
        model = make_model(seed=life)
        reports = []
        for report in train(
            model, images, recipe, report_every=3, state=tmp_path / "state", device="cpu", bfloat16=False
        ):
            reports.append(report)
            if len(reports) > life:  # the caller breaks off after one new report
                break
    assert without_seconds(reports) == without_seconds(expected)
    assert same(weights(model), weights(unbroken))


def test_a_run_that_was_to_be_shorter_goes_on_as_if_it_were_not(
    tmp_path: Path, images, make_model, make_recipe
) -> None:
    unbroken, resumed = make_model(), make_model()
    recipe = make_recipe(unbroken, 20)
    expected = run(unbroken, images, recipe, report_every=4, steps=10)
    shorter = run(resumed, images, recipe, report_every=4, steps=6, state=tmp_path / "state")
    assert [report.step for report in shorter] == [4, 6]
    reports = run(make_model(seed=1), images, recipe, report_every=4, steps=10, state=tmp_path / "state")
    assert without_seconds(reports) == without_seconds(expected)


def test_a_state_beyond_the_steps_asked_for_is_refused(tmp_path: Path, images, make_model, make_recipe) -> None:
    model = make_model()
    run(model, images, make_recipe(model), steps=6, state=tmp_path / "state")
    with pytest.raises(TrainingError, match="is at step 6, beyond these 2 steps: ask for more or delete it"):
        run(make_model(), images, make_recipe(model), steps=2, state=tmp_path / "state")


def test_a_finished_run_is_not_run_again(tmp_path: Path, images, make_model, make_recipe) -> None:
    first, second = make_model(Normalized), make_model(Normalized, seed=1)
    reports = run(first, images, make_recipe(first), state=tmp_path / "state", report_every=6)
    content = (tmp_path / "state").read_bytes()

    def refuse(module: nn.Module, inputs: tuple) -> None:
        raise AssertionError("a step is done")

    second.discriminator.register_forward_pre_hook(refuse)
    again = []
    for report in train(
        second, images, make_recipe(second), state=tmp_path / "state", report_every=6, device="cpu", bfloat16=False
    ):
        again.append(report)
        assert not any(module.training for module in second.modules())
    assert again == reports and (tmp_path / "state").read_bytes() == content
    assert same(weights(second), weights(first)) and same(statistics(second), statistics(first))


def test_states_are_written_as_often_as_asked(
    tmp_path: Path, images, make_model, make_recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder" / "state"
    model = make_model()

    def written() -> list[int]:
        steps = []
        for _ in train(model, images, make_recipe(model, 250), report_every=60, state=path, device="cpu"):
            steps.append(read_file(path)[1]["step"])
        path.unlink()
        return steps

    assert written() == [60, 60, 60, 60, 250]  # within 30 seconds, only the first and the end
    monkeypatch.setattr(training, "STATE_EVERY_SECONDS", 0.0)
    assert written() == [60, 120, 180, 240, 250]


def test_the_state_of_a_run_with_another_weight_by_the_clock_is_refused(
    tmp_path: Path, images, make_model, make_recipe
) -> None:
    first, other = make_model(Weighted), make_model(Weighted)
    recipe = replace(make_recipe(first), weights={"share_weight": Rise(0.5, 2, 10)})
    run(first, images, recipe, steps=5, state=tmp_path / "state")
    with pytest.raises(TrainingError, match="is the state of another run"):
        run(other, images, replace(recipe, weights={"share_weight": Rise(0.4, 2, 10)}), state=tmp_path / "state")


@pytest.mark.parametrize(
    "change", ["seed", "rate", "schedule", "steps", "batch", "noise", "kind", "images", "report_every"]
)
def test_the_state_of_another_run_is_refused(change: str, tmp_path: Path, images, make_model, make_recipe) -> None:
    path = tmp_path / "state"
    model, other = (noisy(make_model) if change == "noise" else make_model() for _ in range(2))
    run(model, images, make_recipe(model), state=path)
    content = path.read_bytes()
    if change == "kind":
        other = make_model(VariationalAutoencoder)
    before = weights(other)
    recipes = {
        "rate": lambda: make_recipe(other, 20, SGD(0.006, 0.5)),
        "schedule": lambda: make_recipe(other, 20, schedule=Drops(at=(3,))),
        "steps": lambda: make_recipe(other, 21),
        "batch": lambda: make_recipe(other, 20, batch_size=50),
        "noise": lambda: replace(make_recipe(other), noise=Cosine(2, 10)),
    }
    recipe = recipes.get(change, lambda: make_recipe(other))()
    arguments = {"seed": 1 if change == "seed" else 0, "state": path}
    arguments |= {"report_every": 7} if change == "report_every" else {}
    what = {"kind": "model", "seed": "seed", "images": "images", "report_every": "report_every"}.get(change, "recipe")
    message = rf"state of another run \({what} .*Choose another folder or delete it"
    with pytest.raises(TrainingError, match=message) as refused:
        run(other, images[:500] if change == "images" else images, recipe, **arguments)
    assert change == "kind" or "; " not in str(refused.value), "nothing else is different"
    assert same(weights(other), before) and path.read_bytes() == content


@pytest.mark.parametrize("fingerprint", [{}, {"fingerprint": "another form"}])
def test_a_file_that_is_no_state_of_this_form_is_refused(
    fingerprint: dict[str, str], tmp_path: Path, images, make_model, make_recipe
) -> None:
    model = make_model()
    write_file(tmp_path / "state", {"weights": torch.zeros(1)}, fingerprint)
    with pytest.raises(TrainingError, match="state of another run .*Choose another folder or delete it"):
        run(model, images, make_recipe(model), state=tmp_path / "state")


def other_weight() -> Model:
    return VariationalAutoencoder(Gaussian(2), 0.5, (8,))


def other_prior() -> Model:
    return VariationalAutoencoder(Gaussian(2, 5.0), 1.0, (8,))


def other_size() -> Model:
    return VariationalAutoencoder(Gaussian(2), 1.0, (9,))


@pytest.mark.parametrize("other", [{"noise": 0.1}, {"dropout": 0.2}])
def test_the_state_of_a_model_with_other_noise_inside_is_refused(
    other: dict[str, float], tmp_path: Path, images, make_recipe
) -> None:
    def build(noise: float = 0.3, dropout: float = 0.1) -> Model:
        encoder = nn.Sequential(nn.Linear(784, 2), nn.Dropout(dropout), GaussianNoise(noise))
        return Autoencoder(2, networks=(encoder, nn.Sequential(nn.Linear(2, 784))))

    recipe = make_recipe(build())
    run(build(), images, recipe, steps=2, state=tmp_path / "state")
    run(build(), images, recipe, steps=3, state=tmp_path / "state")
    with pytest.raises(TrainingError, match="state of another run"):
        run(build(**other), images, recipe, steps=3, state=tmp_path / "state")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "mps", "meta"])
def test_a_device_that_there_is_not_is_refused(device: str, images, make_model, make_recipe) -> None:
    model = make_model()
    with pytest.raises(TrainingError, match=f"'{device}'"):
        next(train(model, images, make_recipe(model), device=device))


@pytest.mark.parametrize("build", [other_weight, other_prior, other_size])
def test_the_state_of_another_model_of_the_kind_is_refused(
    build: Callable[[], Model], tmp_path: Path, images, make_recipe
) -> None:
    model = VariationalAutoencoder(Gaussian(2), 1.0, (8,))
    run(model, images, make_recipe(model), state=tmp_path / "state")
    with pytest.raises(TrainingError, match="state of another run"):
        run(build(), images, make_recipe(model), state=tmp_path / "state")


@pytest.mark.parametrize(
    "damage", [lambda content: content[: len(content) // 2], lambda content: b"", lambda content: b"no tensors" * 99]
)
def test_a_damaged_state_is_refused_with_a_remedy(
    damage: Callable[[bytes], bytes], tmp_path: Path, images, make_model, make_recipe
) -> None:
    path = tmp_path / "state"
    model = make_model()
    run(model, images, make_recipe(model), state=path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TrainingError, match=f"{path} is damaged.*Delete it to start anew"):
        run(make_model(), images, make_recipe(model), state=path)
