"""The command line, as a user calls it."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import with_tiny_networks, write_cifar10, write_idx_set

from aae_lib import __main__ as command_line
from aae_lib.__main__ import collect, evaluate, experiments, reproduce, sample, ship, train
from aae_lib.data import load_mnist, load_sample
from aae_lib.errors import StorageError, TrainingError, UnknownNameError
from aae_lib.experiments import EXPERIMENTS, color, find, shipped_seeds
from aae_lib.report import figures
from aae_lib.storage import read_file, write_file

ROOT = Path(__file__).parent.parent


def run(*arguments, **environment):
    options = {"capture_output": True, "text": True, "cwd": ROOT, "env": {**os.environ, **environment}, "timeout": 300}
    return subprocess.run([sys.executable, "-m", "aae_lib", *arguments], **options)


@pytest.mark.parametrize(
    "arguments, seconds", [(("--help",), 0.6), (("train", "--help"), 0.6), (("experiments",), 2.0)], ids=str
)
def test_help_and_the_list_of_experiments_are_light(arguments, seconds):
    code = f"import sys; sys.argv = ['aae_lib', *{arguments!r}]\nfrom aae_lib.__main__ import main\ntry: main()\n"
    code += "except SystemExit: pass\nprint('modules', *{'torch', 'numpy', 'matplotlib'} & sys.modules.keys())"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2 * seconds, "on a busy machine"
    assert found.stdout.endswith("modules\n") and len(found.stdout) > 500


def test_help_ends_in_a_narrow_terminal():
    assert "--resume" in run("train", "--help", COLUMNS="1").stdout


@pytest.mark.parametrize(
    "arguments, key_word",
    [
        (("train", "aae-gausian"), "aae-gaussian"),
        (("train", "autoencoder", "--seed", "4294"), "4293"),
        (("reproduce", "figure-99"), "figure-2a"),
        (("evaluate", "aae-gaussian", "--weights", "no-such-file"), "no-such-file"),
        (("evaluate", "vae-gaussian-0.5", "--weights", "README.md"), "README.md"),
        (("ship", "aae-gaussian", "--seed", "0", "--from", "no-such-run"), "no-such-run"),
        (("evaluate", "vae-cifar10-1", "--data", "MNIST"), "python -m aae_lib train vae-cifar10-1"),
    ],
)
def test_expected_errors_are_one_line_and_status_1(arguments, key_word, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["aae_lib", *arguments])
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as exit:
        command_line.main()
    assert exit.value.code.startswith("error: ") and key_word in exit.value.code


def test_experiments_are_listed_with_the_papers_value_ours_seeds_and_minutes(capsys):
    experiments()
    heading, *lines, _, note = capsys.readouterr().out.splitlines()
    assert "†" in note
    assert heading.split() == ["name", "title", "measure", "paper", "ours", "seeds", "minutes"]
    listed = {line.split()[0]: line for line in lines}
    assert not [name for name in EXPERIMENTS if name not in listed and shipped_seeds(name)]
    for name, line in listed.items():
        assert find(name).title in line and all(str(reported) in line for reported in find(name).paper.values())
        assert ("planned" in line) == (not shipped_seeds(name))


# Training


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Tiny networks, and an empty folder to run in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AAE_DATA", raising=False)
    monkeypatch.setattr("aae_lib.data.mnist.load_mnist", load_sample)
    monkeypatch.setattr("aae_lib.data.loading.load_mnist", lambda _: load_sample())
    with_tiny_networks(monkeypatch)


def test_train_writes_weights_and_evidence_and_refuses_to_overwrite(tiny, tmp_path, capsys):
    train("labels-100", steps=3, seed=1, device="cpu", validation=True)
    output = capsys.readouterr().out
    folder = tmp_path / "runs" / "labels-100-seed-1-validation"
    files = {"state.safetensors", "labels-100.safetensors.gz", "labels-100-seed-1.safetensors.gz"}
    assert {path.name for path in folder.iterdir()} >= files
    header = read_file(folder / "labels-100-seed-1.safetensors.gz")[1]
    assert header["evaluated_on"] == "validation" and header["history"][0].keys() >= {"step", "test_error_percent"}
    (line,) = [line for line in output.splitlines() if line.startswith("epoch")]
    assert "step      3" in line and f"test_error_percent {header['history'][0]['test_error_percent']:.3f}" in line
    assert "labels-100: test_error_percent" in output and "held-out images, validation" in output
    with pytest.raises(TrainingError, match="--resume"):
        train("labels-100", steps=3, seed=1, device="cpu", validation=True)
    train("labels-100", steps=4, seed=1, device="cpu", validation=True, resume=True)
    assert read_file(folder / "labels-100-seed-1.safetensors.gz")[1]["steps"] == 4
    train("labels-100", steps=2, device="cpu", resume=True)
    assert "starting anew" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [{"seed": 4294}, {"steps": 0}, {"device": "cuda:99"}], ids=str)
def test_what_cannot_be_trained_is_refused_before_any_image_is_loaded(wrong, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("aae_lib.data.load_images", None)
    with pytest.raises(TrainingError):
        train("autoencoder", **{"steps": 2} | wrong)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "call", [lambda out: train("autoencoder", out=out), command_line.baselines]
)
def test_a_folder_that_cannot_be_made_is_found_out_before_the_work(call, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="--out"):
        call(tmp_path / "file" / "out" / "more")


def test_other_images_are_trained_on_and_measured_in_their_own_shape(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(color, "JUDGED", 100)
    write_cifar10(tmp_path / "data", monkeypatch)
    write_idx_set(tmp_path / "data", "FashionMNIST", {"train": 70, "t10k": 20})
    monkeypatch.setenv("AAE_DATA", str(tmp_path / "data"))
    for name, data, folder in (
        ("age-cifar10", None, "age-cifar10"),
        ("autoencoder", "CIFAR10", "autoencoder-CIFAR10"),
        ("age", "FashionMNIST", "age-FashionMNIST"),
    ):
        train(name, steps=1, device="cpu", data=data)
        output = capsys.readouterr().out
        assert "color" in output or "28 x 28 gray" in output
        assert "on the 20 held-out images, test:" in output and "reconstruction_error" in output
        assert " fid " not in output, "that is of digits"
        weights = tmp_path / "runs" / f"{folder}-seed-0" / f"{name}.safetensors.gz"
        evaluate(name, weights=weights, json=True)
        found = json.loads(capsys.readouterr().out)
        assert found["data"].startswith(data or "CIFAR10"), "what it was trained on, if not told"
        assert f"reconstruction_error {found['metrics']['reconstruction_error']:.4f}" in output
    tensors, header = read_file(weights)
    write_file(weights, tensors, {**header, "data_name": "mine"})
    with pytest.raises(UnknownNameError, match="--data"):
        evaluate("age", weights=weights)


def test_an_experiment_of_ones_own_is_trained_tuned_measured_and_used(tiny, tmp_path, monkeypatch, capsys):
    (tmp_path / "own.py").write_text(
        "from dataclasses import replace\nfrom aae_lib.experiments import find\n"
        "MINE = replace(find('aae-gaussian'), name='mine', data='MNIST-sample')\n"
    )
    train("own.py:MINE", steps=2, device="cpu")
    weights = tmp_path / "runs" / "mine-seed-0" / "mine.safetensors.gz"
    train("own.py:MINE", steps=2, device="cpu", init=str(weights))
    assert (tmp_path / "runs" / "mine-from-mine-seed-0" / "mine.safetensors.gz").exists()
    evaluate("own.py:MINE", weights=weights, json=True)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["experiment"] == "mine"
    with pytest.raises(StorageError, match="'mine'"):
        evaluate("own.py:MINE")
    sample("own.py:MINE", count=4, weights=weights)
    assert (tmp_path / "samples.png").exists()
    collect(tmp_path / "runs", own=("own.py:MINE",))
    assert "init.sha256" in capsys.readouterr().out
    with pytest.raises(UnknownNameError, match="mine"):
        collect(tmp_path / "runs")


def test_ctrl_c_says_how_to_go_on(tmp_path):
    command = [sys.executable, "-m", "aae_lib", "train", "autoencoder", "--out", str(tmp_path), "--device", "cpu"]
    process = subprocess.Popen(
        [*command, "--data", "MNIST-sample", "--set", "model.hidden=(8,)"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in a shell's background
    )  # fmt: skip
    assert "MNIST" in process.stdout.readline()
    while process.poll() is None and not (tmp_path / "state.safetensors").exists():  # imports may lose it
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "--resume" in errors and "Traceback" not in errors


# Evaluation


@pytest.mark.parametrize("name", ["aae-gaussian", "cluster-16-augmented", "semi-1000"])
def test_evaluate_prints_one_json_object_with_the_stored_numbers(name, capsys, monkeypatch):
    """Without MNIST, and where no weights ship, from the evidence: of the seed whose weights ship, or of the first."""
    monkeypatch.setattr("aae_lib.data.load_images", lambda *_, **__: load_sample())
    evaluate(name, json=True)
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {"experiment", "metrics", "paper", "data", "weights"}
    assert found["paper"] == {metric: float(value) for metric, value in find(name).paper.items()}
    rows = json.loads((ROOT / "figures" / "results.json").read_text(encoding="utf-8"))["results"]
    seed = 4 if name == "cluster-16-augmented" else 0
    stored = {row["metric"]: row["value"] for row in rows if (row["experiment"], row["seed"]) == (name, seed)}
    assert found["metrics"] == pytest.approx(stored, abs=2e-3, rel=1e-2)
    assert found["weights"].startswith("not shipped" if name == "semi-1000" else "shipped")


def test_evaluate_prints_no_number_that_is_none(monkeypatch):
    monkeypatch.setattr("aae_lib.experiments.measure", lambda *_: {"fid": float("nan")})
    with pytest.raises(StorageError, match="fid"):
        evaluate("semi-1000", json=True)


# What is written for the repository


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with a README, and one figure and one experiment in place of all."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "README.md").write_text("before\n<!-- results -->\nold\n<!-- end of results -->\nafter\n")
    monkeypatch.setattr(command_line, "ROOT", tmp_path)
    monkeypatch.setattr(figures, "FIGURES", {"figure-2a": figures.FIGURES["figure-2a"]})

    def write_results(folder, readme):
        (folder / "results.json").write_text(f"with {readme and readme.name}")

    monkeypatch.setattr("aae_lib.report.tables.write_results", write_results)
    monkeypatch.setattr("aae_lib.report.tables.headlines", lambda: "ten rows")
    return tmp_path


def test_reproduce_without_mnist_writes_beside_what_is_stored(checkout, monkeypatch, capsys):
    monkeypatch.setattr("aae_lib.data.load_mnist", load_sample)
    monkeypatch.setattr("aae_lib.experiments.EXPERIMENTS", {name: find(name) for name in ("aae-gaussian", "semi-1000")})
    reproduce()
    printed, folder = capsys.readouterr().out, checkout / "reproduced"
    assert load_sample().source in printed and "figure-2a.png" in printed and "ten rows" in printed
    assert "  aae-gaussian: " in printed and "  semi-1000: " not in printed, "only models whose weights ship are run"
    assert (folder / "figure-2a.png").stat().st_size > 10_000 and not (checkout / "figures").exists()
    assert (folder / "results.json").read_text() == "with None"


def test_reproduce_says_where_it_cannot_write(checkout, monkeypatch):
    (checkout / ("figures" if load_mnist().name == "MNIST" else "reproduced")).write_text("a file")
    with pytest.raises(StorageError, match=str(checkout)) as error:
        reproduce(("figure-2a",))
    assert "--out" not in str(error.value)


def test_ship_takes_a_run_and_renews_the_results(checkout, monkeypatch, capsys):
    taken = []
    monkeypatch.setattr("aae_lib.experiments.shipping.ship", lambda *arguments: taken.append(arguments) or ["a file"])
    ship("aae-gaussian", 3, Path("somewhere"), weights=True)
    assert taken == [("aae-gaussian", 3, Path("somewhere"), True)]
    assert (checkout / "figures" / "results.json").read_text() == "with README.md"
    assert "a file" in capsys.readouterr().out


def test_closed_streams_make_no_traceback():
    for command, expected in (("train nothing 2>&-", ""), ("experiments | head -1", "name")):
        shell = f"{sys.executable} -m aae_lib {command}"
        result = subprocess.run(shell, shell=True, cwd=ROOT, capture_output=True, text=True)
        assert result.stdout.startswith(expected) and "Traceback" not in result.stdout + result.stderr
