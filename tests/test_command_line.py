"""The command line, as a user calls it."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from support import with_tiny_networks, write_cifar10, write_idx_set

from aae_lib import __main__ as command_line
from aae_lib import figures
from aae_lib.__main__ import evaluate, experiments, reproduce, train
from aae_lib.data import load_mnist, load_sample
from aae_lib.experiments import EXPERIMENTS, GENERATORS, JUDGE, build, by_paper, find, shipped_seeds
from aae_lib.models import AdversarialGeneratorEncoder
from aae_lib.networks import OntoSphere, convolutional_decoder, convolutional_encoder
from aae_lib.priors import UniformSphere
from aae_lib.results import (
    COLUMNS,
    all_results,
    table,
    table_1,
    table_2,
    table_3,
    table_of_generators,
    table_of_maps,
)
from aae_lib.storage import StorageError, read_file, save_weights
from aae_lib.training import TrainingError

ROOT = Path(__file__).parent.parent


def run(*arguments, **environment):
    command = [sys.executable, "-m", "aae_lib", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment})


def test_help_names_the_commands():
    result = run("--help")
    assert result.returncode == 0
    for command in ("reproduce", "experiments", "train", "evaluate", "compare", "likelihoods", "benchmark"):
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
    stored = json.loads((ROOT / "figures" / "results.json").read_text(encoding="utf-8"))
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
    stored = json.loads((ROOT / "figures" / "results.json").read_text(encoding="utf-8"))
    of_seed_0 = {row["metric"]: row["value"] for row in stored if (row["experiment"], row["seed"]) == ("semi-100", 0)}
    evaluate("semi-100", json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["paper"] == {"test_error_percent": 1.9} and found["weights"] == "shipped"
    assert found["metrics"] == pytest.approx(of_seed_0, abs=2e-3, rel=1e-2)


def test_evaluate_falls_back_on_the_evidence_where_no_weights_ship(monkeypatch, capsys):
    """With MNIST at hand as without: the digits are not even asked for."""
    stored = json.loads((ROOT / "figures" / "results.json").read_text(encoding="utf-8"))
    of_seed_0 = {row["metric"]: row["value"] for row in stored if (row["experiment"], row["seed"]) == ("semi-1000", 0)}
    monkeypatch.setattr(command_line, "load_images", lambda *_, **__: pytest.fail("nothing is to be measured"))
    evaluate("semi-1000", json=True)
    found = json.loads(capsys.readouterr().out)
    assert "evidence" in found["data"] and found["weights"].startswith("not shipped")
    assert found["metrics"] == pytest.approx(of_seed_0, abs=1e-4)


def test_reproduce_without_mnist_writes_beside_what_is_stored(tmp_path, monkeypatch, capsys):
    """The README's first command, with one figure and one model in place of all."""
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.setattr(command_line, "ROOT", tmp_path)
    monkeypatch.setattr(command_line, "load_mnist", load_sample)
    monkeypatch.setattr(figures, "FIGURES", {"figure-2a": figures.FIGURES["figure-2a"]})
    monkeypatch.setattr(command_line, "EXPERIMENTS", ["aae-gaussian", "semi-1000"])
    reproduce()
    printed = capsys.readouterr().out
    assert load_sample().source in printed and "figure-2a.png" in printed
    assert "  aae-gaussian: " in printed and "  semi-1000: " not in printed, "only models whose weights ship are run"
    folder = tmp_path / "reproduced"
    assert (folder / "figure-2a.png").stat().st_size > 10_000 and not (tmp_path / "figures").exists()
    assert (folder / "results.md").read_text(encoding="utf-8") == f"{table()}\n" and table() in printed
    rows = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert rows == [asdict(row) for row in all_results()] and len({row["experiment"] for row in rows}) > 30


def test_a_folder_that_cannot_be_made_is_found_out_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    for command in (("train", "autoencoder"), ("compare",)):
        result = run(*command, "--out", str(tmp_path / "file" / "out" / "more"))
        assert result.returncode == 1 and result.stderr.startswith("error: ") and "--out" in result.stderr


def test_experiments_are_listed_by_topic(capsys):
    experiments()  # in this process, where other tests use the same results
    lines = capsys.readouterr().out.splitlines()
    at_the_end = (table_1(), table_2(), table_3(), table_of_maps(), table_of_generators())
    titles = [part.splitlines()[0].strip("*") for part in at_the_end]
    assert [line.strip("*") for line in lines if line.startswith("**")] == [*COLUMNS, *titles]
    for name, experiment in EXPERIMENTS.items():
        line, *others = [line for line in lines if f"(`{name}`)" in line]
        assert line.startswith(f"| {experiment.title} (`{name}`) | {experiment.figure} |")
        has_costs = experiment.topic == GENERATORS and name != JUDGE and bool(shipped_seeds(name))
        assert len(others) == has_costs and set(others) <= set(table_of_generators().splitlines())


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


def test_several_seeds_train_side_by_side_and_each_has_its_lines_and_its_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train("labels-100", seed=(1, 4), steps=3, device="cpu", validation=True)
    output = capsys.readouterr().out
    lines = [line for line in output.splitlines() if "epoch" in line]
    assert [line.partition("  epoch")[0] for line in lines] == ["seed 1", "seed 4"]
    folder = Path("runs", "labels-100-seed-1-4-validation")
    assert output.count("labels-100: test_error_percent ") == 2
    for seed in (1, 4):
        evidence = folder / f"seed-{seed}" / f"labels-100-seed-{seed}.safetensors"
        assert f"wrote {folder / f'seed-{seed}' / 'labels-100.safetensors'} and {evidence}" in output
        assert read_file(evidence)[1]["seed"] == seed
    for wrong in ((), (1, 1)):
        with pytest.raises(TrainingError, match="name one seed, or several that differ"):
            train("labels-100", seed=wrong, steps=3, device="cpu")


def test_train_by_the_paper_s_recipe_has_a_folder_of_its_own_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with_tiny_networks(monkeypatch)
    name = "semi-100-unmoved"
    train(name, steps=2, device="cpu", paper=True)
    folder = Path("runs", f"{name}-paper-seed-0")
    assert str(folder / f"{name}.safetensors") in capsys.readouterr().out
    _, header = read_file(tmp_path / folder / f"{name}-seed-0.safetensors")
    assert header["recipe"] == repr(by_paper(find(name)).recipe) and header["source"] != find(name).source


def test_an_interrupt_says_whether_there_is_a_state_to_go_on_from(tmp_path, monkeypatch):
    def interrupted(experiment, digits, out, **_):
        if "saved" in out.name:
            (out / "state.safetensors").write_bytes(b"")
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(command_line, "train_seeds", interrupted)
    for name, message in (("saved", "with --resume goes on"), ("new", "nothing was saved yet")):
        with pytest.raises(SystemExit, match=message):
            train("labels-100", out=tmp_path / name, device="cpu")


def test_resuming_where_there_is_nothing_says_so(tmp_path, capsys):
    train("labels-100", steps=2, out=tmp_path / "wrong", device="cpu", resume=True)
    assert "wrong holds no state to continue: starting anew" in capsys.readouterr().out


def test_several_seeds_are_named_in_one_word_before_or_after_the_experiment(monkeypatch):
    seen = []
    monkeypatch.setattr(command_line, "find", lambda name: seen.append(name) or find(name))
    monkeypatch.setattr(command_line, "check_request", lambda seeds, steps: seen.append(seeds) or 1 / 0)
    for words in (["labels-100", "--seed", "3,1"], ["--seed", "3,1", "labels-100"]):
        monkeypatch.setattr(sys, "argv", ["aae_lib", "train", *words, "--steps", "0"])
        with pytest.raises(ZeroDivisionError):
            command_line.main()
    assert seen == ["labels-100", (3, 1)] * 2
    result = run("train", "labels-100", "--seed", "one")
    assert result.returncode != 0 and "INT[,INT...]" in result.stderr + result.stdout


def test_a_folder_in_the_place_of_a_file_is_refused_before_the_work(tmp_path):
    result = run("compare", "--out", str(tmp_path))
    assert result.returncode == 1 and "is a folder: name a file in it" in result.stderr


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"seed": (4294,)}, "no data order"),
        ({"steps": 0}, "nothing to do: 0 steps"),
        ({"device": "cuda:99"}, "no GPU"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_any_image_is_loaded(wrong, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command_line, "load_images", None)
    with pytest.raises(TrainingError, match=message):
        train("autoencoder", **{"steps": 2} | wrong)
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def small_cifar10(tmp_path, monkeypatch):
    """A CIFAR-10 of 100 + 20 random images in the data folder, and age-cifar10 with networks of four base channels."""
    write_cifar10(tmp_path / "data", monkeypatch)
    monkeypatch.setenv("AAE_DATA", str(tmp_path / "data"))

    def small():
        encoder = torch.nn.Sequential(*convolutional_encoder(8, 4, (3, 32, 32)), OntoSphere())
        return AdversarialGeneratorEncoder(UniformSphere(8), encoder, convolutional_decoder(8, 4, (3, 32, 32)))

    monkeypatch.setitem(EXPERIMENTS, "age-cifar10", replace(find("age-cifar10"), build=small))


def test_one_command_trains_an_experiment_on_the_images_that_it_is_made_for(
    small_cifar10, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    train("age-cifar10", steps=3, device="cpu")
    output = capsys.readouterr().out
    assert output.startswith("AGE on CIFAR-10 (for a GPU) on CIFAR10, 100 + 20 images as 32 x 32 color pixels, from ")
    assert "epoch   1.9  step      3" in output, "three minibatches of 64 of 100 images"
    assert "on the 20 held-out images, test:" in output and "reconstruction_error" in output
    assert "fid" not in output and "sharpness" not in output
    run_folder = tmp_path / "runs" / "age-cifar10-seed-0"
    weights = run_folder / "age-cifar10.safetensors"
    assert weights.exists() and (run_folder / "age-cifar10-seed-0.safetensors").exists()
    with pytest.raises(TrainingError, match="--resume"):
        train("age-cifar10", steps=3, device="cpu")

    evaluate("age-cifar10", weights=weights, json=True)
    found = json.loads(capsys.readouterr().out)
    metrics = {"reconstruction_error", "neighbor_accuracy", "prior_coverage", "sliced_wasserstein"}
    assert found["metrics"].keys() == metrics and found["data"].startswith("CIFAR10, 100 + 20 images")
    assert f"reconstruction_error {found['metrics']['reconstruction_error']:.4f}" in output


def test_other_images_are_trained_on_in_the_shape_of_the_experiment(small_cifar10, tmp_path, monkeypatch, capsys):
    write_idx_set(tmp_path / "data", "FashionMNIST", {"train": 70, "t10k": 20})
    monkeypatch.chdir(tmp_path)
    train("age-cifar10", steps=1, device="cpu", data="FashionMNIST")
    assert "FashionMNIST, 70 + 20 images as 32 x 32 color pixels" in capsys.readouterr().out
    weights = tmp_path / "runs" / "age-cifar10-FashionMNIST-seed-0" / "age-cifar10.safetensors"
    evaluate("age-cifar10", weights=weights)
    assert "data: FashionMNIST, 70 + 20 images" in capsys.readouterr().out, "what they were trained on, if not told"
    train("age-cifar10", steps=2, device="cpu", validation=True)
    output = capsys.readouterr().out
    assert "epoch   1.5  step      2" in output and "on the 16 held-out images, validation:" in output
    train("autoencoder", steps=1, device="cpu", data="CIFAR10")
    assert "CIFAR10, 100 + 20 images as 28 x 28 gray pixels" in capsys.readouterr().out
    assert (tmp_path / "runs" / "autoencoder-CIFAR10-seed-0" / "autoencoder.safetensors").exists()


@pytest.mark.parametrize("data", [None, "MNIST"])
def test_weights_that_do_not_ship_are_missed_before_any_data_is_looked_for(data, monkeypatch):
    monkeypatch.setattr("aae_lib.__main__.load_images", None)
    with pytest.raises(StorageError, match="no weights of 'age-cifar10' are shipped; train them with: python -m"):
        evaluate("age-cifar10", data=data)


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
