"""Sweeps: every run of the grid as it would be alone, whatever dies on the way, and the table of what came out."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from aae_lib.__main__ import main
from aae_lib.data import load_images
from aae_lib.errors import AaeError, PriorError, SettingError, StorageError, TrainingError
from aae_lib.experiments import find, sweep, train_experiment
from aae_lib.experiments.collect import collect, summarize
from aae_lib.experiments.settings import changes_of, parse_settings, settings_text, with_settings
from aae_lib.experiments.sweep import Task, cluster, is_finished, parse_seeds, plan
from aae_lib.experiments.trained import _as_trained
from aae_lib.priors import DrawnPrior
from aae_lib.storage import read_file

TINY = {"model.hidden": (8,)}
RATE = "recipe.optimizers.generator.learning_rate"
OWN_RATE = "recipe.optimizers.classification.learning_rate"
OWN = """
from dataclasses import replace
from aae_lib.experiments import find

MINE = replace(find("labels-100"), name="mine", data="MNIST-sample")
"""


@pytest.fixture(scope="module", autouse=True)
def sample_digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No MNIST and no network, for this process and its workers: 5,000 digits are enough, and quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AAE_DATA", str(tmp_path_factory.mktemp("no-data")))
        for name in ("http_proxy", "https_proxy"):
            patch.setenv(name, "http://127.0.0.1:9")
        yield


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An experiment of one's own that trains and measures fast."""
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(OWN)
    return f"{path}:MINE"


@pytest.fixture(scope="module")
def client() -> Iterator:
    with cluster(workers=2) as client:
        yield client


def outcomes(client: object, tasks: list[Task]) -> dict[str, str]:
    return {task.folder: error for task, error in sweep.sweep(client, tasks)}


def weights(folder: str | Path) -> dict[str, torch.Tensor]:
    return read_file(Path(folder) / "state.safetensors")[0]


def same(one: str | Path, other: str | Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def alone(task: Task, folder: Path) -> Path:
    """The same run without a sweep, on one thread."""
    data = load_images(task.experiment.data)
    list(train_experiment(task.experiment, data, folder, seed=task.seed, steps=task.steps, progress=False))
    return folder


# Settings


def test_settings_are_typed_and_checked_and_come_back_from_a_header() -> None:
    experiment = find("cluster-16")
    changed = with_settings(experiment, {"model.label_weight": 1, RATE: 0.02, "recipe.batch_size": 50,
                                         "prior.dimensions": 5, "model.hidden": (8, 8)})  # fmt: skip
    assert changed.settings["label_weight"] == 1.0 and isinstance(changed.settings["label_weight"], float)
    assert changed.recipe.optimizers["generator"].learning_rate == 0.02 and changed.recipe.batch_size == 50
    assert changed.prior.dimensions == 5 and experiment.prior.dimensions == 10
    assert changes_of(experiment, changed.as_data())["model.label_weight"] == 1.0
    assert changes_of(experiment, experiment.as_data()) == {}
    assert experiment == find("cluster-16"), "the registered one stays as it is"


@pytest.mark.parametrize(
    "text",
    ["model.label_wait=1", "model.clusters=16.5", "model.batch_norm=1", "model.hidden=wide", "recipe.steps=many",
     "recipe.optimizers.generator.rate=1", "recipe.schedule.kind='Drops'", "prior.deviation=1",
     "prior.standard_deviation=-1.0", "prior.dimensions=0", "steps=3", "recipe.steps=0", "recipe.schedule.end=1"],
)  # fmt: skip
def test_a_setting_that_is_none_is_refused(text: str) -> None:
    (changes,) = parse_settings([text])
    with pytest.raises((SettingError, TrainingError, PriorError)):
        with_settings(find("cluster-16"), changes)


def test_a_prior_of_tensors_is_that_of_the_experiment_and_no_other() -> None:
    experiment = replace(find("aae-gaussian"), prior=DrawnPrior("spiral"))
    header = experiment.as_data()
    assert _as_trained(experiment, header).prior.sample(5).shape == (5, 2)
    with pytest.raises(ValueError, match="_points"):
        _as_trained(experiment, header | {"prior": header["prior"] | {"_points": "of another curve"}})


def test_a_grid_is_every_combination() -> None:
    grid = list(parse_settings(["model.label_weight=0.1,0.2", "model.hidden=(8,),(8, 8)"]))
    assert [tuple(change.values()) for change in grid] == [(0.1, (8,)), (0.1, (8, 8)), (0.2, (8,)), (0.2, (8, 8))]
    assert settings_text(grid[1]) == "model.hidden=(8,8)-model.label_weight=0.1" and settings_text({}) == ""
    for wrong in (["model.hidden"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(SettingError):
            list(parse_settings(wrong))


def test_seeds_are_numbers_and_ranges() -> None:
    assert parse_seeds("0-3,7") == [0, 1, 2, 3, 7] and parse_seeds("5") == [5]
    for wrong in ("", "a", "1-", "3-1", "0,3-1", "1,1"):
        with pytest.raises(SettingError):
            parse_seeds(wrong)


def test_nothing_starts_if_a_part_of_the_plan_is_wrong(tmp_path: Path) -> None:
    for name, seed, changes, steps in (
        ("nonsense", 0, {}, 1), ("aae-gaussian", -1, {}, 1), ("aae-gaussian", 0, {"model.x": 1}, 1),
        ("aae-gaussian", 0, {}, 0),
    ):  # fmt: skip
        with pytest.raises(AaeError):
            plan([name], [seed], [changes], tmp_path, steps)
    assert not list(tmp_path.iterdir())


# Runs


def test_each_run_has_the_bits_that_it_has_alone_and_the_table_has_all(client, mine: str, tmp_path: Path) -> None:
    tasks = plan([mine], [0, 1], [{**TINY, OWN_RATE: 0.1}, {**TINY, OWN_RATE: 0.05}], tmp_path / "runs", steps=40)
    assert outcomes(client, tasks) == {task.folder: "" for task in tasks}
    for task in tasks[::3]:
        assert same(task.folder, alone(task, tmp_path / f"alone-{task.seed}-{task.changes[OWN_RATE]}"))
    assert all(map(is_finished, tasks))

    runs = collect(tmp_path / "runs", (mine,))
    assert len(runs) == 4 and set(runs["seed"]) == {0, 1}
    assert set(runs["settings"]) == {settings_text(TINY), settings_text({**TINY, OWN_RATE: 0.05})}, "0.1 is registered"
    table = summarize(runs).set_index(["settings", "measure"])
    row = table.loc[(settings_text(TINY), "test_error_percent")]
    values = runs.loc[runs["settings"] == settings_text(TINY), "test_error_percent"]
    assert row["count"] == 2 and row["mean"] == pytest.approx(values.mean())
    assert row["interval"] == pytest.approx(12.706 * values.std() / 2**0.5, rel=1e-3)

    longer, *_ = plan([mine], [0], [{**TINY, OWN_RATE: 0.1}], tmp_path / "runs", steps=60)
    assert longer.folder == tasks[0].folder and not is_finished(longer), "it has made fewer steps than are asked for"
    sweep.run(longer)
    assert is_finished(longer) and same(longer.folder, alone(longer, tmp_path / "alone-longer"))


def test_a_run_that_raises_is_told_and_stops_no_other(client, mine: str, tmp_path: Path) -> None:
    bad, good = {**TINY, "recipe.optimizers.classification.learning_rate": 1e9}, TINY
    tasks = plan([mine], [0], [bad, good], tmp_path, steps=120)
    found = outcomes(client, tasks)
    first, second = (found[task.folder] for task in tasks)
    assert "loss of update" in first
    assert second == "" and is_finished(tasks[1]) and not is_finished(tasks[0])


def test_a_worker_that_is_killed_is_replaced_and_its_run_goes_on(client, mine: str, tmp_path: Path) -> None:
    (task,) = plan([mine], [0], [TINY], tmp_path / "runs", steps=600)
    state, killed = Path(task.folder) / "state.safetensors", []

    def kill() -> None:
        while not state.exists():
            time.sleep(0.01)
        owner = int((Path(task.folder) / ".lock").read_text().split()[0])
        os.kill(owner, signal.SIGKILL)
        killed.append(owner)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    assert outcomes(client, [task]) == {task.folder: ""}
    assert killed and same(task.folder, alone(task, tmp_path / "alone"))


SCRIPT = """
import sys
from aae_lib.experiments.sweep import cluster, plan, sweep
if __name__ == "__main__":
    with cluster(workers=1) as client:
        print(list(sweep(client, plan([sys.argv[2]], [0], [{"model.hidden": (8,)}], sys.argv[1], steps=600))))
"""


def test_a_sweep_that_is_killed_goes_on(mine: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "runs"), mine]
    (task,) = plan([mine], [0], [TINY], tmp_path / "runs", steps=600)
    state = Path(task.folder) / "state.safetensors"
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while process.poll() is None and not state.exists():
        time.sleep(0.02)
    process.kill()
    process.wait(60)
    deadline = time.monotonic() + 60
    while runs_still(state.with_name(".lock")) and time.monotonic() < deadline:  # a worker leaves after its sweep
        time.sleep(0.1)
    sweep.run(task)
    assert same(task.folder, alone(task, tmp_path / "alone"))


def runs_still(lock: Path) -> bool:
    """Whether the process that holds the lock still runs."""
    try:
        return psutil.Process(int(lock.read_text().split()[0])).status() != psutil.STATUS_ZOMBIE
    except (FileNotFoundError, psutil.Error):
        return False


def test_a_full_disk_loses_nothing(mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (task,) = plan([mine], [0], [TINY], tmp_path / "runs", steps=300)
    fsync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises((OSError, StorageError)):
            sweep.run(task)
    assert not is_finished(task) and (Path(task.folder) / "state.safetensors").exists()
    sweep.run(task)
    assert same(task.folder, alone(task, tmp_path / "alone"))


def test_two_sweeps_on_one_folder_do_not_train_the_same_run(client, mine: str, tmp_path: Path) -> None:
    (task,) = plan([mine], [0], [TINY], tmp_path, steps=200)
    data = load_images(task.experiment.data)
    ours = train_experiment(task.experiment, data, task.folder, seed=0, steps=200, progress=False)
    assert str(os.getpid()) in outcomes(client, [task])[task.folder], "the error names the owner"
    list(ours)
    assert is_finished(task)


def test_scheduling_takes_few_milliseconds(client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = plan(["aae-gaussian"], range(200), [{}], tmp_path, steps=1)
    monkeypatch.setattr(sweep, "run", str)
    outcomes(client, tasks[:20])
    started = time.process_time()  # of client and scheduler
    assert len(outcomes(client, tasks[20:])) == 180
    assert time.process_time() - started < 180 * 0.02, "a few milliseconds each, with room"


def test_what_can_be_no_cluster_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("{}")
    for wrong in ({"workers": 0}, {"workers": -1}, {"scheduler": str(tmp_path / "missing.json")},
                  {"scheduler": str(tmp_path / "empty.json")}):  # fmt: skip
        with pytest.raises((SettingError, TrainingError)), cluster(**wrong):
            pass


def test_no_runs_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        collect(tmp_path)


# The command line


def test_the_command_line_sweeps_collects_and_draws(
    client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)

    def printed(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["aae_lib", *arguments])
        main()
        return capsys.readouterr().out

    grid = ("sweep", "aae-gaussian", "--scheduler", client.scheduler.address, "--seeds", "0", "--steps", "20",
            "--set", "model.hidden=(8,)", f"{RATE}=0.1,0.05")  # fmt: skip
    assert printed(*grid).count(": done") == 2
    again = printed(*grid)
    assert "2 of them finished" in again and ": done" not in again
    table = printed("collect", "runs", "--csv", "runs.csv", "--plot", "reconstruction_error", RATE, "plot.png")
    assert "reconstruction_error" in table and (tmp_path / "plot.png").stat().st_size > 1000
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 3
    for wrong in ((), ("nonsense",), ("aae-gaussian", "--set", "model.x=1"), ("aae-gaussian", "--seeds", "x")):
        with pytest.raises(SystemExit) as failed:
            printed("sweep", *wrong)
        assert failed.value.code.startswith("error: ")
    printed("train", "aae-gaussian", "--steps", "5", "--set", "model.hidden=(8,)")
    (weights,) = (tmp_path / "runs" / "aae-gaussian-model.hidden=(8,)-seed-0").glob("aae-gaussian.safetensors.gz")
    assert read_file(weights)[1]["settings"]["hidden"] == [8]
    printed("train", "aae-gaussian", "--steps", "5", "--set", "model.hidden=(8,)", "--invert", "--out", "runs/inverted")
    table = printed("collect", "runs", "--plot", "reconstruction_error", "model.hidden", "plot.png")
    assert "data.inverted=True" in table, "runs on other images are no more of the same"
