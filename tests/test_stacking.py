"""Stacked runs: each goes as it would alone, whoever is beside it, and they end, resume and fail together."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import TINY, TINY_CLUSTERS, TINY_MAPS, TINY_WITH_LABELS, run, with_large_weights
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from aae_lib import training
from aae_lib.data import Digits, Images
from aae_lib.experiments import find, read_evidence, train_seeds, weights_path
from aae_lib.experiments.evidence import evidence_path
from aae_lib.models import (
    AdversarialAutoencoder,
    AdversarialGeneratorEncoder,
    AdversariallyLearnedInference,
    Autoencoder,
    GenerativeAdversarialNetwork,
    LabelInformedAutoencoder,
    Model,
)
from aae_lib.networks import (
    BatchNorm,
    Dropout,
    JointDiscriminator,
    OntoSphere,
    RandomAffine,
    TrainingNoise,
    convolutional_decoder,
    convolutional_encoder,
)
from aae_lib.priors import ClassConditionalPrior, Gaussian, GaussianMixture, UniformSphere
from aae_lib.stacking import Stack, train_stacked
from aae_lib.storage import read_file, write_file
from aae_lib.training import SGD, Adam, Cosine, Recipe, Report, Rise, TrainingError

Sets = Images | tuple[Images, ...]
STEPS = 12
SEEDS = [3, 0, 7]
D = 4  # dimensions of a code

CONVOLUTIONAL = {
    "age": lambda: AdversarialGeneratorEncoder(
        UniformSphere(D), nn.Sequential(*convolutional_encoder(D, 4), OntoSphere()), convolutional_decoder(D, 4)
    ),
    "dcgan": lambda: GenerativeAdversarialNetwork(
        Gaussian(D), convolutional_decoder(D, 4), convolutional_encoder(1, 4)
    ),
    "ali": lambda: AdversariallyLearnedInference(
        Gaussian(D), convolutional_encoder(2 * D, 4), convolutional_decoder(D, 4), JointDiscriminator(D, 4)
    ),
}
GENTLE = {"age": 1e-5, "vae-mixture": 1e-4}  # rates that do not make much of a difference in rounding
EVERY = TINY | TINY_WITH_LABELS | TINY_CLUSTERS | TINY_MAPS | CONVOLUTIONAL


def made(make: Callable[[], Model], seed: int) -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return with_large_weights(make())


def recipe_of(model: Model, optimizer: SGD | Adam = SGD(0.002, 0.5), steps: int = STEPS) -> Recipe:  # noqa: B008
    """Rates, noise and a weight that change with the clock, as far as the model has them."""
    is_noisy = any(isinstance(layer, TrainingNoise) for layer in model.modules())
    weights = {"label_weight": Rise(0.2, 1, 8)} if hasattr(model, "label_weight") else {}
    noise = Cosine(3, 9, 0.1) if is_noisy else None
    return Recipe(dict.fromkeys(model.moves, optimizer), steps, Cosine(2, 10), 50, noise, weights)


def stacked(models: list[Model], sets: list[Sets], recipe: Recipe, **arguments: Any) -> list[list[Report]]:
    """Train in float32 on the CPU."""
    return list(train_stacked(models, sets, recipe, device="cpu", **{"bfloat16": False, "seeds": SEEDS} | arguments))


def changes(model: Model, initial: Model) -> dict[str, Tensor]:
    """What training has added to each weight."""
    begun = dict(initial.named_parameters())
    return {name: (weight - begun[name]).detach() for name, weight in model.named_parameters()}


def taken_back(model: Model) -> set[str]:
    """The biases right before a batch-norm: they have no gradient but what rounding makes of zero."""
    sequences = [(name, layers) for name, layers in model.named_modules() if isinstance(layers, nn.Sequential)]
    return {
        f"{name}.{place}.bias"
        for name, layers in sequences
        for place, (_, after) in enumerate(pairwise(layers))
        if isinstance(after, BatchNorm)
    }


def check_same_change(one: Model, other: Model, initial: Model, tolerance: float = 0.01) -> None:
    ours, theirs = changes(one, initial), changes(other, initial)
    for name, change in theirs.items():
        if name in taken_back(initial):
            continue
        largest = change.abs().max()
        assert largest > 0, name
        assert (ours[name] - change).abs().max() < tolerance * largest, name


@pytest.mark.parametrize("name", EVERY)
def test_each_run_goes_as_it_would_alone(name: str, digits: Digits, tmp_path: Path) -> None:
    make, select = EVERY[name], find(name).select
    sets = [select(digits.train, seed) for seed in SEEDS]
    recipe = recipe_of(make(), SGD(GENTLE.get(name, 0.002), 0.5))
    models = [made(make, seed) for seed in SEEDS]
    reports = stacked(models, sets, recipe, report_every=5, state=tmp_path / "stack")
    tensors, _ = read_file(tmp_path / "stack")
    for index, seed in enumerate(SEEDS):
        single = made(make, seed)
        expected = run(single, sets[index], recipe, seed=seed, report_every=5, state=tmp_path / str(seed))
        of_run = {name.removeprefix(f"{index}/"): t for name, t in tensors.items() if name.startswith(f"{index}/")}
        alone, _ = read_file(tmp_path / str(seed))
        assert of_run.keys() == alone.keys()
        assert torch.equal(of_run["random/cpu"], alone["random/cpu"]), "as many numbers drawn of the same stream"
        for ours, theirs in zip((of_all[index] for of_all in reports), expected, strict=True):
            assert (ours.step, ours.learning_rates) == (theirs.step, theirs.learning_rates)
            assert ours.losses == pytest.approx(theirs.losses, rel=1e-3)
        check_same_change(models[index], single, made(make, seed))


@pytest.mark.parametrize("name", ["aae-gaussian", "semi-100"])
def test_adam_remembers_for_each_run(name: str, digits: Digits) -> None:
    make, select = EVERY[name], find(name).select
    sets = [select(digits.train, seed) for seed in SEEDS]
    recipe = recipe_of(make(), Adam(0.001))
    models = [made(make, seed) for seed in SEEDS]
    reports = stacked(models, sets, recipe)
    for index, seed in enumerate(SEEDS):
        single = made(make, seed)
        (expected,) = run(single, sets[index], recipe, seed=seed)
        assert reports[0][index].losses == pytest.approx(expected.losses, rel=1e-3)


@pytest.mark.parametrize("name", ["semi-100", "cluster-16", "dcgan"])
def test_bfloat16_keeps_float32_masters_of_each_run(name: str, digits: Digits) -> None:
    make = EVERY[name]
    sets = [find(name).select(digits.train, seed) for seed in SEEDS]
    recipe = recipe_of(make(), steps=4)
    models = [made(make, seed) for seed in SEEDS]
    reports = stacked(models, sets, recipe, bfloat16=True)
    for index, seed in enumerate(SEEDS):
        single = made(make, seed)
        (expected,) = run(single, sets[index], recipe, seed=seed, bfloat16=True)
        assert reports[0][index].losses == pytest.approx(expected.losses, rel=0.01)
        assert all(weight.dtype == torch.float32 for weight in models[index].parameters())
        check_same_change(models[index], single, made(make, seed), tolerance=0.2)


def test_who_is_beside_a_run_changes_nothing_of_it(digits: Digits, tmp_path: Path) -> None:
    make, select = EVERY["semi-100"], find("semi-100").select
    ends = []
    for number, seeds in enumerate(([5, 1], [2, 5, 9, 4])):
        models = [made(make, seed) for seed in seeds]
        sets = [select(digits.train, seed) for seed in seeds]
        stacked(models, sets, recipe_of(make()), seeds=seeds, state=tmp_path / str(number))
        place = seeds.index(5)
        ends.append((models[place], read_file(tmp_path / str(number))[0][f"{place}/random/cpu"]))
    (first, numbers), (second, other_numbers) = ends
    assert torch.equal(numbers, other_numbers)
    check_same_change(first, second, made(make, 5))


def test_checks_draw_what_they_draw_alone(images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where noise has faded away, a layer draws nothing any more, in the checks' look at the codes neither."""
    monkeypatch.setattr(training, "COLLAPSE_STEPS", 2)
    monkeypatch.setattr(training, "CHECK_EVERY_STEPS", 2)

    def noisy() -> Model:
        model = EVERY["aae-gaussian"]()
        model.encoder = nn.Sequential(RandomAffine(1.0), Dropout(0.2), *model.encoder)
        return model

    recipe = replace(recipe_of(noisy()), noise=Cosine(1, 4, final=0.0))
    stacked([made(noisy, seed) for seed in SEEDS], [images] * 3, recipe, state=tmp_path / "stack")
    tensors, _ = read_file(tmp_path / "stack")
    for index, seed in enumerate(SEEDS):
        run(made(noisy, seed), images, recipe, seed=seed, state=tmp_path / str(seed))
        alone, _ = read_file(tmp_path / str(seed))
        assert torch.equal(tensors[f"{index}/random/cpu"], alone["random/cpu"])


class Scaled(Autoencoder):
    """Its images are multiplied by a buffer, which grows with each step."""

    def __init__(self) -> None:
        super().__init__(2, (8,))
        self.register_buffer("factor", torch.rand(()))

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        self.factor.add_(0.1)
        yield from super().updates(Images(self.factor * batch.images, batch.labels))


def test_each_run_has_its_own_buffers(images: Images) -> None:
    recipe, models = recipe_of(Scaled()), [made(Scaled, seed) for seed in SEEDS]
    reports = stacked(models, [images] * 3, recipe)
    for index, seed in enumerate(SEEDS):
        alone = made(Scaled, seed)
        (expected,) = run(alone, images, recipe, seed=seed)
        assert reports[0][index].losses == pytest.approx(expected.losses, rel=1e-4)
        assert torch.equal(models[index].factor, alone.factor)


# Resume


class BrokenOffError(Exception):
    pass


@pytest.mark.parametrize(
    ("optimizer", "bfloat16"), [(SGD(0.002, 0.5), False), (SGD(0.002, 0.5), True), (Adam(0.001), False)]
)
@pytest.mark.parametrize("after", [4, 5, 9])
def test_a_resumed_stack_ends_with_the_same_bits(
    after: int, optimizer: SGD | Adam, bfloat16: bool, digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "STATE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(training, "CHECK_EVERY_STEPS", 2)
    make, select = EVERY["semi-100"], find("semi-100").select
    sets = [select(digits.train, seed) for seed in SEEDS]
    recipe = recipe_of(make(), optimizer)
    arguments = {"report_every": 5, "bfloat16": bfloat16}
    models = [made(make, seed) for seed in SEEDS]
    expected = stacked(models, sets, recipe, state=tmp_path / "unbroken", **arguments)

    one_step = Stack._one_step

    def breaking_off(stack: Stack) -> None:
        if stack.first.step == after:
            raise BrokenOffError
        one_step(stack)

    with monkeypatch.context() as context, pytest.raises(BrokenOffError):
        context.setattr(Stack, "_one_step", breaking_off)
        models = [made(make, seed) for seed in SEEDS]
        stacked(models, sets, recipe, state=tmp_path / "broken", **arguments)
    assert read_file(tmp_path / "broken")[1]["runs"][0]["step"] == {4: 4, 5: 5, 9: 8}[after]
    models = [made(make, seed + 100) for seed in SEEDS]
    reports = stacked(models, sets, recipe, state=tmp_path / "broken", **arguments)

    tensors, others = (read_file(tmp_path / name)[0] for name in ("unbroken", "broken"))
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())
    for ours, theirs in zip(reports, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert (one.step, one.losses, one.learning_rates) == (other.step, other.losses, other.learning_rates)


def test_a_stack_that_was_to_be_shorter_goes_on_as_if_it_were_not(images: Images, tmp_path: Path) -> None:
    make, state = EVERY["aae-gaussian"], tmp_path / "state"
    recipe = recipe_of(make())
    ends = []
    for lengths in ([7, STEPS], [STEPS]):
        for steps in lengths:
            models = [made(make, seed) for seed in SEEDS]
            reports = stacked(models, [images] * 3, recipe, steps=steps, report_every=5, state=state)
        ends.append(([[report.losses for report in of_all] for of_all in reports], read_file(state)[0]))
        state.unlink()
    (losses, tensors), (expected, others) = ends
    assert losses == expected and all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


def test_the_state_of_other_runs_is_refused(images: Images, tmp_path: Path) -> None:
    make = EVERY["aae-gaussian"]
    recipe, state = recipe_of(make(), steps=2), tmp_path / "state"
    stacked([made(make, seed) for seed in SEEDS], [images] * 3, recipe, state=state)
    with pytest.raises(TrainingError, match="state of 3 runs, not of 2. Choose another folder or delete it"):
        stacked([made(make, 0) for _ in range(2)], [images] * 2, recipe, seeds=[3, 0], state=state)
    with pytest.raises(TrainingError, match="state of 3 runs, not of 1"):
        run(made(make, 0), images, recipe, seed=3, state=state)
    with pytest.raises(TrainingError, match=r"another run \(seed 0, not 1\)"):
        stacked([made(make, 0) for _ in SEEDS], [images] * 3, recipe, seeds=[3, 1, 7], state=state)
    write_file(state, {}, {"other": 1})
    with pytest.raises(TrainingError, match="state of 1 runs, not of 3"):
        stacked([made(make, 0) for _ in SEEDS], [images] * 3, recipe, state=state)


# What cannot be stacked


def test_models_that_are_not_alike_are_refused(images: Images) -> None:
    models = [made(EVERY["aae-gaussian"], 0), AdversarialAutoencoder(Gaussian(2), (31,))]
    with pytest.raises(TrainingError, match="not alike"):
        stacked(models, [images] * 2, recipe_of(models[0]), seeds=[0, 1])
    for wrong in ([], [models[0]] * 2):
        with pytest.raises(TrainingError, match="at least one model, and each its own"):
            stacked(wrong, [images] * len(wrong), recipe_of(models[0]), seeds=range(len(wrong)))
    with pytest.raises(TrainingError, match="2 models, 1 sets of images and 3 seeds do not match"):
        stacked(models, [images], recipe_of(models[0]))


class LooksAtALoss(Autoencoder):
    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        for name, loss in super().updates(batch):
            yield name, loss if loss > 0 else -loss


class DrawsInAnotherWay(Autoencoder):
    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        yield from super().updates(Images(batch.images.bernoulli(), batch.labels))


class HasALayoutOfItsOwn(Autoencoder):
    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        pictures = batch.images.view(-1, 1, 28, 28).contiguous(memory_format=torch.channels_last)
        yield from super().updates(Images(pictures.flatten(1), batch.labels))


class IgnoresAllImages(Autoencoder):
    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        yield "reconstruction", torch.ones((), requires_grad=True) * 2


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (LooksAtALoss, "data-dependent control flow"),
        (DrawsInAnotherWay, "random"),
        (HasALayoutOfItsOwn, "memory_format"),
        (IgnoresAllImages, "depends on nothing of a run"),
    ],
)
def test_what_vmap_does_not_know_is_refused_with_a_remedy(kind: type[Model], message: str, images: Images) -> None:
    models = [made(lambda: kind(2, (8,)), seed) for seed in SEEDS]
    with pytest.raises(TrainingError, match=rf"(?s){kind.__name__} cannot be stacked, train its seeds .*{message}"):
        stacked(models, [images] * 3, recipe_of(models[0]))


def test_a_label_that_there_is_not_is_refused_in_a_stack_too(images: Images) -> None:
    models = [made(lambda: LabelInformedAutoencoder(GaussianMixture(), (8,)), seed) for seed in SEEDS]
    wrong = Images(images.images, images.labels + 1)
    with pytest.raises(ValueError, match="labels from 1 to 10"):
        stacked(models, [(images, wrong)] * 3, recipe_of(models[0]))


class Stale(AdversarialAutoencoder):
    """Its generator goes back through a graph that was built before the reconstruction moved the encoder."""

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        stale = self.encoder(batch.images)
        for name, loss in super().updates(batch):
            yield name, self.discriminator(stale).mean() if name == "generator" else loss


def test_a_stale_graph_raises_in_a_stack_too(images: Images) -> None:
    models = [made(lambda: Stale(Gaussian(2), (8,)), seed) for seed in SEEDS]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        stacked(models, [images] * 3, recipe_of(models[0]))


def poisoned(images: Images, seed: int, step: int) -> Images:
    """The images, of which the one that a run sees first in the step is none."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(training._order_seed(seed, 0, 0)))
    wrong = images.images.clone()
    wrong[order[step * 50]] = float("nan")
    return Images(wrong, images.labels)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_loss_that_is_not_finite_names_its_seed_and_leaves_all_weights_before_it(
    bfloat16: bool, images: Images
) -> None:
    make = EVERY["autoencoder"]
    models, recipe = [made(make, seed) for seed in SEEDS], recipe_of(make())
    sets = [images, poisoned(images, SEEDS[1], step=3), images]
    with pytest.raises(TrainingError, match=r"'reconstruction' is nan at step 3 \(seed 0\)"):
        stacked(models, sets, recipe, bfloat16=bfloat16)
    expected = [made(make, seed) for seed in SEEDS]
    stacked(expected, [images] * 3, recipe, steps=3, bfloat16=bfloat16)
    for model, other in zip(models, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_codes_that_have_collapsed_name_their_seed(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "COLLAPSE_STEPS", 2)
    monkeypatch.setattr(training, "CHECK_EVERY_STEPS", 2)
    models = [made(EVERY["aae-gaussian"], seed) for seed in SEEDS]
    with torch.no_grad():
        models[2].encoder[-1].weight.zero_()
    with pytest.raises(TrainingError, match=r"collapsed: for 2 steps up to step 4 \(seed 7\)"):
        stacked(models, [images] * 3, recipe_of(models[0], SGD(1e-9)))


# Losses that are not looked at in their step, as on a GPU


@pytest.fixture
def looks_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LOOKS_AT_ONCE", set())
    monkeypatch.setattr(training, "CHECK_EVERY_STEPS", 4)


@pytest.mark.parametrize("broken", [[7], [7, 3]])
@pytest.mark.parametrize("seeds", [[7], [0, 7, 3]])
def test_weights_before_a_loss_that_is_not_finite_are_kept(
    seeds: list[int], broken: list[int], images: Images, looks_later: None
) -> None:
    recipe = recipe_of(EVERY["aae-gaussian"]())
    expected = [made(EVERY["aae-gaussian"], seed) for seed in seeds]
    stacked(expected, [images] * len(seeds), recipe, seeds=seeds, steps=4)

    own = [poisoned(images, seed, step=5) if seed in broken else images for seed in seeds]
    models = [made(EVERY["aae-gaussian"], seed) for seed in seeds]
    whose = r" \(seed 7\)" if len(seeds) > 1 else ""
    message = rf"'reconstruction' has not been finite between steps 4 and 8{whose}. The weights are those of step 4"
    with pytest.raises(TrainingError, match=message):
        stacked(models, own, recipe, seeds=seeds)
    for model, other in zip(models, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


class InfinitelySteep(Autoencoder):
    """Its loss is finite, but where it is 0 its gradient is not."""

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        for name, loss in super().updates(batch):
            yield name, (loss - loss.detach()).abs().sqrt()


def test_a_weight_that_is_not_finite_is_seen_too(images: Images, looks_later: None) -> None:
    model, initial = (made(lambda: InfinitelySteep(2, (8,)), 0) for _ in range(2))
    with pytest.raises(TrainingError, match="a weight has not been finite between steps 0 and 1"):
        run(model, images, recipe_of(model), steps=1)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), initial.parameters(), strict=True))


def test_when_losses_are_looked_at_changes_no_bit(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    make, sets = EVERY["semi-100"], find("semi-100").select(digits.train, 0)
    recipe = recipe_of(make())
    ends = []
    for devices in ({"cpu"}, set()):
        monkeypatch.setattr(training, "LOOKS_AT_ONCE", devices)
        model = made(make, 0)
        reports = run(model, sets, recipe, report_every=5)
        ends.append(([report.losses for report in reports], model.state_dict()))
    (losses, weights), (other_losses, other_weights) = ends
    assert losses == other_losses
    assert all(torch.equal(weight, other_weights[name]) for name, weight in weights.items())


class ReadsBack(TorchDispatchMode):
    """Counts how often a number is read out of a tensor, for which a GPU would have to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        aten = torch.ops.aten
        self.count += function in (
            aten._local_scalar_dense.default, aten.is_nonzero.default, aten.nonzero.default, aten.masked_select.default
        )  # fmt: skip
        return function(*args, **(kwargs or {}))


class Moves(TorchFunctionMode):
    """Counts how often numbers or tensors would be sent to a GPU, or fetched from it, and waited for."""

    FUNCTIONS = (torch.tensor, torch.as_tensor, Tensor.cpu, Tensor.cuda, Tensor.tolist)

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        goes = function is Tensor.to and not isinstance(args[1], torch.dtype) and not kwargs.get("non_blocking")
        self.count += goes or function in self.FUNCTIONS
        return function(*args, **kwargs)


@pytest.mark.parametrize("name", EVERY)
def test_no_step_waits_for_the_device(
    name: str, digits: Digits, looks_later: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a GPU neither of these looks at a label.
    monkeypatch.setattr(ClassConditionalPrior, "check_labels", lambda *_: None)
    monkeypatch.setattr(F, "one_hot", lambda labels, classes: (labels[:, None] == torch.arange(classes)).long())
    monkeypatch.setattr(training, "CHECK_EVERY_STEPS", 100)
    make, sets = EVERY[name], find(name).select(digits.train, 0)
    recipe, counts = recipe_of(make(), SGD(1e-5)), []
    for kind in (training.Run, Stack):

        def counted(runs: Any, one_step: Callable = kind._one_step) -> None:
            with ReadsBack() as reads, Moves() as moves:
                one_step(runs)
            counts.append((reads.count, moves.count))

        monkeypatch.setattr(kind, "_one_step", counted)
    run(made(make, 0), sets, recipe, steps=3)
    stacked([made(make, seed) for seed in SEEDS], [sets] * 3, recipe, steps=3)
    assert counts == [(0, 0)] * 6

    with Moves() as moves:
        torch.tensor(1.0).to("cpu").tolist()
    assert moves.count == 3
    monkeypatch.setattr(training, "LOOKS_AT_ONCE", {"cpu"})
    run(made(make, 0), sets, recipe, steps=1)
    assert counts[-1][0] >= len(recipe.optimizers), "where each loss is looked at, the count shows it"


# Experiments


def test_several_seeds_leave_what_each_would_leave_alone(digits: Digits, tmp_path: Path) -> None:
    experiment = find("labels-100")
    arguments = {"steps": 20, "device": "cpu", "progress": False, "validation": True}
    list(train_seeds(experiment, digits, tmp_path / "both", seeds=[2, 1], **arguments))
    labels = digits.train.hold_out()[1].labels
    for seed in (2, 1):
        list(train_seeds(experiment, digits, tmp_path / str(seed), seeds=[seed], **arguments))
        folder = tmp_path / "both" / f"seed-{seed}"
        assert weights_path(experiment, folder).exists()
        ours = read_evidence(evidence_path(experiment, seed, folder), labels)
        alone = read_evidence(evidence_path(experiment, seed, tmp_path / str(seed)), labels)
        assert ours.header["seed"] == seed and ours.header["side_by_side"] == 2
        assert ours.header.keys() - alone.header.keys() == {"side_by_side"}
        assert ours.header["history"][-1] == pytest.approx(alone.header["history"][-1], rel=0.05)
        agree = (ours.tensors["predictions"] == alone.tensors["predictions"]).float().mean()
        assert agree > 0.99
    assert (tmp_path / "both" / "state.safetensors").exists()
