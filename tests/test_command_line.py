"""The command line, as a user calls it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aae_lib.__main__ import evaluate, experiments, train
from aae_lib.data import load_mnist
from aae_lib.experiments import EXPERIMENTS, build, find
from aae_lib.results import COLUMNS, table_2, table_3, table_of_maps
from aae_lib.storage import read_file, save_weights

ROOT = Path(__file__).parent.parent


def run(*arguments, **environment):
    command = [sys.executable, "-m", "aae_lib", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment})


def test_help_names_the_commands():
    result = run("--help")
    assert result.returncode == 0
    for command in ("reproduce", "experiments", "train", "evaluate", "benchmark"):
        assert command in result.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("train", "aae-gausian"), "there are: autoencoder"),
        (("reproduce", "figure-99"), "there are: figure-2"),
        (("evaluate", "aae-gaussian", "--weights", "no-such-file"), "there is no file no-such-file"),
        (("evaluate", "vae-gaussian-0.5", "--weights", "README.md"), "damaged or no file of aae_lib"),
    ],
)
def test_errors_are_one_line_with_the_remedy(arguments, message):
    result = run(*arguments)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ") and message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_without_mnist_is_an_error(tmp_path):
    (tmp_path / "holiday.jpg").write_text("")
    result = run("evaluate", "aae-gaussian", AAE_DATA=str(tmp_path))
    assert result.returncode == 1 and str(tmp_path) in result.stderr


def test_evaluate_prints_one_json_object_with_the_stored_numbers():
    stored = json.loads((ROOT / "figures" / "results.json").read_text())
    for name in ("aae-gaussian", "aae-swissroll-labels"):
        result = run("evaluate", name, "--json")
        found = json.loads(result.stdout)
        assert set(found) == {"experiment", "metrics", "paper", "data", "weights"}
        of_seed_0 = {row["metric"]: row["value"] for row in stored if (row["experiment"], row["seed"]) == (name, 0)}
        assert of_seed_0 and found["metrics"] == pytest.approx(of_seed_0, abs=2e-3, rel=1e-3)


def test_evaluate_prints_the_papers_numbers_plainly(tmp_path, capsys):
    model = build(find("labels-100"), 0)
    with torch.no_grad():
        model.encoder[-1].bias[1] = 100.0  # it takes every image for a 1
    path = tmp_path / "labels-100.safetensors"
    save_weights(path, model, {"experiment": "labels-100"})
    evaluate("labels-100", weights=path, json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["paper"] == {"test_error_percent": 25.8} and found["weights"] == str(path)
    others = (load_mnist().test.labels != 1).double().mean().item()
    assert found["metrics"] == {"test_error_percent": pytest.approx(100 * others)}


def test_evaluate_finds_the_stored_error_of_the_shipped_semi_supervised_model(capsys):
    stored = json.loads((ROOT / "figures" / "results.json").read_text())
    of_seed_0 = {row["metric"]: row["value"] for row in stored if (row["experiment"], row["seed"]) == ("semi-100", 0)}
    evaluate("semi-100", json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["paper"] == {"test_error_percent": 1.9} and found["weights"] == "shipped"
    assert found["metrics"] == pytest.approx(of_seed_0, abs=2e-3, rel=1e-2)


def test_experiments_are_listed_by_topic(capsys):
    experiments()  # in this process, where other tests use the same results
    lines = capsys.readouterr().out.splitlines()
    titles = [part.splitlines()[0].strip("*") for part in (table_2(), table_3(), table_of_maps())]
    assert [line.strip("*") for line in lines if line.startswith("**")] == [*COLUMNS, *titles]
    for name, experiment in EXPERIMENTS.items():
        (line,) = [line for line in lines if f"(`{name}`)" in line]
        assert line.startswith(f"| {experiment.title} (`{name}`) | {experiment.figure} |")


def test_train_writes_weights_and_evidence_and_refuses_to_overwrite(tmp_path):
    result = run("train", "autoencoder", "--steps", "5", "--out", str(tmp_path), "--device", "cpu")
    assert result.returncode == 0, result.stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"state.safetensors", "autoencoder.safetensors", "autoencoder-seed-0.safetensors"}
    again = run("train", "autoencoder", "--steps", "5", "--out", str(tmp_path))
    assert again.returncode == 1 and "--resume" in again.stderr
    evaluated = run("evaluate", "autoencoder", "--weights", str(tmp_path / "autoencoder.safetensors"), "--json")
    assert json.loads(evaluated.stdout)["metrics"]["reconstruction_error"] > 20


def test_train_with_labels_says_how_many_lie_in_their_part(tmp_path):
    name, validation = "aae-mixture-labels", ("--validation", "--seed", "1")
    result = run("train", name, "--steps", "3", "--out", str(tmp_path), "--device", "cpu", *validation)
    assert result.returncode == 0, result.stderr
    assert "held-out digits, validation" in result.stdout and "own_class 0." in result.stdout
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"state.safetensors", f"{name}.safetensors", f"{name}-seed-1.safetensors"}
    _, header = read_file(tmp_path / f"{name}-seed-1.safetensors")
    assert header["evaluated_on"] == "validation" and header["trained_on"] in (3_334, 50_000)
    assert run("train", "aae-mixture-label").stderr.startswith("error: there is no experiment 'aae-mixture-label'")


def test_train_prints_the_error_of_a_classifier_as_it_goes_and_at_the_end(tmp_path, capsys):
    train("labels-100", steps=3, out=tmp_path, device="cpu", validation=True)
    output = capsys.readouterr().out
    (line,) = [line for line in output.splitlines() if line.startswith("epoch")]
    assert "step      3" in line and "  classification 2." in line and "  error_percent " in line
    _, header = read_file(tmp_path / "labels-100-seed-0.safetensors")
    assert header["trained_on"] == 100 and header["history"][0].keys() == {"step", "classification", "error_percent"}
    assert f"  error_percent {header['history'][0]['error_percent']:.3f}" in line
    assert "labels-100: test_error_percent " in output and "held-out digits, validation" in output


def test_ctrl_c_says_how_to_go_on(tmp_path):
    command = [sys.executable, "-m", "aae_lib", "train", "autoencoder", "--out", str(tmp_path), "--device", "cpu"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in a shell's background
    )  # fmt: skip
    assert "MNIST" in process.stdout.readline()
    assert process.stdout.readline().startswith("epoch")  # before, while modules are imported, it could be lost
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "--resume" in errors and "Traceback" not in errors
