"""Files of tensors: safetensors with one JSON header. Reading one executes no code.

Weights ship as 8-bit integers with one float32 scale per output row: a code changes by less than the width of the
marker that draws it. Shipped files are compressed with gzip and end in ``.safetensors.gz``.
"""

import gzip
import json
import os
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from aae_lib.errors import StorageError

HEADER = "aae_lib"
SCALE = ".scale"
GZIP = b"\x1f\x8b\x08"  # how a gzip file begins
LARGEST = 2**30  # bytes that a compressed file may unpack to


def write_file(path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a header (``.gz``: compressed); at any moment ``path`` is the old file or the whole new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    content = save(contiguous, {HEADER: json.dumps(header)})
    unfinished.unlink(missing_ok=True)
    with open(unfinished, "xb") as file:  # never what a link of this name leads to
        file.write(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def read_file(path: str | Path, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_file` wrote, compressed or not: (tensors by name, header).

    Raises:
        StorageError: if ``path`` is missing, damaged, or was not written by this library.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for
            raise OSError("no regular file")
        content = Path(path).read_bytes()
        if content.startswith(GZIP):
            content = _unpacked(content)
        length = int.from_bytes(content[:8], "little")  # the format's own header, in JSON, comes first
        header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][HEADER])
        if not isinstance(header, dict):
            raise TypeError(f"a {type(header).__name__} as header")
        return {name: tensor.to(device) for name, tensor in load(content).items()}, header
    except FileNotFoundError as error:
        raise StorageError(f"there is no file {path}") from error
    except (SafetensorError, OSError, EOFError, RecursionError, zlib.error, KeyError, TypeError, ValueError) as error:
        found = f"{type(error).__name__}: {str(error):.200}"
        raise StorageError(f"{path} is damaged or no file of aae_lib ({found})") from error


def _unpacked(content: bytes) -> bytes:
    """What gzip has packed, up to a size: a file of some megabytes can unpack to more than fits into memory."""
    unpacker = zlib.decompressobj(wbits=31)
    if int.from_bytes(content[-4:], "little") > LARGEST:  # as gzip writes it there
        raise ValueError(f"it unpacks to more than {LARGEST:,} bytes")
    unpacked = unpacker.decompress(content, LARGEST)
    if not unpacker.eof or unpacker.unused_data:
        raise EOFError("it does not end where it should")
    return unpacked


def save_weights(path: str | Path, model: nn.Module, header: dict[str, Any], leave_out: Collection[str] = ()) -> None:
    """Write ``model`` but for some of its networks: matrices as 8-bit integers per output row, the rest as float32."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name.split(".")[0] in leave_out:
            continue
        if tensor.ndim < 2:
            tensors[name] = tensor.float()
            continue
        tensors[name], tensors[name + SCALE] = quantized(tensor)
    write_file(path, tensors, header)


def quantized(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix or kernel ``[rows, ...]`` as 8-bit integers, and the scale of each row, ``[rows, 1 ...]``."""
    scale = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True).float() / 127
    return (weight / scale.clamp_min(1e-30)).round().to(torch.int8), scale


def load_weights(path: str | Path, model: nn.Module, may_lack: Collection[str] = ()) -> dict[str, Any]:
    """Read weights into ``model`` and return the file's header.

    The file may lack networks that are named in ``model.adversaries`` or ``may_lack``. They are then removed from the
    model, so that nobody takes their random initial weights for trained ones. A model on the device "meta" is only
    compared.

    Raises:
        StorageError: if the file is missing or damaged, or its tensors are not those of ``model``.
    """
    tensors, header = read_file(path)
    state, broken = _weights(tensors)
    stored = {name.split(".")[0] for name in state}
    dispensable = {*getattr(model, "adversaries", ()), *may_lack}
    missing = [name for name in dispensable if hasattr(model, name) and name not in stored]
    # Compared first, because load_state_dict copies what fits before it refuses the rest.
    found = {f"{name} {list(tensor.shape)}" for name, tensor in state.items()}
    wanted = {name: tensor for name, tensor in model.state_dict().items() if name.split(".")[0] not in missing}
    expected = {f"{name} {list(tensor.shape)}" for name, tensor in wanted.items()}
    if found != expected:
        source = f" (weights of '{header['experiment']}')" if "experiment" in header else ""
        differing = _few("missing", expected - found), _few("unexpected", found - expected)
        raise StorageError(f"{path}{source} does not fit {type(model).__name__}: {'; '.join(filter(None, differing))}")
    if broken:
        found = _few("not finite, of another type or without its scale", broken)
        raise StorageError(f"the weights in {path} are damaged, {found}: train again")
    for name in missing:
        delattr(model, name)
    if not any(parameter.is_meta for parameter in model.parameters()):
        model.load_state_dict(state)
    return header


def _weights(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], set[str]]:
    """The weights of a file, and the names of those that are not what :func:`save_weights` writes."""
    weights, broken = {}, set()
    scales = {name + SCALE for name in tensors} & tensors.keys()
    for name in tensors.keys() - scales:
        tensor, scale = tensors[name], tensors.get(name + SCALE)
        if scale is None:
            usual = tensor.dtype == torch.float32
        else:
            rows = (*tensor.shape[:1], *[1] * (tensor.ndim - 1))
            usual = (tensor.dtype, scale.dtype, scale.shape) == (torch.int8, torch.float32, rows) and (scale >= 0).all()
            tensor = tensor.float() * scale if usual else tensor
        if not usual or not tensor.isfinite().all():
            broken.add(name)
        weights[name] = tensor
    return weights, broken


def _few(kind: str, names: set[str]) -> str:
    """The first three of these names, if there are any."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{kind}: {', '.join(f'{name:.80}' for name in sorted(names)[:3])}{more}" if names else ""
