"""Safetensors or GGUF file, folder or shard index -> names and shapes now, tensors one by one when asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmm_graph.checkpoint.gguf import gguf_shapes, stream_gguf
from mmm_graph.checkpoint.stream import stream
from mmm_graph.errors import RunError, problem
from mmm_graph.registry.gguf_header import SUFFIX
from mmm_graph.registry.weight_files import INDEX, PICKLES, find_file, read_index

CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint.

    Attributes:
        path: file or folder it was opened from.
        files: tensor name -> file that holds it.
        shapes: of every tensor.
        metadata: of the first file.
        stream: reads tensors of one of the files, by its path and their names.
    """

    path: Path
    files: Mapping[str, Path]
    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str] = field(default_factory=dict)
    stream: Callable[[Path, Sequence[str]], Iterator[tuple[str, Tensor]]] = stream

    def read(self, names: list[str], device: str | torch.device = "cpu") -> Iterator[tuple[str, Tensor]]:
        """Tensors by name, each read when the iterator gets there, into memory of its own.

        Raises:
            RunError: E605, a file is not what it was when it was opened.
        """
        for name, value in self.lend(names):
            yield name, value.to(device, copy=True)

    def lend(self, names: list[str]) -> Iterator[tuple[str, Tensor]]:
        """As `read`, on the CPU and all into the same memory: a tensor is to be copied before the next one is read."""
        by_file: dict[Path, list[str]] = {}
        for name in names:
            by_file.setdefault(self.files[name], []).append(name)
        for file, inside in by_file.items():
            yield from self.stream(file, inside)

    def digest(self) -> str:
        """32 hex digits of the content of all files."""
        return _digest(
            tuple((f, f.stat().st_size, f.stat().st_mtime_ns) for f in sorted(set(self.files.values())))
        )


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a .safetensors or .gguf file, a .safetensors.index.json, or a folder that holds one of them.

    Raises:
        RunError: E604, a pickle (it can run code when it is loaded); E605, unreadable or nothing to read;
            E606, a folder with several candidates, none of which has the usual name; E633, a GGUF file of a sort that
            cannot be read.
    """
    if path.is_dir():
        path = find_file(path)
    if path.suffix in PICKLES:
        hint = "convert it to .safetensors, which holds nothing but tensors"
        raise RunError(
            problem("E604", f"{path} is a pickle, which can run any code when it is loaded", hint=hint)
        )
    if path.name.endswith(INDEX):
        return _open_index(path)
    if path.suffix == SUFFIX:
        shapes, texts = gguf_shapes(path)
        return Checkpoint(path, dict.fromkeys(shapes, path), shapes, texts, stream_gguf)
    shapes, metadata = _header(path)
    return Checkpoint(path, dict.fromkeys(shapes, path), shapes, metadata)


@lru_cache(maxsize=64)
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Of files as they are at that size and time: several models may be in one file of gigabytes."""
    digest = hashlib.blake2b(digest_size=16)
    for file, _, _ in files:
        hash_file(digest, file)
    return digest.hexdigest()


def hash_file(digest: Any, path: Path) -> None:
    """Feed a file's content to a hash."""
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)


def _open_index(path: Path) -> Checkpoint:
    files = read_index(path)
    shapes: dict[str, tuple[int, ...]] = {}
    metadata: Mapping[str, str] = {}
    for file in sorted(set(files.values())):
        inside, metadata = _header(file)
        shapes.update(inside)
    lost = sorted(files.keys() - shapes.keys())
    if lost:
        raise RunError(
            problem("E605", f"{path} names tensors that its shards do not hold: {', '.join(lost[:5])}")
        )
    return Checkpoint(path, files, {n: shapes[n] for n in files}, metadata)


def _header(path: Path) -> tuple[dict[str, tuple[int, ...]], Mapping[str, str]]:
    try:
        with safe_open(path, framework="pt") as tensors:
            shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
            return shapes, tensors.metadata() or {}
    except (OSError, SafetensorError) as error:
        hint = "the file is damaged, still being written, or something else; fetch it again"
        raise RunError(
            problem("E605", f"{path} cannot be read as safetensors: {error}", hint=hint)
        ) from error
