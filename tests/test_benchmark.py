"""The benchmark: it counts the arithmetic of a step right, and its plain loops do the work that they are timed for."""

import pytest
import torch

from aae_lib import benchmark
from aae_lib.data import Images


def test_a_step_is_timed_and_its_arithmetic_is_counted(monkeypatch):
    monkeypatch.setattr(benchmark, "STEPS", 2)
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    basic, semi_supervised = benchmark.benchmark()
    encoder, discriminator = 784_000 + 1000**2 + 2000, 2000 + 1000**2 + 1000  # multiplications per image
    # Forward once, backward twice (but for the gradient of a network's own input), two operations a multiplication.
    reconstruction, generator = 6 * encoder - 784_000, 3 * encoder - 784_000 + 2 * discriminator
    expected = 2 * 100 * (reconstruction + 2 * (3 * discriminator - 2000) + generator) / 1e9
    assert basic.gigaflops == pytest.approx(expected, rel=0.01)
    assert semi_supervised.gigaflops > 1.5 * basic.gigaflops
    for timing in (basic, semi_supervised):
        assert timing.milliseconds > 0 and timing.times_faster > 0 and timing.share_of_matrix_rate > 0


@pytest.mark.parametrize("plain", [benchmark.plain_basic, benchmark.plain_semi_supervised])
def test_the_plain_loops_train(plain, monkeypatch):
    monkeypatch.setattr(benchmark, "RECONSTRUCTION", benchmark.SGD(0.01, momentum=0.9))
    networks, step = plain()
    before = [parameter.clone() for parameter in networks.parameters()]
    for _ in range(3):
        step(Images(torch.rand(100, 784), torch.arange(100) % 10))
    assert all(not torch.equal(old, new) for old, new in zip(before, networks.parameters(), strict=True))
