"""Checkpoints: a run that is broken off or killed at any moment ends with the bits of one that was not."""

import multiprocessing
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from short_runs import reports_of, run, same, weights, without_seconds
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.errors import TrainingError
from aae_lib.models import AdversarialAutoencoder, Autoencoder, LabelInformedAutoencoder, Model
from aae_lib.networks import Dropout, GaussianNoise, RandomAffine, multilayer_perceptron
from aae_lib.priors import GaussianMixture, Prior
from aae_lib.seeding import seeded
from aae_lib.storage import read_file, write_file
from aae_lib.training import SGD, Adam, Constant, Cosine, Recipe, Rise, WarmUp, checkpoint
from aae_lib.training import run as running


class WithTensor(GaussianMixture):
    """A prior with a setting that is a tensor."""

    def __init__(self, setting: float):
        super().__init__()
        self.setting = torch.tensor([setting])


def noisy(seed: int = 0, deviation: float = 0.3, dropout: float = 0.1, hidden: int = 8, prior: Prior | None = None):
    """A model of two sets that draws noise, motion and samples."""
    with seeded(seed):
        layers = RandomAffine(2.0), GaussianNoise(deviation), Dropout(dropout)
        encoder = nn.Sequential(*layers, *multilayer_perceptron(784, 2, (hidden,), 0.1))
        decoder, judge = (multilayer_perceptron(*sizes, (hidden,), 0.1) for sizes in ((2, 784), (13, 1)))
        return LabelInformedAutoencoder(prior or WithTensor(1.1), encoder, decoder, judge)


def by_clock(steps: int, optimizer: SGD | Adam = SGD(0.002, 0.9)) -> Recipe:  # noqa: B008
    return Recipe(
        dict.fromkeys(AdversarialAutoencoder.moves, optimizer),
        steps,
        WarmUp(steps / 4, Cosine(steps / 2, steps)),
        noise={"GaussianNoise": Cosine(2, steps, 0.0), "RandomAffine": Cosine(4, steps, 0.5)},
        weights={"labeled_weight": Rise(0.1, 3, steps)},
    )


def assert_same_contents(one: Path, other: Path) -> None:
    """But for the seconds that it took."""
    (tensors, position), (others, expected) = read_file(one), read_file(other)
    for found in (position, expected):
        for part in (found, *found["reports"]):
            del part["seconds"]
        del found["checksum"]
    assert same(tensors, others) and position == expected


# Broken off


@pytest.mark.parametrize(
    ("sets", "optimizer", "bfloat16"), [(1, SGD(0.01), False), (2, SGD(0.005, 0.9), False), (2, Adam(0.001), True)]
)
def test_a_resumed_run_ends_with_the_same_bits(
    sets: int, optimizer: SGD | Adam, bfloat16: bool, tmp_path: Path, images, make_model
) -> None:
    """Broken off at a report and between two, inside of passes over both sets and at their ends."""
    make = make_model if sets == 1 else noisy
    data = images if sets == 1 else (images[:350], images[350:])  # passes of three and of two minibatches
    recipe = by_clock(20, optimizer)
    recipe = recipe if sets == 2 else replace(recipe, noise=None, weights={})

    def go(name: str, steps: int, seed: int = 0) -> tuple[Model, list]:
        model, arguments = make(seed=seed), {"state": tmp_path / name, "report_every": 4, "bfloat16": bfloat16}
        return model, without_seconds(run(model, data, recipe, steps=steps, seed=2, **arguments))

    unbroken, expected = go("unbroken", 20)
    for steps in (1, 4, 6, 15):
        torch.manual_seed(steps)
        _, reports = go("resumed", steps, seed=0 if steps == 1 else steps)  # the file's weights replace its own
        assert reports[: steps // 4] == expected[: steps // 4]
    resumed, reports = go("resumed", 20, seed=9)
    assert reports == expected and same(weights(resumed), weights(unbroken))
    assert_same_contents(tmp_path / "resumed", tmp_path / "unbroken")


def test_a_run_left_at_any_report_resumes_with_its_measures(tmp_path, images, make_model, make_recipe, monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_SECONDS", 0.0)
    unbroken, asked = make_model(), []

    def measure(model: Model) -> dict[str, Tensor]:
        asked.append(model)
        return {"size": model.encode(images.images).abs().mean()}

    expected = run(unbroken, images, make_recipe(unbroken), report_every=3, measure=measure)
    for life in range(7):
        model, found, asked[:] = make_model(seed=life), [], []
        arguments = {"report_every": 3, "state": tmp_path / "folder" / "state", "measure": measure}
        for report in reports_of(model, images, make_recipe(model), **arguments):
            found.append(report)
            if len(found) > life:  # the caller breaks off after one new report
                break
        assert asked == [model]
    assert without_seconds(found) == without_seconds(expected) and same(weights(model), weights(unbroken))


def test_a_finished_run_is_not_run_again(tmp_path: Path, images, make_model, make_recipe) -> None:
    ends = []
    for seed in range(2):
        model = make_model(Autoencoder, seed=seed)
        model.encoder.insert(1, nn.BatchNorm1d(32))
        reports = run(model, images, make_recipe(model, 4), state=tmp_path / "state", report_every=2)
        ends.append((reports, model.state_dict(), (tmp_path / "state").read_bytes()))
    assert ends[0][0] == ends[1][0] and ends[0][2] == ends[1][2], "with the seconds that it took"
    assert same(ends[0][1], ends[1][1]), "with batch-norm statistics"
    with pytest.raises(TrainingError, match="at step 4, beyond these 2 steps"):
        run(model, images, make_recipe(model, 4), steps=2, state=tmp_path / "state", report_every=2)


def test_files_are_written_as_often_as_asked(tmp_path: Path, images, make_model, make_recipe, monkeypatch) -> None:
    path, model = str(tmp_path / "state"), make_model()
    monkeypatch.setattr(running, "PAUSE_EVERY", 10)

    def written() -> list[int]:
        arguments = {"report_every": 6, "state": path}
        steps = [read_file(path)[1]["step"] for _ in reports_of(model, images, make_recipe(model, 25), **arguments)]
        Path(path).unlink()
        return steps

    assert written() == [6, 6, 6, 6, 25]  # within 30 seconds, only the first and the end
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_SECONDS", 0.0)
    assert written() == [6, 12, 18, 24, 25]


# Refused


def changed(images: Images, pixel: float = 0.0, label: int = 0) -> Images:
    """The same images, but for the last."""
    is_last = torch.arange(len(images)) == len(images) - 1
    return Images((images.images - pixel * is_last[:, None]).abs(), (images.labels + label * is_last) % 10)


CHANGES = {
    "seed": [{"seed": 1}],
    "report_every": [{"report_every": 7}],
    "recipe": [{"steps": 41}, {"schedule": Constant()}, {"batch_size": 50}, {"noise": Constant()}, {"weights": {}}],
    "images": [lambda one, two: (one, two[:200])],
    "pixels": [lambda one, two: (two, one), lambda one, two: (one, changed(two, pixel=0.1))],
    "labels": [lambda one, two: (one, changed(two, label=1))],
    "model": [noisy(deviation=0.2), noisy(dropout=0.2), noisy(hidden=9)],
    "prior": [noisy(prior=GaussianMixture()), noisy(prior=WithTensor(1.100001))],
}


@pytest.mark.parametrize(("what", "change"), [(what, change) for what, some in CHANGES.items() for change in some])
def test_the_checkpoint_of_another_run_is_refused(what: str, change: Any, tmp_path: Path, images) -> None:
    sets, model, recipe, path = (images[:300], images[300:]), noisy(), by_clock(40), tmp_path / "state"
    run(model, sets, recipe, steps=2, state=path)
    model = change if what in ("model", "prior") else noisy()
    sets = change(*sets) if what in ("images", "pixels", "labels") else sets
    recipe = replace(recipe, **change) if what == "recipe" else recipe
    arguments = change if what in ("seed", "report_every") else {}
    before, content = weights(model), path.read_bytes()
    with pytest.raises(TrainingError, match=rf"another run \({what} .*delete it"):
        run(model, sets, recipe, state=path, steps=3, **arguments)
    assert same(weights(model), before) and path.read_bytes() == content


FIRST, MOMENTUM = "weights/encoder.0.weight", "optimizers/generator/0/momentum_buffer"
DAMAGES = {
    "missing": lambda tensors, position: tensors.pop(MOMENTUM),
    "more": lambda tensors, position: tensors.update(more=torch.zeros(1)),
    "shape": lambda tensors, position: tensors.update({MOMENTUM: torch.zeros(3)}),
    "type": lambda tensors, position: tensors.update({FIRST: tensors[FIRST].to(torch.int8)}),
    "bit": lambda tensors, position: tensors[FIRST].view(torch.int32)[0, 0].bitwise_xor_(1),
    "step": lambda tensors, position: position.update(step=1),
}


@pytest.mark.parametrize("damage", [*DAMAGES, "cut", "empty"])
def test_a_damaged_checkpoint_is_refused(damage: str, tmp_path: Path, images, make_model, make_recipe) -> None:
    path, model = tmp_path / "state", make_model()
    run(model, images, make_recipe(model, 4), steps=2, state=path)
    if damage in DAMAGES:
        tensors, position = read_file(path)
        DAMAGES[damage](tensors, position)
        write_file(path, tensors, position)
    else:
        path.write_bytes(path.read_bytes()[:1000] if damage == "cut" else b"")
    before = weights(model)
    with pytest.raises(TrainingError, match="damaged.*Delete it"):
        run(model, images, make_recipe(model, 4), state=path)
    assert same(weights(model), before)


def test_a_file_of_another_kind_is_refused(tmp_path: Path, images, make_model, make_recipe) -> None:
    write_file(tmp_path / "state", {"weights": torch.zeros(1)}, {"experiment": "semi-100"})
    with pytest.raises(TrainingError, match="another run .*delete it"):
        run(make_model(), images, make_recipe(make_model()), state=tmp_path / "state")


# Killed

STEPS = 100


def train_to_the_end(path: Path) -> None:
    """With a checkpoint every ten steps."""
    torch.set_num_threads(1)
    checkpoint.SAVE_EVERY_SECONDS, running.PAUSE_EVERY = 0.0, 10
    with seeded(0):
        images = Images(torch.rand(800, 784).round(), torch.arange(800) % 10)
    run(noisy(), (images[:500], images[500:]), by_clock(STEPS), state=path, report_every=16)


def step_of(path: Path) -> int:
    """Where a checkpoint is; if it is there, it is whole."""
    return read_file(path)[1]["step"] if path.exists() else 0


def test_runs_killed_at_any_moment_end_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In processes that a server forks off within milliseconds; optimizers import torch._dynamo when first made."""
    context, moments, path = multiprocessing.get_context("forkserver"), random.Random(0), tmp_path / "state"
    context.set_forkserver_preload(["torch", "torch._dynamo", "pytest", "aae_lib.training", __name__])
    for target in (0, 20, 40, 60):
        process = context.Process(target=train_to_the_end, args=(path,))
        process.start()
        while process.is_alive() and step_of(path) < target:
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL and target <= step_of(path) < STEPS
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_SECONDS", 0.0)  # which the next line sets
    monkeypatch.setattr(running, "PAUSE_EVERY", 10)
    train_to_the_end(path)
    train_to_the_end(tmp_path / "unbroken")
    assert_same_contents(path, tmp_path / "unbroken")
