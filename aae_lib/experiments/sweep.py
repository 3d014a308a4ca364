"""Many runs of experiments, each as a task of its own: over seeds and settings, on this machine or on a cluster.

A run writes one folder, resumes with the same bits, and is skipped when it is finished. So a sweep only hands out runs;
``dask.distributed`` does that, on the cores of this machine or wherever its workers are.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from aae_lib.data import load_images
from aae_lib.errors import AaeError, SettingError
from aae_lib.experiments.evidence import read_evidence
from aae_lib.experiments.experiment import Experiment, evidence_path
from aae_lib.experiments.registry import find
from aae_lib.experiments.runs import train_experiment
from aae_lib.experiments.settings import Value, run_name, with_settings
from aae_lib.seeding import check_seed
from aae_lib.training.checks import check_count

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class Task:
    """One run of a sweep; the names are those of ``train_experiment`` and ``with_settings``."""

    name: str
    seed: int
    folder: str  # it holds the checkpoint, and at the end weights and evidence
    changes: Mapping[str, Value] = field(default_factory=dict)
    steps: int | None = None
    validation: bool = False

    @property
    def experiment(self) -> Experiment:
        return with_settings(find(self.name), self.changes)


def plan(
    names: Sequence[str], seeds: Sequence[int], changes: Sequence[Mapping[str, Value]], out: str | Path,
    steps: int | None = None, validation: bool = False,
) -> list[Task]:  # fmt: skip
    """The tasks of a sweep: every experiment with every setting from every seed, all seeds of the first setting first.

    Raises:
        AaeError: if there is no such experiment, setting or seed; nothing has been started then.
    """
    if not names:
        raise SettingError("name at least one experiment; `python -m aae_lib experiments` lists them")
    if steps is not None:
        check_count("steps", steps)
    tasks = []
    for name in names:
        experiment = find(name)
        for change in changes:
            with_settings(experiment, change)
            for seed in seeds:
                check_seed(seed)
                folder = Path(out) / run_name(experiment.name, change, seed, validation)
                tasks.append(Task(name, seed, str(folder), change, steps, validation))
    return tasks


def parse_seeds(text: str) -> list[int]:
    """Seeds from a text such as ``0-49`` or ``0,3,5-7``; raises a SettingError if it is no such text."""
    seeds: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            numbers = range(int(first), int(last if dash else first) + 1)
            if not numbers:
                raise ValueError(f"{part} ends before it begins")
            seeds += numbers
    except ValueError as error:
        raise SettingError(f"expected seeds such as 0-49 or 0,3,5-7, found '{text}'") from error
    if not seeds or len(set(seeds)) < len(seeds):
        raise SettingError(f"expected different seeds, at least one, found '{text}'")
    return seeds


def is_finished(task: Task) -> bool:
    """Whether the run has written its evidence, which comes last, after as many steps as the task asks for."""
    experiment = task.experiment
    path = evidence_path(experiment, task.seed, Path(task.folder))
    return path.exists() and read_evidence(path).header["steps"] == (task.steps or experiment.recipe.steps)


def run(task: Task) -> None:
    """Train one run to its end, from its checkpoint if it has one."""
    torch.set_num_threads(1)
    if is_finished(task):
        return
    options = {"seed": task.seed, "steps": task.steps, "validation": task.validation, "progress": False}
    list(train_experiment(task.experiment, load_images(task.experiment.data), task.folder, **options))


def sweep(client: "Client", tasks: Sequence[Task]) -> Iterator[tuple[Task, str]]:
    """Hand tasks to the client's workers; yields each with its error, or an empty text, in the order of ending.

    A worker that dies is replaced, and its run goes on from its checkpoint on another one. A run that raises does not
    stop the others.
    """
    from distributed import as_completed

    futures = {client.submit(run, task, key=task.folder, pure=False): task for task in tasks}
    for future in as_completed(futures):
        error = future.exception()
        text = str(error.args[0]) if isinstance(error, AaeError) else f"{type(error).__name__}: {error}"
        yield futures[future], text if error else ""


@contextmanager
def cluster(scheduler: str | None = None, workers: int | None = None) -> Iterator["Client"]:
    """A client of a cluster of workers with one thread each.

    Args:
        scheduler: of a cluster that is up: its address, ``tcp://host:port``, or the path of its scheduler file; None:
            worker processes on this machine, which end with the client.
        workers: on this machine; default: as many as there are cores that this process may use.

    Raises:
        SettingError: if ``dask.distributed`` is not installed, or no scheduler answers.
        TrainingError: fewer than one worker.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise SettingError("sweeps need dask.distributed: pip install 'dask[distributed]'") from error
    if workers is not None:
        check_count("workers", workers)
    if scheduler is None:
        options = {"memory_limit": 0, "silence_logs": logging.CRITICAL, "dashboard_address": None}
        with LocalCluster(n_workers=workers, threads_per_worker=1, **options) as local, Client(local) as client:
            yield client
        return
    where = {"address": scheduler} if "://" in scheduler else {"scheduler_file": scheduler}
    try:
        if "://" not in scheduler:
            Path(scheduler).read_bytes()  # for a file that is missing the client would wait
        client = Client(**where, timeout=20)
    except (OSError, TimeoutError, ValueError, KeyError, AssertionError) as error:
        raise SettingError(f"no scheduler answers at '{scheduler}': start one with `dask scheduler`") from error
    with client:
        yield client
