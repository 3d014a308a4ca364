"""Several training runs as one: their weights stacked along a new first axis, their random numbers each its own.

A model's ``updates`` are written for one model. ``torch.func.vmap`` reads them for all runs of a stack: where one run
has a matrix, a stack of matrices is worked on, and each operation is done once. Two things need the tensors as they
are, stacked, and get them through the ``vmap`` method of a ``torch.autograd.Function``: gradients and optimizer, since
the next update is to see the new weights, and random numbers, since each run draws those that it draws alone.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from tqdm.auto import tqdm

from aae_lib.data import Images
from aae_lib.models.model import Model
from aae_lib.training import (
    UPDATES_PER_EPOCH,
    Recipe,
    Report,
    Run,
    TrainingError,
    check_losses,
    chosen_device,
    train_runs,
)


def train_stacked(
    models: Sequence[Model],
    images: Sequence[Images | tuple[Images, ...]],
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    steps: int | None = None,
    report_every: int = UPDATES_PER_EPOCH,
    measure: Callable[[Model], dict[str, float]] | None = None,
    state: Path | None = None,
    device: torch.device | str | None = None,
    bfloat16: bool | None = None,
    progress: bool = False,
) -> Iterator[list[Report]]:
    """Train several models side by side, as :func:`~aae_lib.training.train` does one; yield a report of each at a time.

    Their weights are stacked along a new first axis, and each operation is done once for all of them. That is meant for
    a GPU, most of which a single small model leaves idle; a CPU is about as fast with one run after the other. Each run
    has its own images in its own order, and draws the very random numbers that it draws alone, whoever is beside it;
    but for dropout on a GPU, which alone has a kernel of its own. The products of matrices, which come in batches here,
    may be rounded differently.

    Args:
        models: alike but for their weights and buffers; all else, such as a prior, is the first one's. Their
            ``updates`` must not look at the value of a tensor, reach weights through the model's networks only, and
            draw random numbers with ``torch.rand``, ``randn``, ``randint``, ``randperm``, ``rand_like``, ``randn_like``
            or dropout.
        images: the training images of each.
        seeds: one for each.
        recipe, steps, report_every, measure, device, bfloat16, progress: as for :func:`~aae_lib.training.train`. The
            seconds of a report are a run's share.
        state: as there, of all runs in one file.

    Raises:
        TrainingError: as there, naming the seed; for models that are not alike or cannot be stacked.
    """
    if not models or len({id(model) for model in models}) < len(models):
        raise TrainingError("stacked runs need at least one model, and each its own")
    if not len(models) == len(images) == len(seeds):
        raise TrainingError(f"{len(models)} models, {len(images)} sets of images and {len(seeds)} seeds do not match")
    chosen = chosen_device(device)
    runs = [
        Run(model, sets, recipe, seed, chosen, bfloat16, report_every)
        for model, sets, seed in zip(models, images, seeds, strict=True)
    ]
    if any(run.fingerprint["model"] != runs[0].fingerprint["model"] for run in runs):
        raise TrainingError("models that are not alike cannot be stacked: train them one by one")
    yield from train_runs(runs, _advance, steps, report_every, measure, state, progress)


def _advance(runs: list[Run]) -> Callable[[int, tqdm], None]:
    return runs[0].advance if len(runs) == 1 else Stack(runs).advance


class Stack:
    """Training runs at the same step that go on together.

    Args:
        runs: by one recipe, of models that are alike but for their weights. Weights and the optimizers' memory of each
            become views of the stacked ones, so a run can be looked at, saved and measured as if it were alone.
    """

    def __init__(self, runs: list[Run]):
        self.runs, self.first, self.names = runs, runs[0], runs[0].names
        for run in runs:
            run.whose = f" (seed {run.seed})"
        self.masters = {name: self._stacked([run.masters[name] for run in runs]) for name in self.first.masters}
        self.working = {
            name: self.masters[name]
            if self.first.working[name] is self.first.masters[name]
            else self._stacked([run.working[name] for run in runs])
            for name in self.first.working
        }
        self.leaves = {name: tensor.detach().requires_grad_() for name, tensor in self.working.items()}
        if self.first.bfloat16:
            for master in self.masters.values():
                master.grad = torch.empty_like(master)
        self.optimizers = {
            update: self.first.recipe.optimizers[update].build([self.masters[name] for name in names])
            for update, names in self.names.items()
        }
        for update, optimizer in self.optimizers.items():
            for name in self.names[update]:
                memories = [run.optimizers[update].state.get(run.masters[name]) for run in runs]
                if all(memories):
                    optimizer.state[self.masters[name]] = {
                        key: value if key == "step" else torch.stack([memory[key] for memory in memories])
                        for key, value in memories[0].items()
                    }
        self._give_back()
        buffers = [dict(run.model.named_buffers()) for run in runs]
        self.buffers = {name: self._stacked([of_run[name] for of_run in buffers]) for name in buffers[0]}
        self.numbers = torch.arange(len(runs), device=self.first.device)  # by which vmap tells draws of the runs apart
        self.sums: dict[str, tuple[Tensor, int]] = {}
        self.generators: list[dict[str, torch.Generator]] = []
        step = _Step(self)
        self.stacked_step = torch.func.vmap(
            lambda weights, number, *sets: torch.func.functional_call(step, weights, (number, *sets)),
            randomness="error",  # of what _InStack does not draw
        )

    @staticmethod
    def _stacked(tensors: list[Tensor]) -> Tensor:
        """The tensors stacked; they become views of the result."""
        stacked = torch.stack(tensors)
        for tensor, row in zip(tensors, stacked, strict=True):
            tensor.data = row
        return stacked

    def _give_back(self) -> None:
        """Let each run's optimizers remember what those of the stack do."""
        for update, optimizer in self.optimizers.items():
            for name in self.names[update]:
                memory = optimizer.state.get(self.masters[name], {})
                for index, run in enumerate(self.runs):
                    run.optimizers[update].state[run.masters[name]] = {
                        key: value.clone() if key == "step" else value[index] for key, value in memory.items()
                    }

    def advance(self, count: int, bar: tqdm) -> None:
        """Do ``count`` steps of all runs, then the periodic checks of each."""
        started = time.perf_counter()
        with contextlib.ExitStack() as training:
            for run in self.runs:
                training.enter_context(run.in_training())
            self._steps(count, bar)
            check_losses(self.runs)
            for run in self.runs:
                with run.random_numbers():
                    run.check_codes()
        for run in self.runs:
            run.seconds += (time.perf_counter() - started) / len(self.runs)

    def _steps(self, count: int, bar: tqdm) -> None:
        devices = {"cpu": "cpu", self.first.device.type: self.first.device}
        self.generators = [{kind: torch.Generator(devices[kind]) for kind in run.random_state} for run in self.runs]
        for run, generators in zip(self.runs, self.generators, strict=True):
            for kind, generator in generators.items():
                generator.set_state(run.random_state[kind])
        self.sums = {}
        try:
            with warnings.catch_warnings():
                # Of operations that vmap can only do for one run after the other; they are few.
                warnings.filterwarnings("ignore", "There is a performance drop")
                for _ in range(count):
                    self._one_step()
                    bar.update()
        except RuntimeError as error:
            if not str(error).startswith(("vmap", "NYI", "Batching rule not implemented")):
                raise
            kind = type(self.first.model).__name__
            raise TrainingError(f"{kind} cannot be stacked, train its seeds one by one ({error})") from error
        self._give_back()
        for index, (run, generators) in enumerate(zip(self.runs, self.generators, strict=True)):
            run.random_state = {kind: generator.get_state() for kind, generator in generators.items()}
            for name, (totals, added) in self.sums.items():
                total, before = run.sums.get(name, (0.0, 0))
                run.sums[name] = (totals[index] + total, added + before)

    def _one_step(self) -> None:
        for run in self.runs:
            run.set_schedules()
        sets = [
            (torch.stack([part.images for part in parts]), torch.stack([part.labels for part in parts]))
            for parts in zip(*(run.minibatches() for run in self.runs), strict=True)
        ]
        tensors = {f"model.{name}": tensor for name, tensor in (self.leaves | self.buffers).items()}
        self.stacked_step(tensors, self.numbers, *sets)
        for run in self.runs:
            run.step += 1

    def update(self, name: str, losses: Tensor) -> None:
        """One update of all runs, by their losses ``[runs]``."""
        values = losses.detach().double()
        if self.first.looks_at_once:
            for run, value in zip(self.runs, values.tolist(), strict=True):
                run.refuse_unless_finite(name, value)
        total, count = self.sums.get(name, (0.0, 0))
        self.sums[name] = (values + total, count + 1)
        # The weights of a run reach no loss but its own, so the gradient of the sum is made of those of each.
        gradients = self.first.gradients(name, losses.sum(), [self.leaves[n] for n in self.names[name]])
        self.first.descend(name, gradients, self.optimizers[name], self.working)

    def draw(self, function: Callable[[torch.Generator], Tensor], kind: str) -> Tensor:
        """What each run draws by ``function`` from its own random numbers, stacked."""
        return torch.stack([function(generators[kind]) for generators in self.generators])


class _Step(nn.Module):
    """One step of the first run's model, as vmap sees it."""

    def __init__(self, stack: Stack):
        super().__init__()
        self.model, self.updates = stack.first.model, stack.first.updates
        self.update, self.draw = stack.update, stack.draw

    def forward(self, number: Tensor, *sets: tuple[Tensor, Tensor]) -> Tensor:
        with _InStack(self.draw, number):
            for name, loss in self.updates(Images(*images_and_labels) for images_and_labels in sets):
                _AsTheyAre.apply(loss, partial(self.update, name))
        return number


class _InStack(TorchFunctionMode):
    """Inside, each run draws its random numbers from its own stream. What else draws some, vmap refuses."""

    def __init__(self, draw: Callable[..., Tensor], number: Tensor):
        super().__init__()
        self.draw, self.number = draw, number

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in (torch.rand, torch.randn, torch.randint, torch.randperm):
            return self._own(lambda generator: function(*args, generator=generator, **kwargs), kwargs.get("device"))
        if function in (torch.rand_like, torch.randn_like):
            by_size, like = (torch.rand if function is torch.rand_like else torch.randn), args[0]
            options = _options(like) | kwargs
            return self._own(lambda generator: by_size(like.shape, generator=generator, **options), options["device"])
        if function is F.dropout:
            return self._dropout(*args, **kwargs)
        if function in (torch.conv2d, torch.conv_transpose2d) and torch.is_autocast_enabled(args[0].device.type):
            # On a CPU autocast does not see the convolution that vmap makes of these.
            args = [arg.bfloat16() if isinstance(arg, Tensor) else arg for arg in args]
        if function is F.batch_norm:  # under vmap it does not take bfloat16 beside its float32 weights
            images, *others = args
            return function(images.float(), *others, **kwargs).to(images.dtype)
        return function(*args, **kwargs)

    def _own(self, draw: Callable[[torch.Generator], Tensor], device: torch.device | str | None) -> Tensor:
        kind = torch.device(device or "cpu").type
        return _AsTheyAre.apply(self.number, lambda numbers: self.draw(draw, kind))

    def _dropout(self, units: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not (training and p):
            return units
        if p == 1:
            return units * 0.0

        def kept(generator: torch.Generator) -> Tensor:
            return torch.empty(units.shape, **_options(units)).bernoulli_(1 - p, generator=generator).div_(1 - p)

        return units * self._own(kept, units.device)


def _options(tensor: Tensor) -> dict[str, Any]:
    return {"dtype": tensor.dtype, "device": tensor.device}


class _AsTheyAre(torch.autograd.Function):
    """Inside vmap, calls a function with a tensor as it is, stacked; gives what it returns, stacked, or nothing new."""

    @staticmethod
    def forward(tensor: Tensor, function: Callable[[Tensor], Tensor | None]) -> Tensor:
        raise RuntimeError("vmap found a loss that depends on nothing of a run")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        """Nothing to remember: no gradient goes through."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple, tensor: Tensor, function: Callable[[Tensor], Tensor | None]):
        result = function(tensor)
        return (tensor.detach() if result is None else result), 0
