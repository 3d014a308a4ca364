"""Many runs of experiments, each as a task of its own: over seeds and settings, on this machine or on a cluster.

A run writes one folder, resumes with the same bits, and is skipped when it is finished. So a sweep only hands out runs;
``dask.distributed`` does that, on the cores of this machine or wherever its workers are.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from aae_lib.data import load_images
from aae_lib.errors import AaeError, SettingError, TrainingError
from aae_lib.experiments.experiment import Experiment, evidence_path
from aae_lib.experiments.registry import find
from aae_lib.experiments.runs import train_experiment
from aae_lib.experiments.settings import Value, settings_text, with_settings
from aae_lib.seeding import check_seed

if TYPE_CHECKING:
    from distributed import Client

TOPIC = "aae_lib"  # of the messages in which workers say how far a run is
INSTALL = "sweeps need dask.distributed: pip install 'aae_lib[sweep]', or pip install 'dask[distributed]'"


@dataclass(frozen=True)
class Task:
    """One run of a sweep.

    Attributes:
        name, seed, steps, validation: as for ``train_experiment``.
        changes: of the experiment's numbers, by name (:func:`~aae_lib.experiments.settings.with_settings`).
        folder: of the run; it holds the checkpoint, and at the end weights and evidence.
    """

    name: str
    seed: int
    folder: str
    changes: Mapping[str, Value] = field(default_factory=dict)
    steps: int | None = None
    validation: bool = False

    @property
    def experiment(self) -> Experiment:
        return with_settings(find(self.name), self.changes)

    @property
    def last_step(self) -> int:
        return self.experiment.recipe.steps if self.steps is None else self.steps


@dataclass(frozen=True)
class Outcome:
    """How a run of a sweep ended: ``error`` is empty, or says why it did not come to its end."""

    task: Task
    error: str = ""


def plan(
    names: Sequence[str],
    seeds: Sequence[int],
    changes: Sequence[Mapping[str, Value]],
    out: str | Path,
    steps: int | None = None,
    validation: bool = False,
) -> list[Task]:
    """The tasks of a sweep: every experiment with every setting from every seed, all seeds of the first setting first.

    Raises:
        AaeError: if there is no such experiment, setting or seed; nothing has been started then.
    """
    if not names:
        raise SettingError("name at least one experiment; `python -m aae_lib experiments` lists them")
    tasks = []
    for name in names:
        for change in changes or [{}]:
            with_settings(find(name), change)
            for seed in seeds:
                check_seed(seed)
                run = "-".join(filter(None, (name, settings_text(change), f"seed-{seed}", "validation" * validation)))
                tasks.append(Task(name, seed, str(Path(out) / run), change, steps, validation))
    if steps is not None and steps < 1:
        raise TrainingError(f"steps must be at least 1, not {steps}")
    return tasks


def parse_seeds(text: str) -> list[int]:
    """Seeds from a text such as ``0-49`` or ``0,3,5-7``.

    Raises:
        SettingError: if it is no such text.
    """
    seeds: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            seeds += range(int(first), int(last if dash else first) + 1)
    except ValueError as error:
        raise SettingError(f"expected seeds such as 0-49 or 0,3,5-7, found '{text}'") from error
    if not seeds or len(set(seeds)) < len(seeds):
        raise SettingError(f"expected different seeds, at least one, found '{text}'")
    return seeds


def is_finished(task: Task) -> bool:
    """Whether the run has written its evidence, which comes last."""
    return evidence_path(task.experiment, task.seed, Path(task.folder)).exists()


def run(task: Task) -> None:
    """Train one run to its end, from its checkpoint if it has one; in a worker its progress is told to the sweep."""
    torch.set_num_threads(1)
    if is_finished(task):
        return
    experiment = task.experiment
    data = load_images(experiment.data)
    tell = _teller(task.folder)
    reports = train_experiment(
        experiment, data, task.folder, seed=task.seed, steps=task.steps, validation=task.validation, progress=False
    )
    for report in reports:
        tell(report.step)


def sweep(client: "Client", tasks: Sequence[Task], progress: bool = True) -> Iterator[Outcome]:
    """Hand the tasks that are not finished to the client's workers and yield how each ends, in the order of ending.

    A worker that dies is replaced, and its run goes on from its checkpoint on another one. A run that raises ends with
    an error and does not stop the others.
    """
    from distributed import as_completed

    waiting = [task for task in tasks if not is_finished(task)]
    with _bar(client, tasks, waiting, progress):
        futures = {client.submit(run, task, key=task.folder, pure=False): task for task in waiting}
        for future in as_completed(futures):
            error = future.exception()
            yield Outcome(futures[future], _in_words(error) if error else "")


@contextmanager
def local_cluster(workers: int | None = None) -> Iterator["Client"]:
    """A client of worker processes on this machine, with one thread each.

    Args:
        workers: default: as many as there are cores that this process may use.

    Raises:
        SettingError: if ``dask.distributed`` is not installed.
    """
    client_of, cluster_of = _distributed()
    count = workers or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    with (
        cluster_of(
            n_workers=count, threads_per_worker=1, processes=True, memory_limit=0, silence_logs=logging.CRITICAL,
            dashboard_address=":0",
        ) as cluster,
        client_of(cluster) as client,
    ):  # fmt: skip
        yield client


@contextmanager
def remote_cluster(scheduler: str) -> Iterator["Client"]:
    """A client of a cluster that is up.

    Args:
        scheduler: its scheduler's address, ``tcp://host:port``, or the path of a scheduler file.

    Raises:
        SettingError: if ``dask.distributed`` is not installed, or nobody answers there.
    """
    client_of, _ = _distributed()
    where = {"address": scheduler} if "://" in scheduler else {"scheduler_file": scheduler}
    try:
        client = client_of(**where, timeout=20)
    except (OSError, TimeoutError, ValueError) as error:
        raise SettingError(f"no scheduler answers at '{scheduler}': start one with `dask scheduler`") from error
    with client:
        yield client


def _distributed() -> tuple[Any, Any]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise SettingError(INSTALL) from error
    return Client, LocalCluster


def _teller(folder: str) -> Callable[[int], None]:
    """What tells the sweep that a run has come to a step: nothing outside of a worker."""
    try:
        from distributed import get_worker

        worker = get_worker()
    except (ImportError, ValueError):
        return lambda step: None

    return lambda step: worker.log_event(TOPIC, {"folder": folder, "step": step})


@contextmanager
def _bar(client: "Client", tasks: Sequence[Task], waiting: Sequence[Task], progress: bool) -> Iterator[None]:
    """One progress bar for all runs, in steps; finished runs count."""
    done = {task.folder: 0 for task in waiting}
    total = sum(task.last_step for task in tasks)
    initial = total - sum(task.last_step for task in waiting)

    def heard(event: tuple[float, dict[str, Any]]) -> None:
        message = event[1]
        if message["folder"] in done:
            bar.update(message["step"] - done[message["folder"]])
            done[message["folder"]] = message["step"]

    with tqdm(total=total, initial=initial, unit="step", disable=not progress, leave=False) as bar:
        client.subscribe_topic(TOPIC, heard)
        try:
            yield
        finally:
            client.unsubscribe_topic(TOPIC)


def _in_words(error: BaseException) -> str:
    return str(error.args[0]) if isinstance(error, AaeError) and error.args else f"{type(error).__name__}: {error}"
