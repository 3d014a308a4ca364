"""Training runs, from an experiment to the files that it leaves."""

import platform
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

import aae_lib
from aae_lib.data import Digits
from aae_lib.experiments.evidence import evidence_path, examine, examined_topic, interim_metrics, save_evidence
from aae_lib.experiments.registry import Experiment, build
from aae_lib.experiments.trained import weights_path
from aae_lib.stacking import train_stacked
from aae_lib.storage import load_weights, save_weights
from aae_lib.training import Report, TrainingError, check_seed, chosen_device, multiplies_bfloat16


def train_experiment(
    experiment: Experiment,
    digits: Digits,
    out: Path,
    *,
    seed: int = 0,
    steps: int | None = None,
    device: str | None = None,
    validation: bool = False,
    progress: bool = True,
) -> Iterator[Report]:
    """Train an experiment, yielding its reports; at the end write weights and evidence to the folder ``out``.

    Args:
        digits: the experiment selects from ``digits.train`` what it trains on; ``digits.test`` makes the evidence and,
            for a model that classifies, clusters or generates, the error or FID in every report. Nothing is chosen by
            those: the model of the last update is kept.
        validation: train without the last sixth of the training images and make the evidence on those: for every
            choice that is made before the final run.
        out: receives ``state.safetensors`` as training goes (an existing one is continued), ``NAME.safetensors`` and
            ``NAME-seed-SEED.safetensors`` (evidence).
        seed, steps, device, progress: as for :func:`aae_lib.training.train`.
    """
    together = train_seeds(
        experiment, digits, out, seeds=[seed], steps=steps, device=device, validation=validation, progress=progress
    )
    for (report,) in together:
        yield report


def check_request(seeds: Sequence[int], steps: int | None) -> None:
    """Refuse seeds and a number of steps that nothing can be trained with; no steps: the recipe's.

    Raises:
        TrainingError: for no seed, equal ones, one that is not from 0 to 4293, and fewer steps than one.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise TrainingError(f"name one seed, or several that differ, not {tuple(seeds)}")
    for seed in seeds:
        check_seed(seed)
    if steps is not None and steps < 1:
        raise TrainingError(f"nothing to do: {steps} steps")


def seed_folder(out: Path, seeds: Sequence[int], seed: int) -> Path:
    """Where the weights and evidence of one of the seeds that train together go: to ``out`` if it is the only one."""
    return out if len(seeds) == 1 else out / f"seed-{seed}"


def train_seeds(
    experiment: Experiment,
    digits: Digits,
    out: Path,
    *,
    seeds: Sequence[int],
    steps: int | None = None,
    device: str | None = None,
    validation: bool = False,
    progress: bool = True,
) -> Iterator[list[Report]]:
    """As :func:`train_experiment`, from several seeds side by side (:func:`aae_lib.stacking.train_stacked`).

    ``out`` receives the state of all; weights and evidence of each go to its :func:`seed_folder`.
    """
    check_request(seeds, steps)
    images, held_out = digits.train.hold_out() if validation else (digits.train, digits.test)
    sets = [experiment.select(images, seed) for seed in seeds]
    made_by = origin(device)  # the code that trains, whatever happens to the checkout meanwhile
    models = [build(experiment, seed) for seed in seeds]
    history = []
    topic = examined_topic(experiment, digits)
    progressing = partial(interim_metrics, images=held_out, naming=images.hold_out()[1], topic=topic)
    options = {
        "seeds": seeds,
        "steps": steps,
        "measure": progressing,
        "state": out / "state.safetensors",
        "device": device,
        "progress": progress,
    }
    for reports in train_stacked(models, sets, experiment.recipe, **options):
        history.append(reports)
        yield reports
    for seed, model, reports, trained_on in zip(seeds, models, zip(*history, strict=True), sets, strict=True):
        header = {
            "experiment": experiment.name,
            "recipe": repr(experiment.recipe),
            "source": experiment.source,
            "seed": seed,
            "steps": reports[-1].step,
            "seconds": round(reports[-1].seconds, 1),
            "data": digits.source,
            "data_name": digits.name,
            "data_sha256": digits.sha256,
            "trained_on": sum(len(part) for part in trained_on),
            "evaluated_on": "validation" if validation else "test",
            "precision": "bfloat16" if multiplies_bfloat16(chosen_device(device)) else "float32",
            **made_by,
            "history": [
                {"step": r.step, **{name: round(value, 4) for name, value in (r.losses | r.measures).items()}}
                for r in reports
            ],
        }
        if len(seeds) > 1:
            header["side_by_side"] = len(seeds)  # the seconds are this run's share
        folder = seed_folder(out, seeds, seed)
        weights = weights_path(experiment, folder)
        save_weights(weights, model.cpu(), header)
        # The evidence comes from the weights as they ship, so that it can be had again from the file.
        trained = build(experiment, seed)
        load_weights(weights, trained)
        evidence = examine(trained.eval(), held_out, header, training=images, topic=topic)
        save_evidence(evidence_path(experiment, seed, folder), evidence)


def origin(device: str | None = None) -> dict[str, Any]:
    """What a file's header says of where it was made: processor, versions, and git revision of the code."""
    return {
        "device": _processor(device),
        "versions": {"aae_lib": aae_lib.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "revision": _revision(),
    }


def _processor(device: str | None) -> str:
    if chosen_device(device).type == "cuda":
        return torch.cuda.get_device_name(chosen_device(device))
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor()
    return f"{name}, {torch.get_num_threads()} threads"


def _revision() -> str:
    """The git revision, with a + where the package has changes or new files, or 'unknown' outside of a checkout."""

    def git(*command: str) -> str:
        git_here = ["git", "-C", str(Path(__file__).parent.parent)]
        return subprocess.check_output([*git_here, *command], text=True, stderr=subprocess.DEVNULL).strip()

    try:
        return git("describe", "--always", "--abbrev=12") + "+" * bool(git("status", "--porcelain", "--", "."))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
