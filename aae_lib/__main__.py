"""The command line: ``python -m aae_lib --help``."""

import json
import sys
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg
from tyro.extras import SubcommandApp

from aae_lib.data import DataError, load_mnist
from aae_lib.experiments import (
    Evidence,
    build,
    evidence_path,
    examine,
    find,
    load_evidence,
    load_trained,
    measure,
    train_experiment,
    weights_path,
)
from aae_lib.priors import PriorError
from aae_lib.storage import StorageError
from aae_lib.training import TrainingError

app = SubcommandApp()


@app.command
def train(
    name: Positional[str],
    /,
    seed: int = 0,
    steps: int | None = None,
    device: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    validation: bool = False,
) -> None:
    """Train an experiment from scratch and write its weights and evidence.

    Args:
        name: the experiment; `python -m aae_lib experiments` lists them.
        seed: of the initial weights, the data order and all noise.
        steps: stop after this many minibatches; the schedule stays where it is.
        device: cpu or cuda; default: the GPU if there is one.
        out: folder for state, weights and evidence; default: runs/NAME-seed-SEED.
        resume: continue from the state in that folder.
        validation: hold the last sixth of the training images out and measure on those instead of the test set.
    """
    experiment = find(name)
    out = out or Path("runs") / f"{name}-seed-{seed}{'-validation' if validation else ''}"
    if (out / "state.safetensors").exists() and not resume:
        raise TrainingError(f"{out} holds an earlier run: continue it with --resume, or choose another --out")
    digits = load_mnist()
    print(f"{experiment.title} on {digits.source}")
    try:
        for report in train_experiment(
            experiment, digits, out, seed=seed, steps=steps, device=device, validation=validation
        ):
            losses = "  ".join(f"{update} {loss:.3f}" for update, loss in report.losses.items())
            print(f"epoch {report.epoch:5.1f}  step {report.step:6d}  {report.seconds:5.0f} s  {losses}", flush=True)
    except KeyboardInterrupt:
        sys.exit(f"\ninterrupted; continue with: python -m aae_lib train {name} --seed {seed} --out {out} --resume")
    print(f"wrote {weights_path(experiment, out)} and {evidence_path(experiment, seed, out)}")


def main() -> None:
    """Run the command line; expected errors become one line and exit status 1."""
    try:
        app.cli(prog="python -m aae_lib")
    except (DataError, StorageError, TrainingError, PriorError, KeyError) as error:
        sys.exit(f"error: {error.args[0]}")


if __name__ == "__main__":
    main()
