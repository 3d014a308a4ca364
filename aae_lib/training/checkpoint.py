"""Checkpoints: the complete state of a run in one file, from which it goes on with the same bits."""

import dataclasses
import inspect
import json
import math
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aae_lib.errors import StorageError, TrainingError
from aae_lib.storage import read_file, write_file
from aae_lib.training.batch_norm import recompute_batch_norm
from aae_lib.training.run import Report, Run

SAVE_EVERY_SECONDS = 30.0


class Checkpoint:
    """The checkpoint file of a run; without a path nothing is saved or resumed."""

    def __init__(self, run: Run, path: str | Path | None):
        self.run, self.path = run, None if path is None else Path(path)
        self.saved_at = -math.inf  # the first checkpoint comes at the first pause
        self.fingerprint = fingerprint(run) if self.path else {}

    def resume(self) -> None:
        """Bring the run to where its file says that it was; without a file it starts anew.

        Raises:
            TrainingError: if the file is damaged, of another run, or beyond the end of this one.
        """
        if self.path is None or not self.path.exists():
            return
        try:
            tensors, position = read_file(self.path, self.run.device)
        except StorageError as error:
            raise TrainingError(f"{error}. Delete it to start anew") from error
        theirs = position.pop("fingerprint", {})
        if differing := [_difference(name, theirs.get(name, ""), ours) for name, ours in self.fingerprint.items()
                         if theirs.get(name) != ours]:  # fmt: skip
            raise TrainingError(
                f"{self.path} is the checkpoint of another run ({'; '.join(differing[:3])}). Choose another folder or "
                "delete it"
            )
        if position.pop("checksum", None) != checksum(tensors, position):
            raise TrainingError(f"{self.path} is damaged or of another version (checksum). Delete it to start anew")
        if position["step"] > self.run.last:
            raise TrainingError(
                f"{self.path} is at step {position['step']}, beyond these {self.run.last} steps: ask for more or "
                "delete it"
            )
        self._restore(tensors, position)

    def save_if_due(self) -> None:
        """Write the file, if there is one and the last time was a while ago; always at the end."""
        is_due = self.run.step == self.run.last or time.monotonic() - self.saved_at > SAVE_EVERY_SECONDS
        if self.path is None or not is_due:
            return
        tensors, position = _tensors(self.run), _position(self.run)
        header = {"fingerprint": self.fingerprint, "checksum": checksum(tensors, position), **position}
        write_file(self.path, tensors, header)  # a kill leaves the old file or the new one
        self.saved_at = time.monotonic()

    def _restore(self, tensors: dict[str, Tensor], position: dict[str, Any]) -> None:
        run, kept = self.run, {update: {} for update in self.run.optimizers}
        with torch.no_grad():
            for name, weights in _weights(run.model).items():
                weights.copy_(tensors[name])
        run.random_state = {kind: tensors[f"random/{kind}"].cpu() for kind in run.random_state}
        for name, tensor in tensors.items():
            if name.startswith("optimizers/"):
                _, update, index, key = name.split("/")
                kept[update].setdefault(int(index), {})[key] = tensor
        for update, optimizer in run.optimizers.items():
            optimizer.load_state_dict({**optimizer.state_dict(), "state": kept[update]})
        run.step, run.seconds, run.lost_for = (position[name] for name in ("step", "seconds", "lost_for"))
        run.losses = position["losses"]
        run.reports = [Report(**report) for report in position["reports"]]
        if run.step < run.last and run.reports and run.reports[-1].step % run.report_every:
            run.reports.pop()  # the last report of a run that was to be shorter
        run.model.eval()
        recompute_batch_norm(run.model, run.sets[0].images)


def _tensors(run: Run) -> dict[str, Tensor]:
    """Weights, random numbers and what the optimizers keep, by name."""
    tensors = _weights(run.model) | {f"random/{kind}": state for kind, state in run.random_state.items()}
    for update, optimizer in run.optimizers.items():
        for index, entries in optimizer.state_dict()["state"].items():
            kept = {key: value for key, value in entries.items() if isinstance(value, Tensor)}
            tensors |= {f"optimizers/{update}/{index}/{key}": value for key, value in kept.items()}
    return tensors


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, by their names in the file; a shared one is there once."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {f"weights/{name}": tensor.detach() for name, tensor in named}


def _position(run: Run) -> dict[str, Any]:
    """Where the run is: plain data beside its tensors."""
    reports = [dataclasses.asdict(report) for report in run.reports]
    return {name: getattr(run, name) for name in ("step", "seconds", "lost_for", "losses")} | {"reports": reports}


def fingerprint(run: Run) -> dict[str, str]:
    """All that decides the bits of a run: a checkpoint of a run with another one is refused."""
    prior = run.model.prior
    fixed = {name: value for name, value in getattr(prior, "__dict__", {}).items()
             if isinstance(value, Tensor) and not value.requires_grad}  # fmt: skip  # learned ones are weights
    return {
        "model": describe(run.model),
        "prior": f"{prior!r}, tensors {checksum(fixed)}",  # the text of a tensor is rounded
        "recipe": str(run.recipe.to_data()),
        "seed": str(run.seed),
        "images": " + ".join(str(len(part)) for part in run.sets),
        "pixels": checksum({str(index): part.images for index, part in enumerate(run.sets)}),
        "labels": checksum({str(index): part.labels for index, part in enumerate(run.sets)}),
        "precision": f"{'bfloat16' if run.bfloat16 else 'float32'} on {run.device.type}",
        "report_every": str(run.report_every),  # the losses of a report that is half done belong to it
    }


def checksum(tensors: Mapping[str, Tensor], position: Mapping[str, Any] | None = None) -> str:
    """A checksum of names, types, shapes and numbers of tensors, and of plain data."""
    kinds = {name: [str(tensor.dtype), *tensor.shape] for name, tensor in tensors.items()}
    value = zlib.crc32(json.dumps([kinds, position], sort_keys=True).encode())
    for name in sorted(tensors):
        value = zlib.crc32(tensors[name].cpu().contiguous().numpy(), value)
    return f"{value:08x}"


def describe(model: nn.Module) -> str:
    """Classes, plain settings and sizes of a model and its layers: what tells it from another one of its class."""

    def settings(thing: object) -> str:
        plain = {}
        for name, value in vars(thing).items():
            if inspect.isroutine(value) or isinstance(value, str | int | float | tuple | None):
                plain[name] = getattr(value, "__qualname__", value)
        return ", ".join(f"{name}={plain[name]}" for name in sorted(plain) if name != "training" and name[0] != "_")

    shapes = [tuple(parameter.shape) for parameter in model.parameters()]
    layers = [f"{type(layer).__name__}({settings(layer)})" for layer in model.modules()]
    return f"{', '.join(layers)}; weights {shapes}"


def _difference(name: str, theirs: str, ours: str) -> str:
    """Where two descriptions differ, without what is long and the same."""
    first = next((i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), min(len(theirs), len(ours)))
    start = max(0, first - 30)
    theirs, ours = (f"{'...' * (start > 0)}{text[start:]:.60}" for text in (theirs, ours))
    return f"{name} {theirs!r}, not {ours!r}"
