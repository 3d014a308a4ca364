"""Runs that are killed at any moment and resumed end with the bits of a run that was never killed."""

import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from aae_lib import storage, training
from aae_lib.data import Images
from aae_lib.models import LabelInformedAutoencoder
from aae_lib.priors import GaussianMixture
from aae_lib.storage import read_file
from aae_lib.training import SGD, Cosine, Recipe, Rise, train

STEPS = 160
REPORT_EVERY, CHECK_EVERY = 16, 10  # so that there are states between reports as well as at them
KILLS = 20
RECIPE = Recipe(
    {"reconstruction": SGD(0.002, 0.9), "discriminator": SGD(0.05, 0.1), "generator": SGD(0.05, 0.1)},
    STEPS,
    Cosine(start=50, end=STEPS),
    noise={"GaussianNoise": Cosine(20, STEPS, final=0.0), "RandomAffine": Cosine(40, 120, final=0.5)},
    weights={"labeled_weight": Rise(0.1, 10, STEPS)},
)


def model_and_sets() -> tuple[LabelInformedAutoencoder, tuple[Images, Images]]:
    """A model that draws noise, motion and samples, and two sets whose passes take five minibatches and three."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LabelInformedAutoencoder(GaussianMixture(), hidden=(8,))
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.1)
        everything = Images(torch.rand(800, 784).round(), torch.arange(800) % 10)
        return model, (everything[:500], everything[500:])


def run(state: Path, slow: str | None = None) -> None:
    """Train to the end, writing a state at each checkpoint.

    slow: a moment of each write that leaves a mark beside the state and then takes so long that a kill lands in it.
    """
    torch.set_num_threads(1)
    training.STATE_EVERY_SECONDS, training.CHECK_EVERY_STEPS = 0.0, CHECK_EVERY

    def at_length(function: Callable) -> Callable:
        def delayed(*arguments: object, **named: object) -> object:
            state.with_name("mark").touch()
            time.sleep(60)
            return function(*arguments, **named)

        return delayed

    if slow == "before the file is written":
        storage.save_file = at_length(storage.save_file)
    if slow == "while the file is half written":
        save_file = storage.save_file

        def halve(tensors: dict[str, Tensor], path: Path, **arguments: object) -> None:
            save_file(tensors, path, **arguments)
            os.truncate(path, path.stat().st_size // 2)
            at_length(lambda: None)()

        storage.save_file = halve
    if slow == "before the file is on disk":
        os.fsync = at_length(os.fsync)
    if slow == "before the file is in place":
        os.replace = at_length(os.replace)
    model, sets = model_and_sets()
    for _ in train(model, sets, RECIPE, state=state, report_every=REPORT_EVERY, device="cpu", bfloat16=False):
        pass


MOMENTS = [
    "before the file is written",
    "while the file is half written",
    "before the file is on disk",
    "before the file is in place",
]


@pytest.fixture(scope="module")
def start() -> Callable[..., BaseProcess]:
    """Starts `run` in a process of its own; a server that has imported torch forks it off within milliseconds."""
    context = multiprocessing.get_context("forkserver")
    # Optimizers import torch._dynamo when they are first made, which takes a second.
    context.set_forkserver_preload(["torch", "torch._dynamo", "pytest", "aae_lib.training", __name__])

    def start_run(state: Path, slow: str | None = None) -> BaseProcess:
        process = context.Process(target=run, args=(state, slow))
        process.start()
        return process

    return start_run


def kill(process: BaseProcess) -> None:
    with contextlib.suppress(ProcessLookupError):  # it may have ended by itself a moment ago: see its exit code
        os.kill(process.pid, signal.SIGKILL)
    process.join()


@pytest.fixture(scope="module")
def expected(start, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], list, float]:
    """The end of a run that was never killed: its tensors, its reports, and the seconds it took."""
    state = tmp_path_factory.mktemp("unbroken") / "state"
    start(tmp_path_factory.mktemp("warm") / "state").join()
    begun = time.perf_counter()
    process = start(state)
    process.join()
    seconds = time.perf_counter() - begun
    assert process.exitcode == 0
    tensors, position = read_file(state)
    return tensors, reports_of(position), seconds


def reports_of(position: dict) -> list:
    return [(report["step"], report["losses"], report["learning_rates"]) for report in position["reports"]]


def assert_ended_as(state: Path, expected: tuple[dict[str, Tensor], list, float]) -> None:
    tensors, position = read_file(state)
    assert position["step"] == STEPS and reports_of(position) == expected[1]
    assert tensors.keys() == expected[0].keys()
    assert all(torch.equal(tensor, expected[0][name]) for name, tensor in tensors.items())


def step_of(state: Path) -> int:
    """The position of a state, which must be readable if it is there."""
    return read_file(state)[1]["step"] if state.exists() else 0


def test_the_unbroken_run_is_that_of_this_process(expected, tmp_path: Path) -> None:
    model, sets = model_and_sets()
    arguments = {"state": tmp_path / "state", "report_every": REPORT_EVERY, "device": "cpu", "bfloat16": False}
    assert [report.step for report in train(model, sets, RECIPE, **arguments)] == list(range(16, 161, 16))
    assert_ended_as(tmp_path / "state", expected)
    before, _ = model_and_sets()
    assert not torch.equal(before.encoder[2].weight, model.encoder[2].weight)


def test_runs_killed_at_random_moments_end_the_same(start, expected, tmp_path: Path) -> None:
    delays = random.Random(0)
    killed_at, finished = [], 0
    while len(killed_at) < KILLS or not finished:
        state = tmp_path / f"run-{finished}" / "state"
        reached = step_of(state)
        process = start(state)
        if len(killed_at) < KILLS:
            process.join(delays.uniform(0.02, 0.8) * expected[2])
        else:
            process.join()
        if process.exitcode is None:
            kill(process)
        if process.exitcode == 0:
            assert_ended_as(state, expected)
            finished += 1
        else:
            assert process.exitcode == -signal.SIGKILL
            killed_at.append(step_of(state))
            assert killed_at[-1] >= reached
    assert len(set(killed_at)) > 3  # the moments do differ


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("is_first", [True, False])
def test_runs_killed_while_a_state_is_written_end_the_same(
    moment: str, is_first: bool, start, expected, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    if not is_first:
        process = start(state)
        while not (state.exists() and process.is_alive()):
            assert process.is_alive() and process.exitcode is None
            time.sleep(0.001)
        kill(process)
    reached, content = step_of(state), state.read_bytes() if state.exists() else None
    assert reached < STEPS and (reached == 0) == is_first
    process = start(state, moment)
    deadline = time.monotonic() + 20
    while not state.with_name("mark").exists():
        assert time.monotonic() < deadline and process.is_alive()
        time.sleep(0.001)
    kill(process)
    # Whatever was being written, the state is the old one, whole.
    assert (state.read_bytes() if state.exists() else None) == content
    if moment != MOMENTS[0]:
        assert list(tmp_path.glob("state.*"))  # the kill did land in the write
    process = start(state)
    process.join()
    assert process.exitcode == 0
    assert_ended_as(state, expected)
    assert not list(tmp_path.glob("state.*"))
