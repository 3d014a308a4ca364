"""On a GPU: the same step as on the CPU, the same bits after a resume, and stacked runs that go as they would alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import with_large_weights

from aae_lib.data import Digits, Images
from aae_lib.experiments import find
from aae_lib.models import GenerativeAdversarialNetwork, Model, SemiSupervisedAutoencoder
from aae_lib.networks import TrainingNoise, convolutional_decoder, convolutional_encoder
from aae_lib.priors import Categorical, Gaussian, LabelAndStyle, seeded
from aae_lib.stacking import Stack, train_stacked
from aae_lib.storage import read_file
from aae_lib.training import SGD, Cosine, Recipe, Report, Run, TrainingError, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA GPU here"),
]
Sets = Images | tuple[Images, Images]


class FixedCategorical(Categorical):
    """The same samples on any device: a GPU's random numbers are others."""

    def sample(self, count: int, device: torch.device | str = "cpu") -> torch.Tensor:
        with seeded(0):
            return super().sample(count).to(device)


class FixedGaussian(Gaussian):
    def sample(self, count: int, device: torch.device | str = "cpu") -> torch.Tensor:
        with seeded(0):
            return super().sample(count).to(device)


def perceptrons(**arguments: float | tuple[float, ...]) -> Model:
    return SemiSupervisedAutoencoder(hidden=(64, 64), **arguments)


def moved_perceptrons() -> Model:
    return perceptrons(input_motion=(1.5, 15.0, 0.1, 0.25))


def convolutions() -> Model:
    return GenerativeAdversarialNetwork(Gaussian(8), convolutional_decoder(8, 8), convolutional_encoder(1, 8))


def made(make: Callable[..., Model] = perceptrons, seed: int = 0, **arguments: float) -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return with_large_weights(make(**arguments))


def recipe_of(model: Model) -> Recipe:
    is_noisy = any(isinstance(layer, TrainingNoise) for layer in model.modules())
    noise = Cosine(5, 30) if is_noisy else None
    return Recipe(dict.fromkeys(model.moves, SGD(0.002, 0.5)), 20, Cosine(2, 30), noise=noise)


def on(device: str, model: Model, sets: Sets, steps: int, **arguments: object) -> list[Report]:
    arguments = {"steps": steps, "device": device, "bfloat16": False, "report_every": 1, **arguments}
    return list(train(model, sets, recipe_of(model), **arguments))


@pytest.fixture(scope="module")
def sets(digits: Digits) -> tuple[Images, Images]:
    return find("semi-100").select(digits.train, 0)


def test_a_step_is_that_of_the_cpu(sets: Sets) -> None:
    ends = []
    for device in ("cpu", "cuda"):
        model = made(input_noise=0.0)
        model.prior = LabelAndStyle(FixedCategorical(10), FixedGaussian(10))
        begun = [weight.detach().clone() for weight in model.parameters()]
        reports = on(device, model, sets, 1)
        moved = [weight.detach().cpu() - old for weight, old in zip(model.parameters(), begun, strict=True)]
        ends.append((reports[0].losses, moved))
    (losses, moves), (losses_there, moves_there) = ends
    assert losses_there == pytest.approx(losses, rel=1e-5)
    for here, there in zip(moves, moves_there, strict=True):
        assert (there - here).abs().max() < 1e-3 * here.abs().max()


def test_a_resumed_run_ends_with_the_same_bits(sets: Sets, tmp_path: Path) -> None:
    on("cuda", made(), sets, 20, state=tmp_path / "unbroken", report_every=10)
    on("cuda", made(), sets, 10, state=tmp_path / "broken", report_every=10)
    on("cuda", made(seed=1), sets, 20, state=tmp_path / "broken", report_every=10)
    tensors, others = (read_file(tmp_path / name)[0] for name in ("unbroken", "broken"))
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


@pytest.mark.parametrize("bfloat16", [False, None])
@pytest.mark.parametrize("make", [perceptrons, moved_perceptrons, convolutions])
def test_stacked_runs_go_as_they_would_alone_and_resume(
    make: Callable[[], Model], bfloat16: bool | None, sets: Sets, tmp_path: Path
) -> None:
    seeds = [0, 1, 2]
    data = sets if make is not convolutions else sets[0]

    def stacked(state: Path, steps: int = 20, change: int = 0) -> list[Report]:
        models = [made(make, seed + change) for seed in seeds]
        arguments = {"seeds": seeds, "steps": steps, "device": "cuda", "bfloat16": bfloat16, "state": state}
        return list(train_stacked(models, [data] * 3, recipe_of(models[0]), **arguments))[-1]

    reports = stacked(tmp_path / "unbroken")
    stacked(tmp_path / "broken", steps=10)
    stacked(tmp_path / "broken", change=5)
    tensors, others = (read_file(tmp_path / name)[0] for name in ("unbroken", "broken"))
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())
    for index, seed in enumerate(seeds):
        arguments = {"seed": seed, "report_every": 20, "state": tmp_path / str(seed), "bfloat16": bfloat16}
        (expected,) = on("cuda", made(make, seed), data, 20, **arguments)
        assert reports[index].losses == pytest.approx(expected.losses, rel=1e-3 if bfloat16 is False else 0.02)
        alone, _ = read_file(tmp_path / str(seed))
        assert torch.equal(tensors[f"{index}/random/cuda"], alone["random/cuda"]), "as many numbers of the same stream"


@pytest.mark.parametrize("make", [perceptrons, moved_perceptrons, convolutions])
@pytest.mark.parametrize("kind", [Run, Stack])
def test_no_step_waits_for_the_gpu(
    kind: type, make: Callable[[], Model], sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, one_step = [], kind._one_step

    def without_waiting(runs: Run | Stack) -> None:
        torch.cuda.set_sync_debug_mode("error" if steps else "default")  # the first step makes what stays
        try:
            one_step(runs)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        steps.append(kind)

    monkeypatch.setattr(kind, "_one_step", without_waiting)
    data = sets if make is not convolutions else sets[0]
    models = [made(make, seed) for seed in range(2 if kind is Stack else 1)]
    arguments = {"seeds": range(len(models)), "steps": 5, "device": "cuda"}
    list(train_stacked(models, [data] * len(models), recipe_of(models[0]), **arguments))
    assert len(steps) == 5


def test_a_loss_that_is_not_finite_stops_the_run_with_its_last_good_weights(sets: Sets) -> None:
    model = made()
    begun = [weight.detach().clone() for weight in model.parameters()]
    poisoned = Images(torch.full_like(sets[0].images, float("nan")), sets[0].labels)
    with pytest.raises(TrainingError, match=r"not been finite between steps 0 and 1\. The weights are those of step 0"):
        on("cuda", model, (poisoned, sets[1]), 5)
    assert all(torch.equal(weight.cpu(), old) for weight, old in zip(model.parameters(), begun, strict=True))
