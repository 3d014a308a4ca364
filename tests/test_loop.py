"""The loop: stale graphs, the caller's random numbers, the order of images, precision, the clock, and reports."""

import copy
import random
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from short_runs import KINDS, Pair, Updates, reports_of, run, same, weights
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.errors import TrainingError
from aae_lib.losses import fool_loss, real_fake_loss
from aae_lib.models import AdversarialAutoencoder, Autoencoder, Model, VariationalAutoencoder
from aae_lib.training import SGD, Adam, Drops

# Updates


class StaleEncoder(AdversarialAutoencoder):
    """Its generator goes back through an encoder pass from before the reconstruction moved the encoder."""

    def updates(self, batch: Images) -> Updates:
        code, stale = self.encoder(batch.images), self.encoder(batch.images)
        yield "reconstruction", self.reconstruction_loss(self.decoder(code), batch.images)
        yield "discriminator", real_fake_loss(self.discriminator, self.prior.sample(100), stale.detach())
        yield "generator", fool_loss(self.discriminator, stale)


class StaleDiscriminator(AdversarialAutoencoder):
    """Its generator goes back through the discriminator as it was before it moved."""

    def updates(self, batch: Images) -> Updates:
        yield "reconstruction", self.reconstruction_loss(self.decoder(self.encoder(batch.images)), batch.images)
        code = self.encoder(batch.images)
        fooled = fool_loss(self.discriminator, code)
        yield "discriminator", real_fake_loss(self.discriminator, self.prior.sample(100), code.detach())
        yield "generator", fooled


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("optimizer", [SGD(0.01, 0.9), Adam(0.001)])
@pytest.mark.parametrize(("kind", "moved"), [(StaleEncoder, "encoder"), (StaleDiscriminator, "discriminator")])
def test_a_stale_graph_raises(
    kind: type[Model], moved: str, optimizer, bfloat16, images, make_model, make_recipe
) -> None:
    model = make_model(kind)
    with pytest.raises(TrainingError, match=rf"generator.*stale.*moved {moved}\."):
        run(model, images, make_recipe(model, optimizer=optimizer), bfloat16=bfloat16)


class Transposed(nn.Linear):
    """A layer with weights ``[inputs, outputs]``, so that their gradient lies in memory the other way round."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(outputs, inputs, bias=False)

    def forward(self, units: Tensor) -> Tensor:
        return nn.functional.linear(units, self.weight.t().contiguous())


@pytest.mark.parametrize("optimizer", [SGD(0.01, 0.9), Adam(0.01)])
def test_updates_are_those_of_plain_pytorch(optimizer: SGD | Adam, images, make_model, make_recipe) -> None:
    """However gradients lie in memory, and where two networks share a weight."""
    model = make_model(Autoencoder)
    model.encoder = nn.Sequential(Transposed(784, 32), nn.Linear(32, 32), nn.Linear(32, 2))
    model.decoder[0].bias = model.encoder[1].bias
    plain = copy.deepcopy(model)
    run(model, images[:100], make_recipe(model, 3, optimizer))
    if isinstance(optimizer, SGD):
        steps = torch.optim.SGD(plain.parameters(), lr=0.01, momentum=0.9, fused=False, foreach=False)
    else:
        steps = torch.optim.Adam(plain.parameters(), lr=0.01, fused=False, foreach=False)
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
def test_the_callers_random_numbers_and_the_runs_are_apart(kind: type[Model], images, make_model, make_recipe) -> None:
    quiet, busy = make_model(kind), make_model(kind)
    run(quiet, images, make_recipe(quiet), report_every=5)
    before = random_states()
    for _ in reports_of(busy, images, make_recipe(busy), report_every=5):
        assert random_states() == before
        torch.manual_seed(3)
        busy.decode(busy.encode(images.images)), torch.rand(10), np.random.rand(3), random.random()
        before = random_states()
    assert random_states() == before
    assert same(weights(quiet), weights(busy))


@pytest.mark.parametrize(("kind", "bfloat16"), [(AdversarialAutoencoder, False), (VariationalAutoencoder, True)])
def test_how_often_is_reported_changes_no_bit(kind, bfloat16, images, make_model, make_recipe, monkeypatch) -> None:
    monkeypatch.setattr("aae_lib.training.run.PAUSE_EVERY", 10)
    ends, means = [], []
    for every in (1, 7, 15, 600):
        model = make_model(kind)
        reports = run(model, images, make_recipe(model, 30), report_every=every, bfloat16=bfloat16)
        assert [report.step for report in reports] == [*range(every, 30, every), 30]
        steps = np.diff([0, *(report.step for report in reports)])
        means.append({name: np.average([r.losses[name] for r in reports], weights=steps) for name in kind.moves})
        ends.append(weights(model))
    assert all(same(end, ends[0]) for end in ends)
    assert all(mean == pytest.approx(means[0]) for mean in means)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_bits_and_others_do_not(kind: type[Model], images, make_model, make_recipe) -> None:
    ends = []
    for seed in (1, 1, 2, 4293):
        model = make_model(kind)
        run(model, images, make_recipe(model), seed=seed)
        ends.append(weights(model))
    assert same(ends[0], ends[1]) and not any(same(ends[0], end) for end in ends[2:])


# The order of images


def numbered(count: int) -> Images:
    """Images with their number as label and first pixel."""
    images = torch.zeros(count, 784)
    images[:, 0] = torch.arange(count) / count
    return Images(images, torch.arange(count))


@pytest.mark.parametrize("seed", [0, 3, 4293])
@pytest.mark.parametrize("counts", [(60, 30), (60, 60), (65, 48), (10, 80)])
def test_each_pass_over_a_set_has_an_order_of_its_own(seed: int, counts, make_model, make_recipe) -> None:
    """The shipped models were trained in these orders: others would change their bits."""
    model, numbers = make_model(Pair), set()
    run(model, [numbered(count) for count in counts], make_recipe(model, 24, SGD(1e-9), batch_size=10), seed=seed)
    for index, (count, seen) in enumerate(zip(counts, model.seen, strict=True)):
        expected = []
        for epoch in range(24):
            numbers.add(seed * 1_000_003 + index * 500_000 + epoch)
            generator = torch.Generator().manual_seed(seed * 1_000_003 + index * 500_000 + epoch)
            expected.append(torch.randperm(count, generator=generator)[: count // 10 * 10])
        assert torch.equal(torch.cat(seen), torch.cat(expected)[:240])
    assert len(numbers) == 48 and max(numbers) < 2**32, "torch ignores the rest of a seed"


# Precision


class Interrupting(AdversarialAutoencoder):
    count = 0

    def updates(self, batch: Images) -> Updates:
        for update in super().updates(batch):
            self.count += 1
            if self.count == 17:
                raise KeyboardInterrupt
            yield update


@pytest.mark.parametrize("bfloat16", [False, True])
def test_an_interrupt_leaves_an_ordinary_model(bfloat16: bool, images, make_model, make_recipe) -> None:
    model = make_model(Interrupting)
    before, state = weights(model), torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        run(model, images, make_recipe(model), bfloat16=bfloat16)
    assert torch.equal(torch.get_rng_state(), state) and not torch.is_autocast_enabled("cpu") and not model.training
    assert not any(torch.equal(end, before[name]) for name, end in weights(model).items())


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_trains_as_float32_does_and_weights_stay_float32(kind, images, make_model, make_recipe) -> None:
    losses = {}
    for bfloat16 in (False, True):
        model = make_model(kind)
        parameters = list(map(id, model.parameters()))
        for report in reports_of(model, images, make_recipe(model, 30), report_every=15, bfloat16=bfloat16):
            losses[bfloat16] = report.losses
            assert list(map(id, model.parameters())) == parameters
            assert all(p.dtype == torch.float32 and p.grad is None for p in model.parameters())
            assert any(not torch.equal(p, p.bfloat16().float()) for p in model.parameters())
            assert model.encode(images.images).dtype == model.decode(torch.zeros(1, 2)).dtype == torch.float32
    assert losses[True] == pytest.approx(losses[False], rel=0.02) and losses[True] != losses[False]


@pytest.mark.parametrize("bfloat16", [False, True])
def test_neither_autocast_nor_no_grad_leaks_in_or_out(bfloat16: bool, images, make_model, make_recipe) -> None:
    model, inside, dtypes = make_model(), make_model(), set()
    inside.encoder.register_forward_hook(lambda network, inputs, output: dtypes.add(output.dtype))
    for _ in reports_of(model, images, make_recipe(model), report_every=5, bfloat16=bfloat16):
        assert not torch.is_autocast_enabled("cpu") and torch.is_autocast_cache_enabled()
        assert model.encoder(images.images).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        for _ in reports_of(inside, images, make_recipe(inside), report_every=5, bfloat16=bfloat16):
            assert torch.is_autocast_enabled("cpu") and not torch.is_grad_enabled()
    assert dtypes == {torch.bfloat16 if bfloat16 else torch.float32}
    assert same(weights(model), weights(inside))


# Reports


@pytest.mark.parametrize(("batch_size", "dropped_at"), [(100, 6), (50, 12), (200, 3), (300, 2)])
def test_the_clock_counts_hundreds_of_images(batch_size: int, dropped_at: int, images, make_model, make_recipe) -> None:
    model = make_model(Autoencoder)
    recipe = make_recipe(model, 14, SGD(0.01), Drops(at=(6,), factor=0.0), batch_size)
    states, reports = [weights(model)], []
    for report in reports_of(model, images, recipe, report_every=1):
        states.append(weights(model))
        reports.append(report)
    assert [report.clock for report in reports] == [step * batch_size / 100 for step in range(1, 15)]
    assert reports[-1].epoch == pytest.approx(14 * batch_size / 600)
    rates = [report.learning_rates["reconstruction"] for report in reports]
    assert rates == [0.01 * (step < dropped_at) for step in range(1, 15)]
    moved = [not same(before, after) for before, after in zip(states[:-1], states[1:], strict=True)]
    assert moved == [step < dropped_at for step in range(14)]


def test_reports_hold_means_since_the_last_and_seconds_of_training_alone(images, make_model, make_recipe) -> None:
    single, pairs, modes = make_model(), make_model(), []
    one = run(single, images, make_recipe(single, 6), report_every=1)
    pairs.decoder.register_forward_hook(lambda network, inputs, output: modes.append(network.training))
    two, started = [], time.perf_counter()
    for report in reports_of(pairs, images, make_recipe(pairs, 6), report_every=2):
        assert not any(module.training for module in pairs.modules())
        two.append(report)
        time.sleep(0.1)
    assert modes == 6 * [True]
    assert 0 < two[0].seconds < two[1].seconds < two[2].seconds < time.perf_counter() - started - 0.3
    for index, report in enumerate(two):
        for name, loss in report.losses.items():
            assert loss == pytest.approx((one[2 * index].losses[name] + one[2 * index + 1].losses[name]) / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_measures_stand_in_the_reports_and_change_no_bit(kind: type[Model], images, make_model, make_recipe) -> None:
    def measure(model: Model) -> dict[str, Tensor]:
        assert not model.training and not torch.is_grad_enabled()
        return {"size": model.encode(images.images[torch.randperm(600)[:50]]).abs().mean()}

    plain, measured = make_model(kind), make_model(kind)
    assert all(report.measures == {} for report in run(plain, images, make_recipe(plain), report_every=5))
    reports = run(measured, images, make_recipe(measured), report_every=5, measure=measure)
    sizes = [report.measures["size"] for report in reports]
    assert len(set(sizes)) == 4 and all(type(size) is float for size in sizes)
    assert same(weights(plain), weights(measured))


def test_the_progress_bar_shows_on_demand(images, make_model, make_recipe, capsys: pytest.CaptureFixture) -> None:
    model = make_model()
    run(model, images, make_recipe(model))
    assert capsys.readouterr().err == ""
    run(model, images, make_recipe(model), progress=True)
    assert "/20" in capsys.readouterr().err


def test_two_threads_that_train_do_not_change_each_others_bits(images, make_model, make_recipe) -> None:
    def ended(seed: int) -> dict:
        model = make_model()
        run(model, images, make_recipe(model, 60), seed=seed, report_every=4, measure=lambda _: {"a": torch.rand(1)})
        return weights(model)

    expected = [ended(seed) for seed in range(2)]
    with ThreadPoolExecutor(2) as threads:
        for found, alone in zip(threads.map(ended, range(2)), expected, strict=True):
            assert same(found, alone)
