"""Seeds of runs, and random numbers drawn from one."""

import pytest
import torch

from aae_lib.errors import TrainingError
from aae_lib.seeding import SEEDS, check_seed, seeded


def test_inside_the_numbers_are_those_of_the_seed_and_afterwards_the_callers() -> None:
    torch.manual_seed(7)
    expected = torch.rand(4)
    torch.manual_seed(7)
    first = torch.rand(2)
    for device in ("cpu", torch.device("cpu")):
        with seeded(3, device):
            assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(3)))
    with pytest.raises(KeyError), seeded(3):
        raise KeyError
    assert torch.equal(torch.cat([first, torch.rand(2)]), expected)


def test_seeds_that_a_data_order_can_be_drawn_from_pass() -> None:
    for seed in (0, 1, SEEDS - 1):
        check_seed(seed)
    assert (SEEDS - 1) * 1_000_003 < 2**32 <= (SEEDS + 1) * 1_000_003


@pytest.mark.parametrize("seed", [-1, SEEDS, 1.0, "1", None, True])
def test_other_seeds_are_refused(seed: object) -> None:
    with pytest.raises(TrainingError, match=f"seed.*0 to 4293.*{seed}"):
        check_seed(seed)
