"""The training loop. Read this first: it is all that replaces ``loss.backward()`` and ``optimizer.step()``.

Each step takes a minibatch, asks the model for its updates one after the other, and moves for each of them exactly the
networks that the update names. What is checked on the way stands in ``checks.py``; what is remembered between steps, in
``run.py``; how a run survives a kill, in ``checkpoint.py``.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from aae_lib.data import Images
from aae_lib.errors import TrainingError
from aae_lib.models import Model
from aae_lib.training import checks
from aae_lib.training.batch_norm import recompute_batch_norm
from aae_lib.training.checkpoint import Checkpoint
from aae_lib.training.recipe import UPDATES_PER_EPOCH, Recipe
from aae_lib.training.run import Measure, Report, Run


def train(
    model: Model, images: Images | Sequence[Images], recipe: Recipe, *, seed: int = 0, steps: int | None = None,
    report_every: int = UPDATES_PER_EPOCH, measure: Measure | None = None, state: str | Path | None = None,
    device: torch.device | str | None = None, bfloat16: bool | None = None, progress: bool = False,
) -> Iterator[Report]:  # fmt: skip
    """Train ``model``; the iterator yields a :class:`Report` every ``report_every`` steps and after the last one.

    Everything is checked at the call; training begins with the first report that is asked for. At each report the model
    is in evaluation mode and torch's random numbers are the caller's own, so the caller may plot, measure or stop
    without changing the run.

    Args:
        model: what to train; it is moved to ``device``.
        images: the training images. Each pass over them takes a new random order. A model whose ``updates`` take
            several minibatches (say, unlabeled and labeled) needs as many sets of images.
        recipe: optimizers, schedule, batch size and number of steps.
        seed: of the order of the images and of all random numbers that the updates draw, from 0 to 4293. The initial
            weights are the caller's.
        steps: stop after this many minibatches instead of ``recipe.steps``; the schedule stays where it is.
        report_every: minibatches between two reports.
        measure: called with the model in evaluation mode at each report, which then carries its numbers.
        state: a checkpoint file, written about every 30 seconds and at the end. If it exists, the run goes on from it:
            earlier reports come again, and on a CPU the end has the same bits as that of a run without a break.
        device: default: the GPU if PyTorch sees one.
        bfloat16: multiply matrices in bfloat16. Default: where the processor does so natively.
        progress: show a progress bar.

    Raises:
        TrainingError: at the call, if model, images, recipe and checkpoint do not fit together; later, if a loss is not
            finite or computed with weights of before, an update does not reach its networks, or the codes get lost.
    """
    run = Run(model, images, recipe, seed, steps, report_every, device, bfloat16)
    checkpoint = Checkpoint(run, state)
    checkpoint.resume()
    return _train(run, checkpoint, measure, progress)


def _train(run: Run, checkpoint: Checkpoint, measure: Measure | None, progress: bool) -> Iterator[Report]:
    yield from list(run.reports)  # those of a run that is resumed
    with tqdm(total=run.last, initial=run.step, disable=not progress, unit="step", leave=False) as bar:
        while run.step < run.last:
            with run.training_mode():
                for _ in range(run.steps_to_next_pause()):
                    step(run)
                    bar.update()
                checks.check_codes(run)
            if run.report_is_due():
                checks.check_weights(run)
                recompute_batch_norm(run.model, run.sets[0].images)
                run.report(measure)
            checkpoint.save_if_due()
            if run.report_is_due():
                yield run.reports[-1]


def step(run: Run) -> None:
    """One step: a minibatch of each set of images, and all updates of the model on them."""
    run.set_schedules()
    for name, loss in updates(run):
        value = checks.check_loss(run, name, loss)
        checks.check_graph(run, name, loss)
        parameters, optimizer = run.parameters[name], run.optimizers[name]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        checks.check_reached(run, name, gradients)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            # Fused optimizers read a gradient as if it lay in memory in the order of its parameter.
            alike = gradient.stride() == parameter.stride()
            parameter.grad = gradient if alike else torch.empty_like(parameter).copy_(gradient)

        optimizer.param_groups[0]["lr"] = run.recipe.learning_rate(name, run.clock)
        optimizer.step()
        optimizer.zero_grad()  # nothing is left for a caller's own backward pass to add to
        run.mark_moved(parameters)  # a loss that was computed with them before is refused from now on
        run.losses.setdefault(name, []).append(value)
    run.step += 1


def updates(run: Run) -> Iterator[tuple[str, Tensor]]:
    """The updates of one step and their losses; the networks of each are moved before the next one is asked for."""
    generator = checks.check_generator(run.model, run.model.updates(*run.minibatches()))
    seen = set()
    while True:
        # Autocast is entered anew for each update, without its cache: else a cast copy of a weight would outlive it.
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.bfloat16, cache_enabled=False):
            update = next(generator, None)
        if update is None:
            break
        name, loss = checks.check_update(run.model, update)
        yield name, loss
        seen.add(name)
    if missing := set(run.model.moves) - seen:
        raise TrainingError(f"{type(run.model).__name__}.updates never yielded {sorted(missing)}")
