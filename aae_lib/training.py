"""The one training loop. A model yields its updates; this moves exactly the networks that each update names.

    for report in train(model, digits.train, recipe):
        print(report.step, report.losses)

The loop refuses, instead of hoping that a test sees them, the classic defects of adversarial training code: a loss that
moves a network it should not, a network that no loss reaches, a backward pass through weights that have changed since,
a random-number stream that a plot between two epochs disturbs, and runs that have died (non-finite losses, collapsed
codes) but go on.
"""

import ast
import contextlib
import ctypes
import dataclasses
import inspect
import math
import platform
import textwrap
import time
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from aae_lib.data import Images
from aae_lib.models.model import Model
from aae_lib.networks import BatchNorm, TrainingNoise, has_batch_norm, set_noise_strength
from aae_lib.priors import Prior, check_prior, seeded
from aae_lib.storage import StorageError, read_file, write_file

UPDATES_PER_EPOCH = 600  # of 100 images: one pass over MNIST's 60,000
STATE_EVERY_SECONDS = 30.0
CHECK_EVERY_STEPS = 100
COLLAPSE_VARIANCE = 1e-3  # of the prior's variance
COLLAPSE_STEPS = 600
SEEDS = 4294  # beyond, the numbers that order the data would need more than 32 bits, and torch looks at no more
ORDERS = 500_000  # of a set of images; then they come again
LOOKS_AT_ONCE = {"cpu"}  # devices where a loss is looked at in its step; on others that would make each step wait
REMEDY = "a smaller learning rate or smaller initial weights usually help"


class TrainingError(RuntimeError):
    """Training was asked for something that cannot work, or has stopped working."""


# --------------------------------------------------------------------------------------------------------------
# Recipes


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum: v <- momentum * v + gradient; weights <- weights - rate * v."""

    learning_rate: float
    momentum: float = 0.0

    def build(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=self.learning_rate, momentum=self.momentum, fused=True)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015)."""

    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=self.betas, fused=True)


def _progress(clock: float, start: float, end: float) -> float:
    """The share of the way from ``start`` to ``end``, 0 before and 1 after it."""
    return min(max((clock - start) / (end - start), 0.0), 1.0)


@dataclass(frozen=True)
class Cosine:
    """A factor that is 1 until ``start`` and falls to ``final`` at ``end``, along a half cosine.

    Times are counted in updates of 100 images, so 600 is one epoch of MNIST.
    """

    start: float
    end: float
    final: float = 0.01

    def __call__(self, clock: float) -> float:
        progress = _progress(clock, self.start, self.end)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Drops:
    """A factor that starts as 1 and is multiplied by ``factor`` at each of the times ``at`` (updates of 100 images)."""

    at: tuple[float, ...] = ()
    factor: float = 0.1

    def __call__(self, clock: float) -> float:
        return self.factor ** sum(clock >= time for time in self.at)


@dataclass(frozen=True)
class WarmUp:
    """The factor of ``schedule`` times one that rises evenly from 0 to 1 at ``until`` (> 0, updates of 100 images).

    Large learning rates, or noise at full strength, would otherwise throw a game that has just begun out of its bounds.
    """

    until: float
    schedule: Cosine | Drops

    def __call__(self, clock: float) -> float:
        return min(clock / self.until, 1.0) * self.schedule(clock)


@dataclass(frozen=True)
class Rise:
    """A factor that is ``initial`` until ``start`` and rises evenly to 1 at ``end`` (updates of 100 images)."""

    initial: float
    start: float
    end: float

    def __call__(self, clock: float) -> float:
        progress = _progress(clock, self.start, self.end)
        return self.initial + (1 - self.initial) * progress


Schedule = Cosine | Drops | WarmUp | Rise


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        optimizers: one per update of the model, by the update's name.
        steps: number of minibatches.
        schedule: factor on the learning rates as a function of the clock (updates of 100 images, whatever the batch
            size or the data), one for all or one per update; a run of fewer steps keeps its absolute positions.
        batch_size: images per minibatch.
        noise: the share, in [0, 1], of its training noise (:class:`~aae_lib.networks.TrainingNoise`) that a network
            has at a time of the clock, one schedule for all layers or one per class of them, by its name, such as
            ``"RandomAffine"``; where there is none: all of it, always.
        weights: factors on weights in the model's losses, by the name of its attribute, such as ``"label_weight"``;
            they multiply the value that the model is built with.
    """

    optimizers: Mapping[str, SGD | Adam]
    steps: int
    schedule: Schedule | Mapping[str, Schedule] = field(default_factory=Drops)
    batch_size: int = 100
    noise: Schedule | Mapping[str, Schedule] | None = None
    weights: Mapping[str, Schedule] = field(default_factory=dict)

    def __repr__(self) -> str:
        """As of any dataclass, but without the last two where they are empty: files of finished runs have this text."""
        values = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        shown = (f"{name}={value!r}" for name, value in values.items() if name not in ("noise", "weights") or value)
        return f"Recipe({', '.join(shown)})"

    def learning_rate(self, update: str, clock: float) -> float:
        """The learning rate of an update at a time of the clock."""
        schedule = self.schedule[update] if isinstance(self.schedule, Mapping) else self.schedule
        return self.optimizers[update].learning_rate * schedule(clock)

    def noise_strength(self, layer: str, clock: float) -> float:
        """The share of its noise that a layer of the class of that name has at a time of the clock."""
        schedule = self.noise.get(layer) if isinstance(self.noise, Mapping) else self.noise
        return 1.0 if schedule is None else schedule(clock)


@dataclass(frozen=True)
class Report:
    """What happened since the last report.

    Attributes:
        step: minibatches done so far.
        clock: the same in updates of 100 images.
        losses: mean of each update's loss since the last report.
        learning_rates: of each update at this step.
        seconds: training time so far; what the caller does between reports, and the measures, do not count.
        measures: what the caller's ``measure`` gave for the model of this step.
    """

    step: int
    clock: float
    losses: dict[str, float]
    learning_rates: dict[str, float]
    seconds: float
    measures: dict[str, float] = field(default_factory=dict)

    @property
    def epoch(self) -> float:
        """Passes over as many images as MNIST has: ``clock / 600``."""
        return self.clock / UPDATES_PER_EPOCH


# --------------------------------------------------------------------------------------------------------------
# Precision and batch-norm


def chosen_device(device: torch.device | str | None = None) -> torch.device:
    """The device, by default the GPU if PyTorch sees one, else the CPU.

    Raises:
        TrainingError: if there is no such device here, or it is neither a CPU nor a CUDA GPU.
    """
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise TrainingError(f"there is no device '{device}': choose cpu or cuda") from error
    if chosen.type not in ("cpu", "cuda"):
        raise TrainingError(f"no training on '{device}', whose random numbers cannot be kept: choose cpu or cuda")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise TrainingError(f"PyTorch sees no GPU '{device}' here ({torch.cuda.device_count()} in all): leave it out")
    return chosen


def check_seed(seed: int) -> None:
    """Refuse a seed that has no data order.

    Raises:
        TrainingError: if it is not from 0 to 4293.
    """
    if not 0 <= seed < SEEDS:
        raise TrainingError(f"no data order for the seed {seed}: choose one from 0 to {SEEDS - 1}")


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether ``device`` multiplies bfloat16 matrices natively, that is, faster than float32 ones."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def recompute_batch_norm(model: Model, images: Tensor) -> None:
    """Set the batch-norm statistics of ``model`` in one pass: encoder over ``images``, decoder over prior samples.

    Statistics gathered while training mix many past weights, and real with generated images; they are therefore no
    part of the training state and are computed anew before each evaluation. The caller's random numbers and the
    model's mode are left as they were. Discriminators, which judge minibatches of one kind, have none: mean 0, variance
    1.

    Raises:
        TrainingError: for a network with batch-norm that is neither encoder nor decoder nor a discriminator.
    """
    if not has_batch_norm(model):
        return
    momenta = {layer: layer.momentum for layer in model.modules() if isinstance(layer, BatchNorm)}
    for layer in momenta:
        layer.reset_running_stats()
        layer.momentum = None  # a plain average over the pass
    modes = {module: module.training for module in model.modules()}
    model.eval()  # input noise and dropout stay off
    for layer in momenta:
        layer.train()
    with seeded(0, images.device), torch.no_grad():
        # Parts of equal size, so that the average over parts is the average over images.
        if hasattr(model, "encoder"):
            codes = torch.cat([model.encode(part) for part in images.tensor_split(max(1, len(images) // 1000))])
        if model.prior is not None:
            codes = model.prior.sample(10_000, images.device)
        if hasattr(model, "decoder"):
            for part in codes.tensor_split(max(1, len(codes) // 1000)):
                model.decode(part)
    for layer, momentum in momenta.items():
        layer.momentum = momentum
    for module, mode in modes.items():
        module.training = mode
    missed = [name for name, layer in model.named_modules()
              if layer in momenta and not int(layer.num_batches_tracked) and "discriminator" not in name]  # fmt: skip
    if missed:
        raise TrainingError(
            f"no batch-norm statistics for {', '.join(missed)}: call the networks by which {type(model).__name__} "
            "encodes and decodes `encoder` and `decoder`"
        )


# --------------------------------------------------------------------------------------------------------------
# The loop


def train(
    model: Model,
    images: Images | tuple[Images, ...],
    recipe: Recipe,
    *,
    seed: int = 0,
    steps: int | None = None,
    report_every: int = UPDATES_PER_EPOCH,
    measure: Callable[[Model], dict[str, float]] | None = None,
    state: Path | None = None,
    device: torch.device | str | None = None,
    bfloat16: bool | None = None,
    progress: bool = False,
) -> Iterator[Report]:
    """Train ``model`` and yield a :class:`Report` every ``report_every`` steps and after the last.

    At each yield the model is an ordinary float32 module in evaluation mode, and torch's global random numbers are
    the caller's own, so the caller may plot, measure or stop at will without changing the run. For speed the process
    flushes denormal numbers to zero from now on and, on Linux, keeps memory that it has freed.

    Args:
        model: what to train; it is moved to ``device``.
        images: the training images; each pass over them takes a new random order. Where the model's ``updates`` take
            several minibatches (say, unlabeled and labeled), as many sets of images, each with an order of its own.
        recipe: optimizers, schedule, batch size and number of steps.
        seed: of the data order and of every random number that the updates draw, from 0 to 4293. The initial weights
            are the caller's.
        steps: stop after this many minibatches instead of ``recipe.steps``; the schedule stays where it is.
        report_every: minibatches between reports.
        measure: called with the model, in evaluation mode, for each report, which carries the numbers that it returns.
            Unlike what the caller measures at a yield, they are part of the state, so a resumed run has them too.
        state: a file that receives the complete training state about every 30 seconds, at a multiple of 100 steps or a
            report, at the first of these and at the end. If it exists, the run continues from it: earlier reports are
            yielded again, and the end has the same bits as a run that was never interrupted.
        device: default: the GPU if there is one.
        bfloat16: multiply matrices in bfloat16 (weights keep float32 masters). Default: where it is native.
        progress: show a progress bar.

    Raises:
        TrainingError: for a model whose updates and networks do not fit together, a seed out of range, a state of
            another run, non-finite losses (on a GPU they are looked at every 100 steps and at each report, and the
            weights are then those of the last look), and collapsed codes. Each says what to do.
    """
    run = Run(model, images, recipe, seed, chosen_device(device), bfloat16, report_every)
    for (report,) in train_runs([run], lambda runs: runs[0].advance, steps, report_every, measure, state, progress):
        yield report


def train_runs(
    runs: "list[Run]",
    make_advance: "Callable[[list[Run]], Callable[[int, tqdm], None]]",
    steps: int | None,
    report_every: int,
    measure: Callable[[Model], dict[str, float]] | None,
    state: Path | None,
    progress: bool,
) -> Iterator[list[Report]]:
    """The loop around runs that go on together: load, advance, report, save. Yields a report of each at a time.

    Args:
        make_advance: makes, of the runs as they stand, what advances all of them by a number of steps.
        steps, report_every, measure, state, progress: as for :func:`train`; the state of all is one file.
    """
    first = runs[0]
    steps = first.recipe.steps if steps is None else steps
    if state is not None and state.exists():
        _load(runs, state)
        if first.step > steps:
            raise TrainingError(
                f"{state} is at step {first.step}, beyond these {steps} steps: ask for more or delete it"
            )
        for run in runs:
            if run.step < steps and run.reports and run.reports[-1].step % report_every:
                run.reports.pop()  # the last one of a run that was to be shorter
            run.prepare_evaluation()
    advance = make_advance(runs)
    yield from map(list, zip(*(run.reports for run in runs), strict=True))
    saved = -math.inf  # the first state comes at the first pause
    with contextlib.ExitStack() as stack:
        bar = tqdm(total=steps, initial=first.step, disable=not progress, unit="step", leave=False)
        stack.callback(bar.close)
        while first.step < steps:
            # Stop at the next multiple of each period, so that a resumed run stops where an unbroken one does.
            pause = min(first.step - first.step % every + every for every in (report_every, CHECK_EVERY_STEPS))
            advance(min(pause, steps) - first.step, bar)
            reports = None
            if first.step % report_every == 0 or first.step == steps:
                for run in runs:
                    run.prepare_evaluation()
                reports = [run.report(measure) for run in runs]
                if first.step % report_every == 0:  # else the mean of a longer run goes on
                    for run in runs:
                        run.sums = {}
            if state is not None and (first.step == steps or time.monotonic() - saved > STATE_EVERY_SECONDS):
                _save(runs, state)
                saved = time.monotonic()
            if reports is not None:
                yield reports


class Run:
    """One training run: the model, its optimizers, its random numbers and its position."""

    def __init__(
        self,
        model: Model,
        images: Images | tuple[Images, ...],
        recipe: Recipe,
        seed: int,
        device: torch.device,
        bfloat16: bool | None,
        report_every: int,
    ):
        check_seed(seed)
        sets = tuple(images) if isinstance(images, tuple | list) else (images,)
        _check_images(sets)
        _check_moves(model, recipe, len(sets))
        torch.set_flush_denormal(True)  # denormal numbers make a dying run ten times slower
        _keep_freed_memory()
        self.model, self.recipe, self.seed, self.device = model.to(device), recipe, seed, device
        self.sets = tuple(part.to(device) for part in sets)
        for part in self.sets:
            if len(part) < recipe.batch_size:
                raise TrainingError(f"{len(part)} training images do not fill one minibatch of {recipe.batch_size}")
        self.bfloat16 = multiplies_bfloat16(device) if bfloat16 is None else bfloat16
        precision = "bfloat16" if self.bfloat16 else "float32"
        sizes = " + ".join(str(len(part)) for part in self.sets)
        # Sets of the same size are common (MNIST, FashionMNIST); the ink of some images tells them apart.
        ink = " + ".join(f"{float(part.images[:10].double().sum()):.3f}" for part in self.sets)
        labels = " + ".join(f"{zlib.crc32(part.labels.cpu().numpy().tobytes()):08x}" for part in self.sets)
        self.fingerprint = {
            "model": _describe(model),
            "recipe": str(recipe),
            "seed": str(seed),
            "images": f"{sizes} (ink {ink}, labels {labels})",
            "precision": f"{precision} on {device.type}",
            "report_every": str(report_every),  # the sums of a report that is half done belong to it
        }
        self.looks_at_once = device.type in LOOKS_AT_ONCE
        self.prior_variance = check_prior(model.prior) if model.prior is not None else None
        self.weights = {name: getattr(model, name) for name in recipe.weights}
        networks = dict(model.named_children())
        self.parameters = {
            update: [parameter for name in names for parameter in networks[name].parameters()]
            for update, names in model.moves.items()
        }
        # Float32 masters, shared by all updates; in bfloat16 the modules hold working copies while a step runs.
        self.masters = {name: parameter.data for name, parameter in model.named_parameters()}
        normalizing = {id(p) for layer in model.modules() if isinstance(layer, BatchNorm) for p in layer.parameters()}
        self.working = {
            name: self.masters[name].bfloat16()
            if self.bfloat16 and id(parameter) not in normalizing
            else self.masters[name]
            for name, parameter in model.named_parameters()
        }
        if self.bfloat16:  # kept, because memory that is freed after each step costs page faults in the next
            for master in self.masters.values():
                master.grad = torch.empty_like(master)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        self.names = {update: [names[id(p)] for p in parameters] for update, parameters in self.parameters.items()}
        self.optimizers = {
            update: recipe.optimizers[update].build([self.masters[name] for name in self.names[update]])
            for update in model.moves
        }
        with seeded(seed, device):
            self.random_state = self._random_state()
        self.step, self.seconds, self.collapsed_for = 0, 0.0, 0
        self.whose = ""  # in a stack: which of its runs
        self.sums: dict[str, tuple[Tensor | float, int]] = {}  # of the losses since the last report, and how many
        self.reports: list[Report] = []
        self.orders = [(-1, torch.empty(0)) for _ in self.sets]
        self.keep_weights()

    # Random numbers: the run owns its stream and gives the caller's back.

    def _fork_random(self) -> contextlib.AbstractContextManager:
        return torch.random.fork_rng([self.device] if self.device.type == "cuda" else [])

    def _random_state(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    @property
    def clock(self) -> float:
        return self.step * self.recipe.batch_size / 100

    def advance(self, count: int, bar: tqdm) -> None:
        """Do ``count`` steps, then the periodic checks."""
        started = time.perf_counter()
        with self.in_training(), self.random_numbers():
            for _ in range(count):
                self._one_step()
                bar.update()
            check_losses([self])
            self.check_codes()
        self.seconds += time.perf_counter() - started

    @contextlib.contextmanager
    def in_training(self) -> Iterator[None]:
        """Inside, the model is as steps need it; afterwards what it was built as, with the weights of now."""
        self.model.train()
        for name, parameter in self.model.named_parameters():
            parameter.data = self.working[name]
        # A GPU's convolutions may else take their sums in another order each time: other bits after a resume.
        cudnn = torch.backends.cudnn
        of_caller = cudnn.deterministic, cudnn.benchmark
        cudnn.deterministic, cudnn.benchmark = True, False
        try:
            # The caller's autocast would reach into the backward passes, and a caller's no_grad would stop them.
            with torch.enable_grad(), torch.autocast(self.device.type, enabled=False):
                yield
        finally:
            self.model.eval()
            cudnn.deterministic, cudnn.benchmark = of_caller
            set_noise_strength(self.model, lambda layer: 1.0)
            vars(self.model).update(self.weights)
            for name, parameter in self.model.named_parameters():
                parameter.data = self.masters[name]

    @contextlib.contextmanager
    def random_numbers(self) -> Iterator[None]:
        """Inside, torch's random numbers are those of this run; afterwards the caller's go on where they were."""
        with self._fork_random():
            torch.set_rng_state(self.random_state["cpu"])
            if self.device.type == "cuda":
                torch.cuda.set_rng_state(self.random_state["cuda"], self.device)
            yield
            self.random_state = self._random_state()

    def minibatches(self) -> Iterator[Images]:
        """One minibatch of each set, the next in its order."""
        size = self.recipe.batch_size
        for index, images in enumerate(self.sets):
            epoch, position = divmod(self.step, len(images) // size)
            if self.orders[index][0] != epoch:  # a function of seed, set and epoch: it needs no place in the state
                generator = torch.Generator().manual_seed(_order_seed(self.seed, index, epoch))
                order = torch.randperm(len(images), generator=generator)
                if self.device.type == "cuda":
                    order = order.pin_memory()  # so that nothing has to wait until it is there
                self.orders[index] = (epoch, order.to(self.device, non_blocking=True))
            yield images[self.orders[index][1][position * size : (position + 1) * size]]

    def rate(self, update: str) -> float:
        return self.recipe.learning_rate(update, self.clock)

    def set_schedules(self) -> None:
        """Let noise and weights in the losses have their strength of now."""
        set_noise_strength(self.model, lambda layer: self.recipe.noise_strength(layer, self.clock))
        vars(self.model).update(
            {name: value * self.recipe.weights[name](self.clock) for name, value in self.weights.items()}
        )

    def updates(self, minibatches: Iterable[Images]) -> Iterator[tuple[str, Tensor]]:
        """One step's updates and their losses; the caller moves the networks of each before it asks for the next."""
        seen = set()
        updates, kind = self.model.updates(*minibatches), type(self.model).__name__
        if not isinstance(updates, Generator):
            raise TrainingError(f"{kind}.updates must yield its updates, one after the other, not return them")
        with contextlib.closing(updates):  # so that an error inside of it undoes what it has entered, at once
            while True:
                # Autocast is entered anew for each update and never spans an optimizer step; without its cache,
                # no cast copy of a weight can outlive the weight.
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16, cache_enabled=False):
                    update = next(updates, (None, None))
                if not isinstance(update, tuple) or len(update) != 2:
                    found = type(update).__name__
                    raise TrainingError(f"{kind}.updates must yield pairs (name of the update, loss), not a {found}")
                name, loss = update
                if name is None:
                    break
                if not isinstance(loss, Tensor) or loss.ndim:
                    found = f"of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
                    raise TrainingError(f"the loss of update '{name}' must be one number in a tensor, and is {found}")
                if not torch.is_grad_enabled():
                    raise TrainingError(
                        f"update '{name}' was yielded inside torch.no_grad(): close it before the yield"
                    )
                if name not in self.optimizers:
                    raise TrainingError(f"update '{name}' is not declared in {kind}.moves")
                yield name, loss
                seen.add(name)
        if missing := set(self.optimizers) - seen:
            raise TrainingError(f"{kind}.updates never yielded {sorted(missing)}")

    def _one_step(self) -> None:
        self.set_schedules()
        for name, loss in self.updates(self.minibatches()):
            value = loss.detach().double()
            if self.looks_at_once:
                self.refuse_unless_finite(name, float(value))
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (value + total, count + 1)
            gradients = self.gradients(name, loss, self.parameters[name])
            self.descend(name, gradients, self.optimizers[name], self.working)
        self.step += 1

    def refuse_unless_finite(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss of update '{name}' is {value} at step {self.step}{self.whose}. The weights are those "
                f"before this update; {REMEDY}"
            )

    def gradients(self, name: str, loss: Tensor, parameters: list[Tensor]) -> tuple[Tensor, ...]:
        """Gradients of the loss of update ``name`` for the parameters that it moves, and for nothing else."""
        if not loss.requires_grad:
            raise TrainingError(f"the loss of update '{name}' depends on no network: was it detached?")
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        unreached = [n for n, gradient in zip(self.names[name], gradients, strict=True) if gradient is None]
        if unreached:
            raise TrainingError(
                f"update '{name}' is declared to move {', '.join(self.model.moves[name])}, but its loss does not reach "
                f"{', '.join(unreached)}: was a code detached, or a layer left out?"
            )
        # Fused optimizers do not mark what they change, and a backward pass through a graph that was built before
        # would give wrong gradients in silence; marked, it raises.
        torch.autograd.graph.increment_version(parameters)
        return gradients

    def descend(
        self, name: str, gradients: Sequence[Tensor], optimizer: torch.optim.Optimizer, working: dict[str, Tensor]
    ) -> None:
        """The optimizer step of update ``name``: of this run or, with its optimizer and weights, of a stack."""
        (group,) = optimizer.param_groups
        group["lr"], masters = self.rate(name), group["params"]
        if self.bfloat16:
            torch._foreach_copy_([master.grad for master in masters], gradients)
        else:
            for master, gradient in zip(masters, gradients, strict=True):
                # Fused optimizers read a gradient as if it lay in memory the way its weight does.
                alike = gradient.stride() == master.stride()
                master.grad = gradient if alike else torch.empty_like(master).copy_(gradient)
        optimizer.step()
        if self.bfloat16:
            torch._foreach_copy_([working[n] for n in self.names[name]], masters)

    def not_finite(self) -> str | None:
        """What has not been finite since the last look, if anything."""
        for name, (total, _) in self.sums.items():
            if not math.isfinite(total):
                return f"the loss of update '{name}'"
        weights_are = torch.stack([master.isfinite().all() for master in self.masters.values()]).all()
        return None if weights_are else "a weight"

    def keep_weights(self) -> None:
        if not self.looks_at_once:
            self.good = self.step, [master.clone() for master in self.masters.values()]

    def take_weights_back(self) -> None:
        for master, kept in zip(self.masters.values(), self.good[1], strict=True):
            master.copy_(kept)

    @torch.no_grad()
    def check_codes(self) -> None:
        if self.step % CHECK_EVERY_STEPS or self.step <= COLLAPSE_STEPS:
            return
        if self.prior_variance is None or not hasattr(self.model, "encoder"):
            return
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16, cache_enabled=False):
            variance = float(self.model.encode(self.sets[0].images[:1000]).float().var(0).mean())
        dead = variance < COLLAPSE_VARIANCE * self.prior_variance
        self.collapsed_for = self.collapsed_for + CHECK_EVERY_STEPS if dead else 0
        if self.collapsed_for >= COLLAPSE_STEPS:
            raise TrainingError(
                f"the codes have collapsed: for {COLLAPSE_STEPS} steps up to step {self.step}{self.whose} their "
                f"variance has been below {COLLAPSE_VARIANCE:g} of the prior's (now {variance:.2g} against "
                f"{self.prior_variance:.2g}). "
                "A larger weight of the reconstruction or a slower generator usually helps"
            )

    def prepare_evaluation(self) -> None:
        recompute_batch_norm(self.model, self.sets[0].images)
        self.model.eval()

    def report(self, measure: Callable[[Model], dict[str, float]] | None) -> Report:
        losses = {name: float(total) / count for name, (total, count) in self.sums.items()}
        rates = {update: self.rate(update) for update in self.recipe.optimizers}
        with self._fork_random(), torch.no_grad():
            measures = measure(self.model) if measure else {}
        report = Report(self.step, self.clock, losses, rates, self.seconds, measures)
        self.reports.append(report)
        return report

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that :meth:`restore` needs to go on with the same bits."""
        tensors = {f"weights/{name}": master for name, master in self.masters.items()}
        tensors |= {f"random/{kind}": state for kind, state in self.random_state.items()}
        for update, optimizer in self.optimizers.items():
            for index, entries in optimizer.state_dict()["state"].items():
                for key, value in entries.items():
                    if isinstance(value, Tensor):
                        tensors[f"optimizers/{update}/{index}/{key}"] = value
        return tensors, {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "seconds": self.seconds,
            "collapsed_for": self.collapsed_for,
            "sums": {name: [float(total), count] for name, (total, count) in self.sums.items()},
            "reports": [dataclasses.asdict(report) for report in self.reports],
        }

    def restore(self, tensors: dict[str, Tensor], position: dict[str, Any]) -> None:
        for name, master in self.masters.items():
            master.copy_(tensors[f"weights/{name}"])
            if self.bfloat16:
                self.working[name].copy_(master)
        self.random_state = {kind: tensors[f"random/{kind}"].cpu() for kind in self.random_state}
        for update, optimizer in self.optimizers.items():
            entries: dict[int, dict[str, Tensor]] = {}
            for name, tensor in tensors.items():
                if name.startswith(f"optimizers/{update}/"):
                    _, _, index, key = name.split("/")
                    entries.setdefault(int(index), {})[key] = tensor
            optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})
        self.step, self.seconds = position["step"], position["seconds"]
        self.collapsed_for = position["collapsed_for"]
        self.sums = {name: (total, count) for name, (total, count) in position["sums"].items()}
        self.reports = [Report(**report) for report in position["reports"]]
        self.keep_weights()


def check_losses(runs: list[Run]) -> None:
    """Where losses are not looked at in their step: if one was not finite, stop all with the weights of the last look.

    Raises:
        TrainingError: naming the first of the runs whose loss or weight was not finite.
    """
    if runs[0].looks_at_once:
        return
    broken = [(run, what) for run in runs if (what := run.not_finite())]
    if broken:
        for each in runs:
            each.take_weights_back()
        (run, what), since = broken[0], runs[0].good[0]
        raise TrainingError(
            f"{what} has not been finite between steps {since} and {run.step}{run.whose}. The weights are those of "
            f"step {since}; {REMEDY}"
        )
    for run in runs:
        run.keep_weights()


# The state. A file is written beside its place and then moved there, so a kill leaves the old one or the new one. A
# stack has one file, because all of its runs must be at the same step.


def _prefixes(runs: list[Run]) -> list[str]:
    """What the names of each run's tensors begin with."""
    return [""] if len(runs) == 1 else [f"{index}/" for index in range(len(runs))]


def _save(runs: list[Run], path: Path) -> None:
    tensors: dict[str, Tensor] = {}
    positions = []
    for prefix, run in zip(_prefixes(runs), runs, strict=True):
        of_run, position = run.state()
        tensors |= {prefix + name: tensor for name, tensor in of_run.items()}
        positions.append(position)
    write_file(path, tensors, positions[0] if len(runs) == 1 else {"runs": positions})


def _load(runs: list[Run], path: Path) -> None:
    try:
        tensors, header = read_file(path, runs[0].device)
    except StorageError as error:
        raise TrainingError(f"{error}. Delete it to start anew") from error
    positions = header.get("runs", [header])
    if len(positions) != len(runs):
        raise TrainingError(
            f"{path} is the state of {len(positions)} runs, not of {len(runs)}. Choose another folder or delete it"
        )
    for run, position in zip(runs, positions, strict=True):
        theirs = position.get("fingerprint")
        if theirs != run.fingerprint:
            theirs = theirs if isinstance(theirs, dict) else {}  # some other file of this library
            other = [f"{name} {theirs.get(name)}, not {value}" for name, value in run.fingerprint.items()
                     if theirs.get(name) != value]  # fmt: skip
            raise TrainingError(
                f"{path} is the state of another run ({'; '.join(other)}). Choose another folder or delete it"
            )
    for prefix, run, position in zip(_prefixes(runs), runs, positions, strict=True):
        run.restore({name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)},
                    position)


def _keep_freed_memory() -> None:
    """Let glibc keep the memory that a step frees; giving it back to the kernel costs a third of the next step."""
    if platform.libc_ver()[0] == "glibc":
        c_library = ctypes.CDLL(None)
        c_library.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, in bytes
        c_library.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD


def _order_seed(seed: int, index: int, epoch: int) -> int:
    """What draws the order of a set of images in one pass over it: another number for each seed, set and epoch."""
    return seed * 1_000_003 + index * ORDERS + epoch % ORDERS


def _describe(model: Model) -> str:
    """Class, plain settings and sizes of ``model``: what tells its run from that of another model of the class."""

    def settings(thing: object) -> str:
        plain = {}
        for name, value in (vars(thing) | ({"prior": model.prior} if thing is model else {})).items():
            if isinstance(value, Prior) or (name == "prior" and value is not None):  # any object that samples
                plain[name] = describe(value)
            elif inspect.isroutine(value) or isinstance(value, str | int | float | tuple | None):
                plain[name] = getattr(value, "__qualname__", value)
        return ", ".join(f"{name}={plain[name]}" for name in sorted(plain) if name != "training" and name[0] != "_")

    def describe(thing: object) -> str:
        return f"{type(thing).__name__}({settings(thing)})"

    shapes = [tuple(parameter.shape) for parameter in model.parameters()]
    layers = [describe(layer) for layer in model.modules() if layer is not model]
    return f"{describe(model)}, layers {layers}, weights {shapes}"


def _check_images(sets: tuple[Images, ...]) -> None:
    """Refuse what is no set of images that a network could take."""
    for images in sets:
        if not isinstance(images, Images):
            raise TrainingError(f"train takes aae_lib.data.Images, or a tuple of them, not a {type(images).__name__}")
        pixels, labels = images.images, images.labels
        if pixels.ndim != 2 or pixels.dtype != torch.float32 or labels.shape != pixels.shape[:1]:
            raise TrainingError(
                "train takes float32 images [n, pixels] and as many labels [n], not images "
                f"{list(pixels.shape)} of {pixels.dtype} and labels {list(labels.shape)}"
            )


def _check_moves(model: Model, recipe: Recipe, sets: int) -> None:
    """Refuse a model whose networks, declared updates, minibatches and recipe do not fit together."""
    kind = type(model).__name__
    if not isinstance(model, Model):
        raise TrainingError(f"train takes models of a class of aae_lib.models.Model, and {kind} is none")
    networks = dict(model.named_children())
    if set(recipe.optimizers) != set(model.moves):
        raise TrainingError(
            f"the recipe has optimizers for {sorted(recipe.optimizers)}, but {kind} has updates {sorted(model.moves)}"
        )
    if isinstance(recipe.schedule, Mapping) and set(recipe.schedule) != set(recipe.optimizers):
        raise TrainingError(f"the recipe has optimizers for {sorted(recipe.optimizers)}, but schedules for "
                            f"{sorted(recipe.schedule)}")
    named = {name for names in model.moves.values() for name in names}
    if unknown := named - set(networks):
        raise TrainingError(f"{kind}.moves names {sorted(unknown)}, but its networks are {sorted(networks)}")
    moved = {id(parameter) for name in named for parameter in networks[name].parameters()}
    still = [name for name, parameter in model.named_parameters() if id(parameter) not in moved]
    if still:
        raise TrainingError(f"no update of {kind} moves {', '.join(still)}: name its network in {kind}.moves")
    noises = {type(layer).__name__ for layer in model.modules() if isinstance(layer, TrainingNoise)}
    if recipe.noise and not noises:
        raise TrainingError(
            f"the recipe has a schedule for noise, but {kind} has none: build it with GaussianNoise, RandomAffine or "
            "Dropout of aae_lib.networks"
        )
    if isinstance(recipe.noise, Mapping) and (unknown := set(recipe.noise) - noises):
        raise TrainingError(
            f"the recipe has schedules for {sorted(unknown)}, but the noise of {kind} is {sorted(noises)}"
        )
    # Other numbers may be copies of what layers were built with: to change them would change nothing.
    weights = {name for name, value in vars(model).items() if name.endswith("_weight") and type(value) in (int, float)}
    if unknown := set(recipe.weights) - weights:
        raise TrainingError(
            f"the recipe has schedules for the weights {sorted(unknown)}, but those of {kind} are {sorted(weights)}"
        )
    parameters = inspect.signature(model.updates).parameters
    minibatches = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
    if len(minibatches) != sets:
        raise TrainingError(
            f"{kind}.updates takes {len(minibatches)} minibatches ({', '.join(minibatches)}), but there are {sets} "
            "sets of images to train on"
        )
    for ancestor in type(model).__mro__:  # an inherited method may be a part of this one
        if "updates" in vars(ancestor):
            _check_updates(ancestor)


def _check_updates(kind: type) -> None:
    """Refuse a `with` around a `yield` in the class's own ``updates``."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(vars(kind)["updates"])))
    except (OSError, TypeError):  # a class typed at the prompt has no source; the check at run time remains
        return
    for block in ast.walk(tree):
        if isinstance(block, ast.With) and any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(block)):
            raise TrainingError(
                f"{kind.__name__}.updates yields inside a `with` (line {block.lineno} of the method), whose effect "
                "would leak into the optimizer's step: close it before the yield"
            )
