"""A safetensors file -> its tensors one by one, through one piece of memory: no page of the file stays mapped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import FileIO
from math import prod
from mmap import mmap
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.registry.weight_files import read_safetensors_header

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "C64": torch.complex64,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def stream(path: Path, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """Tensors of a file that `open_checkpoint` has checked, in the order of `names`, each lent until the next.

    The host needs memory for the largest of them, and no more. They are not mapped from the file, as safetensors itself
    does it: a file that is overwritten later changes no model, and a shorter one ends no process.

    Raises:
        RunError: E605, the file has changed since, or holds numbers of a type that torch does not have.
    """
    try:
        with path.open("rb", buffering=0) as file:
            header, start = read_safetensors_header(file)
            sizes = [header[name]["data_offsets"] for name in names]
            memory = lent(max((last - first for first, last in sizes), default=0))
            for name in names:
                yield name, _read(file, header[name], start, memory)
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "it was changed while it was read, or it is of a newer format; fetch it again"
        raise RunError(problem("E605", f"{path} cannot be read: {error!r}", hint=hint)) from error


def lent(num_bytes: int) -> Tensor:
    """Bytes from the system, which gets them back: the heap would keep them, as holes that nothing else fits."""
    if not num_bytes:
        return torch.empty(0, dtype=torch.uint8)
    return torch.frombuffer(mmap(-1, num_bytes), dtype=torch.uint8)


def _read(file: FileIO, entry: Mapping[str, Any], start: int, memory: Tensor) -> Tensor:
    first, last = entry["data_offsets"]
    dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
    if prod(shape) * dtype.itemsize != last - first:
        raise ValueError(f"{last - first} bytes for {entry['dtype']}{shape}")
    return read_at(file, start + first, memory[: last - first]).view(dtype).reshape(shape)


def read_at(file: FileIO, start: int, memory: Tensor) -> Tensor:
    """Fill memory, of bytes, with those of a file from `start` on; returns it.

    Raises:
        ValueError: there are fewer.
    """
    file.seek(start)
    target = memory.numpy().data
    while len(target):
        read = file.readinto(target)
        if not read:
            raise ValueError("it ends too early")
        target = target[read:]
    return memory
