"""The benchmark: it counts the arithmetic of a step right, and its plain loops do the work that they are timed for."""

import pytest
import torch

import aae_lib.benchmark as benchmark
from aae_lib.data import Images

BATCH = 100
ENCODER = 784 * 1000 + 1000 * 1000 + 1000 * 2  # multiplications per image
DISCRIMINATOR = 2 * 1000 + 1000 * 1000 + 1000 * 1
OF_TWENTY = 784 * 1000 + 1000 * 1000 + 1000 * 20  # encoder, and decoder, of a label and a 10-D style
OF_TEN = 10 * 1000 + 1000 * 1000 + 1000 * 1  # each of their discriminators


def test_a_step_is_timed_and_its_arithmetic_is_counted(monkeypatch):
    monkeypatch.setattr(benchmark, "STEPS", 2)
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    basic, semi_supervised = benchmark.benchmark()
    # Forward once, backward twice (but for the gradient of a network's own input), two operations a multiplication.
    reconstruction = 3 * 2 * ENCODER - 784 * 1000
    discriminator = 2 * (3 * DISCRIMINATOR - 2 * 1000)
    generator = 3 * ENCODER - 784 * 1000 + 2 * DISCRIMINATOR
    assert basic.gigaflops == pytest.approx(2 * BATCH * (reconstruction + discriminator + generator) / 1e9, rel=0.01)
    reconstruction = 3 * 2 * OF_TWENTY - 784 * 1000
    discriminators = 2 * 2 * (3 * OF_TEN - 10 * 1000)
    generator = 3 * OF_TWENTY - 784 * 1000 + 2 * 2 * OF_TEN
    classification = 3 * OF_TWENTY - 784 * 1000
    expected = 2 * BATCH * (reconstruction + discriminators + generator + classification) / 1e9
    assert semi_supervised.gigaflops == pytest.approx(expected, rel=0.01)
    for timing in (basic, semi_supervised):
        assert timing.milliseconds > 0 and timing.times_faster > 0 and timing.matrix_rate > 0


@pytest.mark.parametrize("plain", [benchmark.plain_basic, benchmark.plain_semi_supervised])
def test_the_plain_loops_train(plain, monkeypatch):
    monkeypatch.setattr(benchmark, "RECONSTRUCTION", benchmark.SGD(0.01, momentum=0.9))
    torch.manual_seed(0)
    step = plain()
    batch = Images(torch.rand(BATCH, 784), torch.arange(BATCH) % 10)
    networks = step.__closure__[[cell for cell in step.__code__.co_freevars].index("networks")].cell_contents
    before = [parameter.clone() for parameter in networks.parameters()]
    for _ in range(3):
        step(batch)
    assert all(not torch.equal(old, new) for old, new in zip(before, networks.parameters(), strict=True))
