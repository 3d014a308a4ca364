"""Devices: where a model computes, and how this process is set up to compute fast."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from aae_lib.errors import TrainingError
from aae_lib.seeding import seeded


def chosen_device(device: torch.device | str | None = None) -> torch.device:
    """The CPU or CUDA GPU of that name, else a :class:`TrainingError`; by default the GPU if PyTorch sees one."""
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise TrainingError(f"there is no device '{device}': use 'cpu' or 'cuda'") from error
    if chosen.type not in ("cpu", "cuda"):
        raise TrainingError(f"device '{device}' is not supported: use 'cpu' or 'cuda'")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise TrainingError(f"PyTorch sees {torch.cuda.device_count()} GPUs here, not '{device}': use 'cpu'")
    return chosen


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether ``device`` multiplies bfloat16 matrices natively, which is faster than float32 ones."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def device_of(module: nn.Module) -> torch.device:
    """Where the parameters of ``module`` are."""
    return next(module.parameters()).device


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation without gradients; afterwards the modules' modes and the random state are what they were."""
    modes = {module: module.training for module in model.modules()}
    with torch.no_grad(), seeded(0, device_of(model)):
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode


def prepare_process() -> None:
    """Make training fast in this process from now on.

    Denormal numbers count as zero: they make a run whose weights vanish ten times slower. On Linux with glibc the
    process keeps the memory that a step frees: giving it back to the kernel costs a third of the next step.
    """
    torch.set_flush_denormal(True)
    if platform.libc_ver()[0] == "glibc":
        c_library = ctypes.CDLL(None)
        c_library.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, in bytes
        c_library.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD
