"""Devices, and the set-up of the process."""

import pytest
import torch
from torch import nn

from aae_lib.devices import chosen_device, device_of, multiplies_bfloat16, prepare_process
from aae_lib.errors import TrainingError

NO_GPU = {"is_available": lambda: False, "device_count": lambda: 0}
TWO_GPUS = {"is_available": lambda: True, "device_count": lambda: 2}


@pytest.mark.parametrize(
    ("cuda", "device", "expected"),
    [
        (NO_GPU, None, "cpu"),
        (TWO_GPUS, None, "cuda"),
        (TWO_GPUS, "cpu", "cpu"),
        (TWO_GPUS, "cuda:1", "cuda:1"),
        (TWO_GPUS, torch.device("cuda"), "cuda"),
    ],
)
def test_the_gpu_is_the_default_if_there_is_one(
    cuda: dict, device: object, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cuda.items():
        monkeypatch.setattr(torch.cuda, name, value)
    assert chosen_device(device) == torch.device(expected)


@pytest.mark.parametrize("device", ["mps", "nonsense", "cuda:2"])
def test_devices_that_cannot_train_are_refused(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TWO_GPUS.items():
        monkeypatch.setattr(torch.cuda, name, value)
    with pytest.raises(TrainingError, match=f"'{device}'.*use 'cpu'"):
        chosen_device(device)


def test_a_module_is_where_its_parameters_are() -> None:
    assert device_of(nn.Sequential(nn.ReLU(), nn.Linear(2, 2))) == torch.device("cpu")
    assert device_of(nn.Linear(2, 2, device="meta")) == torch.device("meta")


@pytest.mark.parametrize(
    ("capabilities", "native"), [({}, False), ({"avx512_bf16": True}, True), ({"avx2": True}, False)]
)
def test_bfloat16_is_for_processors_that_multiply_it(
    capabilities: dict, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert multiplies_bfloat16(torch.device("cpu")) is native


def test_a_prepared_process_flushes_denormal_numbers() -> None:
    try:
        prepare_process()
        assert not (torch.full((100,), 1e-20) * 1e-20).any()
    finally:
        torch.set_flush_denormal(False)
