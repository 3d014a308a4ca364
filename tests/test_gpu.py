"""On a GPU: the same step as on the CPU, the same bits after a resume, and the caller's random numbers left alone."""

from pathlib import Path

import pytest
import torch
from short_runs import run, same, weights
from support import sets_of, tiny

from aae_lib.priors import Gaussian
from aae_lib.seeding import seeded
from aae_lib.storage import read_file
from aae_lib.training import SGD, Adam

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA GPU here"),
]


class FixedGaussian(Gaussian):
    """The same samples on any device: a GPU's random numbers are others."""

    def sample(self, count: int, device: torch.device | str = "cpu") -> torch.Tensor:
        with seeded(0):
            return super().sample(count).to(device)


def test_a_step_is_that_of_the_cpu(images, make_model, make_recipe) -> None:
    ends = []
    for device in ("cpu", "cuda"):
        model = make_model()
        model.prior = FixedGaussian(2)
        begun = weights(model)
        (report,) = run(model, images, make_recipe(model, 1), device=device)
        ends.append((report.losses, {name: end.cpu() - begun[name] for name, end in weights(model).items()}))
    (losses, moves), (losses_there, moves_there) = ends
    assert losses_there == pytest.approx(losses, rel=1e-5)
    for name, move in moves.items():
        assert (moves_there[name] - move).abs().max() < 1e-3 * move.abs().max()


@pytest.mark.parametrize("name", ["label-informed", "semi-supervised, augmented", "clustering"])
@pytest.mark.parametrize("optimizer", [SGD(0.002, 0.5), Adam(0.001)])
def test_a_resumed_run_ends_with_the_same_bits(name: str, optimizer, sets, make_recipe, tmp_path: Path) -> None:
    state = torch.cuda.get_rng_state()
    for path, seed, steps in (("unbroken", 0, 20), ("broken", 0, 10), ("broken", 1, 20)):
        model = tiny(name, seed=seed)
        arguments = {"steps": steps, "device": "cuda", "state": tmp_path / path, "report_every": 5}
        run(model, sets_of(model, *sets), make_recipe(model, 20, optimizer), **arguments)
    assert same(read_file(tmp_path / "unbroken")[0], read_file(tmp_path / "broken")[0])
    assert torch.equal(torch.cuda.get_rng_state(), state)


@pytest.mark.parametrize("name", ["GAN", "AGE", "convolutional VAE"])
def test_convolutions_train_in_bfloat16(name: str, sets, make_recipe) -> None:
    model = tiny(name)
    report = run(model, sets_of(model, *sets), make_recipe(model, 5, SGD(1e-4)), device="cuda", bfloat16=True)[-1]
    assert report.step == 5 and all(end.is_cuda and end.dtype == torch.float32 for end in weights(model).values())
