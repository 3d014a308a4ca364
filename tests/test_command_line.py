"""The command line, as a user calls it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
    result = run("evaluate", "aae-gaussian", "--json")
    found = json.loads(result.stdout)
    assert set(found) == {"experiment", "metrics", "paper", "data", "weights"}
    stored = json.loads((ROOT / "figures" / "results.json").read_text())
    for row in stored:
        if row["experiment"] == "aae-gaussian" and row["seed"] == 0:
            assert found["metrics"][row["metric"]] == pytest.approx(row["value"], abs=2e-3)


def test_train_writes_weights_and_evidence_and_refuses_to_overwrite(tmp_path):
    result = run("train", "autoencoder", "--steps", "5", "--out", str(tmp_path), "--device", "cpu")
    assert result.returncode == 0, result.stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"state.safetensors", "autoencoder.safetensors", "autoencoder-seed-0.safetensors"}
    again = run("train", "autoencoder", "--steps", "5", "--out", str(tmp_path))
    assert again.returncode == 1 and "--resume" in again.stderr
    evaluated = run("evaluate", "autoencoder", "--weights", str(tmp_path / "autoencoder.safetensors"), "--json")
    assert json.loads(evaluated.stdout)["metrics"]["reconstruction_error"] > 20


def test_ctrl_c_says_how_to_go_on(tmp_path):
    command = [sys.executable, "-m", "aae_lib", "train", "autoencoder", "--out", str(tmp_path), "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert "MNIST" in process.stdout.readline()
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "--resume" in errors and "Traceback" not in errors
