"""A .gguf file as a checkpoint: names and shapes now, tensors one by one when asked, packed numbers as float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmm_graph.checkpoint.stream import lent, read_at
from mmm_graph.errors import RunError, problem
from mmm_graph.registry.gguf_header import Entry, Header, read_header

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
}  # fmt: skip
"""Numbers that are as torch has them; all others are packed in blocks."""
CHUNK_NUMBERS = 1 << 21
"""So many at a time are unpacked: what that needs beside the result is some megabytes."""


def gguf_shapes(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """(shape of every tensor by name, texts of the head).

    Names have the architecture before them, `llama.blk.0.attn_q.weight`: what a tensor means depends on it.

    Raises:
        RunError: E605, E633, as of `read_header`; E633, a tensor that the package gguf cannot unpack.
    """
    header = read_header(path)
    _check_types(path, header)
    shapes = {_full(header, name): entry.shape for name, entry in header.tensors.items()}
    return shapes, {name: value for name, value in header.fields.items() if isinstance(value, str)}


def stream_gguf(path: Path, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """Tensors of a file that `gguf_shapes` has checked, in the order of `names`, each lent until the next.

    The host needs memory for the largest of them, as it is in the file and as float32, and no more.

    Raises:
        RunError: E605, the file has changed since.
    """
    try:
        header = read_header(path)
        entries = {_full(header, name): entry for name, entry in header.tensors.items()}
        wanted = [entries[name] for name in names]
        packed = lent(max((entry.num_bytes for entry in wanted), default=0))
        numbers = lent(max((4 * _count(entry) for entry in wanted), default=0))
        with path.open("rb", buffering=0) as file:
            for name, entry in zip(names, wanted, strict=True):
                raw = read_at(file, entry.start, packed[: entry.num_bytes])
                yield name, _unpacked(raw, entry, numbers)
    except (OSError, ValueError, KeyError) as error:
        hint = "it was changed while it was read; fetch it again"
        raise RunError(problem("E605", f"{path} cannot be read: {error!r}", hint=hint)) from error


def _full(header: Header, name: str) -> str:
    return f"{header.architecture}.{name}" if header.architecture else name


def _count(entry: Entry) -> int:
    """Numbers that have to be unpacked."""
    return 0 if entry.type.name in DTYPES else torch.Size(entry.shape).numel()


def _unpacked(raw: Tensor, entry: Entry, memory: Tensor) -> Tensor:
    if entry.type.name in DTYPES:
        return raw.view(DTYPES[entry.type.name]).reshape(entry.shape)
    from gguf.quants import dequantize

    width = entry.shape[-1]
    result = memory[: 4 * _count(entry)].view(torch.float32).view(-1, width)
    rows = max(1, CHUNK_NUMBERS // width)
    for part, out in zip(*(torch.split(t, rows) for t in (raw.view(len(result), -1), result)), strict=True):
        out.copy_(torch.from_numpy(dequantize(part.numpy(), entry.type)))
    return result.view(entry.shape)


def _check_types(path: Path, header: Header) -> None:
    """That the package can unpack every type that occurs, seen by unpacking one block of zeros."""
    import numpy as np
    from gguf.constants import GGML_QUANT_SIZES
    from gguf.quants import dequantize

    first = {entry.type: name for name, entry in reversed(list(header.tensors.items()))}
    for type_, name in first.items():
        if type_.name in DTYPES:
            continue
        try:
            dequantize(np.zeros((1, GGML_QUANT_SIZES[type_][1]), np.uint8), type_)
        except NotImplementedError as error:
            message = f"{path} has a tensor {name} that is packed as {type_.name}, which cannot be unpacked"
            hint = "fetch the model in another type, such as Q8_0 or Q4_K_M"
            raise RunError(problem("E633", message, hint=hint)) from error
