"""What a training run remembers from step to step: networks, optimizers, random numbers, position and reports."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from aae_lib.data import Images
from aae_lib.devices import chosen_device, multiplies_bfloat16, prepare_process
from aae_lib.errors import TrainingError
from aae_lib.models import Model
from aae_lib.networks import set_noise_strength
from aae_lib.priors import check_prior
from aae_lib.seeding import check_seed, own_random_numbers, seeded
from aae_lib.training import checks
from aae_lib.training.recipe import Recipe

Measure = Callable[[Model], dict[str, float]]  # what a caller measures at each report
PAUSE_EVERY = 100  # steps; only there, and at reports, codes are checked and checkpoints written
ORDERS = 500_000  # of one set of images; then they repeat


@dataclass(frozen=True)
class Report:
    """What happened since the last report.

    Attributes:
        step: minibatches done so far; ``clock``: the same in updates of 100 images.
        epoch: passes over the (first set of) training images.
        losses: mean of each update's loss since the last report.
        learning_rates: of each update at this step.
        seconds: training time so far, without measures and without what the caller does between reports.
        measures: what the caller's ``measure`` gave for the model of this step.
    """

    step: int
    clock: float
    epoch: float
    losses: dict[str, float]
    learning_rates: dict[str, float]
    seconds: float
    measures: dict[str, float] = field(default_factory=dict)


class Run:
    """A training run; :func:`~aae_lib.training.loop.train` describes the arguments.

    Attributes:
        last: the step at which the run ends.
        parameters: of the networks that each update moves, by the update's name: each once, and no frozen ones.
        lost_for: how many steps the codes have been collapsed or far from the prior.
        moved_at: when each parameter last moved, in autograd's count of operations.
        losses: of each update since the last report.
        random_state: of the run's own random numbers, by the kind of device.
    """

    def __init__(
        self, model: Model, images: Images | Sequence[Images], recipe: Recipe, seed: int, steps: int | None,
        report_every: int, device: torch.device | str | None, bfloat16: bool | None,
    ):  # fmt: skip
        check_seed(seed)
        sets = tuple(images) if isinstance(images, list | tuple) else (images,)
        checks.check_model(model, recipe, len(sets))
        checks.check_sets(model, sets, recipe)
        self.last = checks.check_count("steps", recipe.steps if steps is None else steps)
        self.report_every = checks.check_count("report_every", report_every)
        if model.prior is not None:
            check_prior(model.prior)
        prepare_process()
        self.device = chosen_device(device)
        self.bfloat16 = multiplies_bfloat16(self.device) if bfloat16 is None else bfloat16
        self.model, self.recipe, self.seed = model.to(self.device), recipe, seed
        self.sets = tuple(part.to(self.device) for part in sets)
        networks = dict(model.named_children())
        self.parameters = {
            update: list(dict.fromkeys(p for name in names for p in networks[name].parameters() if p.requires_grad))
            for update, names in model.moves.items()
        }
        self.optimizers = {update: self._optimizer(update) for update in model.moves}
        self.weights = {name: getattr(model, name) for name in recipe.weights}
        with seeded(seed, self.device):
            self.random_state = self._random_state()
        self.step, self.seconds, self.lost_for = 0, 0.0, 0
        self.moved_at: dict[Tensor, int] = {}
        self.losses: dict[str, list[float]] = {}
        self.reports: list[Report] = []
        self._orders: list[tuple[int, Tensor]] = [(-1, torch.empty(0)) for _ in self.sets]

    def _optimizer(self, update: str) -> torch.optim.Optimizer:
        try:
            return self.recipe.optimizers[update].build(self.parameters[update])
        except (TypeError, ValueError) as error:
            found = self.recipe.optimizers[update]
            raise TrainingError(f"the recipe's optimizer of '{update}' cannot be, {found}: {error}") from error

    @property
    def clock(self) -> float:
        """Updates of 100 images so far."""
        return self.step * self.recipe.batch_size / 100

    def steps_to_next_pause(self) -> int:
        """How many steps to go on. Pauses lie at fixed steps, those of a resumed run too."""
        pauses = [self.step - self.step % every + every for every in (self.report_every, PAUSE_EVERY)]
        return min(*pauses, self.last) - self.step

    def report_is_due(self) -> bool:
        return self.step % self.report_every == 0 or self.step == self.last

    def minibatches(self) -> list[Images]:
        """One minibatch of each set of images, the next in its order."""
        size, found = self.recipe.batch_size, []
        for index, images in enumerate(self.sets):
            epoch, position = divmod(self.step, len(images) // size)
            if self._orders[index][0] != epoch:  # a function of seed, set and epoch: it needs no place in a checkpoint
                seed = self.seed * 1_000_003 + index * ORDERS + epoch % ORDERS
                order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
                self._orders[index] = (epoch, order.to(self.device))
            found.append(images[self._orders[index][1][position * size : (position + 1) * size]])
        return found

    def set_schedules(self) -> None:
        """Give the training noise, and the weights in the losses, their strength of now."""
        set_noise_strength(self.model, lambda layer: self.recipe.noise_strength(layer, self.clock))
        for name, value in self.weights.items():
            setattr(self.model, name, value * self.recipe.weights[name](self.clock))

    def mark_moved(self, parameters: list[Tensor]) -> None:
        """Note that these have just moved. (Fused optimizers do not tell autograd.)"""
        now = torch.zeros((), requires_grad=True).exp().grad_fn._sequence_nr()
        self.moved_at |= dict.fromkeys(parameters, now)

    @contextlib.contextmanager
    def training_mode(self) -> Iterator[None]:
        """Inside, the model trains on the run's own random numbers; afterwards all is as the caller left it."""
        if torch.is_inference_mode_enabled():  # which no enable_grad undoes
            raise TrainingError("no training inside torch.inference_mode(): take the reports outside of it")
        started = time.perf_counter()
        self.moved_at = {}  # each thread has a count of its own, and the next pause may be another one's
        self.model.train()
        try:
            # The caller's autocast would reach into the backward passes, and a caller's no_grad would stop them.
            with self._random_numbers(), torch.enable_grad(), torch.autocast(self.device.type, enabled=False):
                yield
        finally:
            self.model.eval()
            set_noise_strength(self.model, lambda layer: 1.0)
            for name, value in self.weights.items():
                setattr(self.model, name, value)
            self.seconds += time.perf_counter() - started

    def report(self, measure: Measure | None) -> None:
        """Add a report of this step."""
        self.model.eval()
        with own_random_numbers(self.device), torch.no_grad():
            measures = checks.check_measures(measure(self.model)) if measure else {}
        losses = {name: statistics.fmean(values) for name, values in self.losses.items()}
        rates = {update: self.recipe.learning_rate(update, self.clock) for update in self.recipe.optimizers}
        epoch = self.step / (len(self.sets[0]) // self.recipe.batch_size)
        self.reports.append(Report(self.step, self.clock, epoch, losses, rates, self.seconds, measures))
        if self.step % self.report_every == 0:  # else a longer run, which goes on from here, needs them
            self.losses = {}

    @contextlib.contextmanager
    def _random_numbers(self) -> Iterator[None]:
        with own_random_numbers(self.device):
            torch.set_rng_state(self.random_state["cpu"])
            if "cuda" in self.random_state:
                torch.cuda.set_rng_state(self.random_state["cuda"], self.device)
            yield
            self.random_state = self._random_state()

    def _random_state(self) -> dict[str, Tensor]:
        on_gpu = {"cuda": torch.cuda.get_rng_state(self.device)} if self.device.type == "cuda" else {}
        return {"cpu": torch.get_rng_state()} | on_gpu
