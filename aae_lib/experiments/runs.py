"""Training runs, from an experiment to the files that it leaves."""

import hashlib
import math
import platform
import socket
import subprocess
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from filelock import SoftFileLock, Timeout

import aae_lib
from aae_lib.data import DataSet
from aae_lib.devices import chosen_device, multiplies_bfloat16
from aae_lib.errors import DataError, PriorError, ShapeError, TrainingError
from aae_lib.experiments.evidence import Evidence, Examination, examine, measure, save_evidence
from aae_lib.experiments.experiment import FORMAT, PRETRAINED, Experiment, Starts, evidence_path, weights_path
from aae_lib.experiments.registry import EXPERIMENTS
from aae_lib.models import Model
from aae_lib.seeding import check_seed
from aae_lib.storage import load_weights, save_weights
from aae_lib.training import Report, train

STATE = "state.safetensors"
LOCK = ".lock"
ROOT = Path(__file__).parent.parent.parent
GIT_SECONDS = 10.0


def train_experiment(
    experiment: Experiment, data: DataSet, out: str | Path, *, seed: int = 0, steps: int | None = None,
    device: str | None = None, validation: bool = False, progress: bool = True, init: str | Path | None = None,
) -> Iterator[Report]:  # fmt: skip
    """Train an experiment, yielding its reports; at the end write weights and evidence to the folder ``out``.

    Everything is checked at the call; training begins with the first report that is asked for.

    Args:
        data: the experiment selects from ``data.train`` what it trains on. ``data.test`` makes the evidence and the
            measures in the reports. Nothing is chosen by those: the model of the last update is kept, and what compares
            several starts is measured on training images.
        out: receives ``state.safetensors`` as training goes (an existing one is continued), ``NAME.safetensors.gz`` and
            ``NAME-seed-SEED.safetensors.gz`` (evidence). No other run may write to it at the same time. The second of
            several starts has ``state-1.safetensors``, and so on.
        validation: hold out the last sixth of the training images and make the evidence on those.
        seed, steps, device, progress: as for :func:`aae_lib.training.train`.
        init: a file of weights to start from (fine-tuning), or the name of an experiment whose weights ship.
            Adversaries that it lacks start anew.

    Raises:
        StorageError: there are no such weights, or they do not fit.
        TrainingError: the folder belongs to another run, or as :func:`aae_lib.training.train`.
    """
    check_seed(seed)
    out, device = Path(out), chosen_device(device)
    if not data.shape:
        raise ShapeError(
            f"'{experiment.name}' takes pictures, found a table: reshape it to [n, height, width], or give train"
            " a model of your own, with the loss unbounded_squared_error"
        )
    images, held_out = data.train.hold_out() if validation else (data.train, data.test)
    held_out = held_out.labeled() if len(held_out.labeled()) else held_out  # others cannot be compared with labels
    sets = experiment.select(images, seed)
    seeds = experiment.starts.seeds(seed) if experiment.starts else [seed]
    models = [_untrained(experiment, each, data) for each in seeds]
    header = _header(experiment, data, device) | {
        "seed": seed,
        "trained_on": sum(len(part) for part in sets),
        "evaluated_on": "validation" if validation else "test",
    }
    if init is not None:
        for model in models:
            header["init"] = _start_from(init, model)
    lock = _lock(out)
    try:
        if weights_path(experiment, out).exists() and not (out / STATE).exists():
            raise TrainingError(f"{out} holds the weights of an earlier run, but not its state: choose another folder")
        options = {"steps": steps, "device": device, "progress": progress, "report_every": experiment.report_every}
        starts = []
        for number, (each, model) in enumerate(zip(seeds, models, strict=True)):
            shown = Examination(experiment, model, held_out, images, data.name)
            state = out / (f"state-{number}.safetensors" if number else STATE)
            options |= {"seed": each, "measure": _measuring(shown), "state": state}
            starts.append(_Start(shown, each, train(model, sets, experiment.recipe, **options)))
    except BaseException:
        lock.release()
        raise
    return _finish(lock, starts, out, header)


def _untrained(experiment: Experiment, seed: int, data: DataSet) -> Model:
    """The experiment's model for these images, with the initial weights of a seed."""
    try:
        return experiment.model(seed, data.shape, data.classes)
    except PriorError as error:
        if data.classes >= 2:
            raise
        raise DataError(
            f"'{experiment.name}' needs images with labels of two classes or more, found {data.classes}: put pictures "
            "into a folder for each class, or train an experiment without labels"
        ) from error


def _header(experiment: Experiment, data: DataSet, device: torch.device) -> dict[str, Any]:
    """What is known before a run, such as the revision of the code that trains, whatever happens to it meanwhile."""
    return {
        "format": FORMAT,
        **experiment.as_data(),
        "data": data.source,
        "data_name": data.name,
        "data_sha256": data.sha256,
        "shape": list(data.shape),
        "classes": data.classes,
        "class_names": list(data.train.class_names),
        "inverted": data.inverted,
        "precision": "bfloat16" if multiplies_bfloat16(device) else "float32",
        **origin(device),
    }


def _start_from(init: str | Path, model: Model) -> dict[str, Any]:
    """Put weights from a file into the model; returns what a header says of them."""
    path = weights_path(EXPERIMENTS[init], PRETRAINED) if init in EXPERIMENTS else Path(init)
    adversaries = {name: getattr(model, name) for name in model.adversaries}
    theirs = load_weights(path, model)  # without its adversaries, if the file has none
    for name, network in adversaries.items():
        setattr(model, name, network)
    about = {name: theirs.get(name) for name in ("experiment", "seed", "steps", "data_name")}
    about["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    model.started_from = str(about)  # so that a checkpoint is of no run that started from other weights
    return about


@dataclass
class _Start:
    """One start of a run: what measures its model, its seed, and its reports, those to come and those so far."""

    shown: Examination
    seed: int
    coming: Generator[Report]
    reports: list[Report] = field(default_factory=list)

    def go(self, steps: float = math.inf) -> Iterator[Report]:
        """Train up to the first report after so many steps in all, or to the end."""
        while not self.reports or self.reports[-1].step < steps:
            report = next(self.coming, None)
            if report is None:
                break
            self.reports.append(report)
            yield report

    def history(self) -> list[dict[str, float]]:
        """The reports so far as a header holds them."""
        numbers = [report.losses | report.measures for report in self.reports]
        rounded = [{name: round(value, 4) for name, value in each.items()} for each in numbers]
        return [{"step": report.step, **each} for report, each in zip(self.reports, rounded, strict=True)]


def _last_left(starts: list[_Start], rule: Starts | None) -> Generator[Report, None, _Start]:
    """Yield the reports of the starts while the rule drops half of them again and again; return the one that is left.

    Raises:
        TrainingError: the reports do not have what the starts are compared by.
    """
    steps = 0
    while len(starts) > 1:
        steps += rule.steps
        for start in starts:
            for report in start.go(steps):
                if rule.measure not in report.measures:
                    raise TrainingError(
                        f"the starts are compared by {rule.measure}, which the reports of this model do not have: take "
                        "a single one, --set starts.count=1"
                    )
                yield report
        starts = sorted(starts, key=lambda start: start.reports[-1].measures[rule.measure], reverse=True)
        starts, dropped = starts[: len(starts) // 2], starts[len(starts) // 2 :]
        for start in dropped:
            start.coming.close()  # its progress bar goes
    return starts[0]


def _finish(lock: SoftFileLock, starts: list[_Start], out: Path, header: dict[str, Any]) -> Iterator[Report]:
    """Yield the reports; then write the weights, and the evidence of the weights as they are in the file."""
    experiment = starts[0].shown.experiment
    try:
        chosen = yield from _last_left(starts, experiment.starts)
        yield from chosen.go()
        if dropped := [start for start in starts if start is not chosen]:
            histories = [{"seed": start.seed, "history": start.history()} for start in dropped]
            header |= {"start": chosen.seed, "dropped": histories}
        seconds = sum(start.reports[-1].seconds for start in starts)
        header |= {"steps": chosen.reports[-1].step, "seconds": round(seconds, 1), "history": chosen.history()}
        shown = chosen.shown
        weights = weights_path(experiment, out)
        save_weights(weights, shown.model.cpu(), header, set(shown.model.adversaries) - set(experiment.ships or ()))
        trained = experiment.model(header["seed"], tuple(header["shape"]), header["classes"])
        load_weights(weights, trained)
        evidence = examine(experiment, trained, shown.images, header, shown.training)
        save_evidence(evidence_path(experiment, header["seed"], out), evidence)
    finally:
        lock.release()


def _measuring(shown: Examination) -> Callable[[Model], dict[str, float]] | None:
    """What measures a model at each report, if the chapter has measures for that."""
    measures = [each for each in shown.experiment.chapter.measures if each.at_reports]

    def measured(model: Model) -> dict[str, float]:
        tensors = replace(shown, model=model).collect(measures)
        return measure(shown.experiment, Evidence({}, shown.images.labels, tensors), measures)

    return measured if measures else None


def _lock(out: Path) -> SoftFileLock:
    """The lock of a run's folder, acquired. That of a process that has died is taken over."""
    out.mkdir(parents=True, exist_ok=True)
    lock = SoftFileLock(out / LOCK, thread_local=False)
    if _is_zombie(lock):
        lock.break_lock()
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        owner = f"process {lock.pid}" if lock.pid else "another process"
        raise TrainingError(
            f"{owner} trains in {out}: wait for it or choose another folder. If it does not run any more, on another "
            f"machine for instance, delete {out / LOCK}"
        ) from error
    return lock


def _is_zombie(lock: SoftFileLock) -> bool:
    """Whether the owner is a process of this machine that has ended but stays in its list; filelock says it lives."""
    try:
        host = Path(lock.lock_file).read_text().splitlines()[1].partition("?")[0]  # then comes that of a container
        return host == socket.gethostname() and psutil.Process(lock.pid).status() == psutil.STATUS_ZOMBIE
    except (OSError, IndexError, psutil.Error):
        return False


def origin(device: torch.device | str = "cpu") -> dict[str, Any]:
    """What a header says of where a file was made: the device, versions, and the git revision of the code."""
    device = torch.device(device)
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        cpu = torch.cpu.get_capabilities().get("cpu_name") or platform.processor()
        name = f"{cpu}, {torch.get_num_threads()} threads"
    return {
        "device": name,
        "versions": {"aae_lib": aae_lib.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "revision": _revision(),
    }


def _revision() -> str:
    """The git revision of the package's own checkout, with a + where the package has changes or new files."""
    if not (ROOT / ".git").exists():  # a repository that the package is merely installed in is none of its own
        return "unknown"

    def git(*command: str) -> str:
        of_checkout = f"--git-dir={ROOT / '.git'}", f"--work-tree={ROOT}"
        quietly = "--no-optional-locks", "-c", "core.fsmonitor=false"  # git runs no program of its configuration
        options = {"text": True, "stderr": subprocess.DEVNULL, "timeout": GIT_SECONDS}
        return subprocess.check_output(["git", *of_checkout, *quietly, *command], **options).strip()

    try:
        changed = git("status", "--porcelain", "--", str(ROOT / "aae_lib"))
        return git("describe", "--always", "--abbrev=12") + "+" * bool(changed)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
