"""Seeds: which are allowed, and how random numbers are drawn from one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from aae_lib.errors import TrainingError

TURN = threading.RLock()  # all threads of a process share torch's random numbers
SEEDS = 4294  # seed * 1,000,003 must fit in 32 bits; torch ignores the rest


def check_seed(seed: int) -> None:
    """Raise a :class:`TrainingError` unless this is an int from 0 to 4293."""
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < SEEDS:
        raise TrainingError(f"a seed is a whole number from 0 to {SEEDS - 1}, not {seed!r}: choose another one")


@contextmanager
def own_random_numbers(device: torch.device) -> Iterator[None]:
    """Inside, whatever is drawn on CPU and ``device``, the caller's random numbers stay; other threads wait outside."""
    with TURN, torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Inside, torch's random numbers on CPU and ``device`` are those of ``seed``; afterwards the caller's go on."""
    device = torch.device(device)
    with own_random_numbers(device):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach every GPU
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
