"""Rows of one cached value by the digest of their sample: in memory, or in safetensors shards of a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmm_graph.checkpoint.save import save_tensors
from mmm_graph.errors import RunError, problem
from mmm_graph.train.cache_key import FORMAT

SHARD_BYTES = 64 << 20
ROWS = "rows"


class Store(Protocol):
    """Rows by digest. What was added is never changed."""

    def __contains__(self, digest: bytes, /) -> bool: ...

    def add(self, digests: Sequence[bytes], rows: Tensor) -> None: ...

    def take(self, digests: Sequence[bytes]) -> Tensor: ...

    def flush(self) -> None: ...


class MemoryStore:
    """In host memory."""

    def __init__(self) -> None:
        self._rows: dict[bytes, Tensor] = {}

    def __contains__(self, digest: bytes, /) -> bool:
        return digest in self._rows

    def add(self, digests: Sequence[bytes], rows: Tensor) -> None:
        """Keep rows; they are views of one tensor."""
        self._rows.update(zip(digests, rows.unbind(), strict=True))

    def take(self, digests: Sequence[bytes]) -> Tensor:
        """Rows in that order.

        Raises:
            KeyError: one of them was never added.
        """
        return torch.stack([self._rows[d] for d in digests])

    def flush(self) -> None:
        """Nothing is on its way."""

    def drain(self) -> Iterator[tuple[list[bytes], Tensor]]:
        """All rows, which are then gone, those of one type and size together."""
        kinds: dict[tuple[Any, ...], list[bytes]] = {}
        for digest, row in self._rows.items():
            kinds.setdefault((row.dtype, *row.shape), []).append(digest)
        for digests in kinds.values():
            yield digests, self.take(digests)
        self._rows = {}


class DiskStore:
    """In files of one folder, which any number of trainings may read and add to at the same time.

    A shard is written beside its place and renamed, and named after what it holds: two that write the same rows write
    the same file. Rows wait in memory until they fill a shard or `flush` is called.

    Raises:
        RunError: E857, the folder has a file that is no shard, or nothing can be written to it.
    """

    def __init__(self, folder: Path, *, shard_bytes: int = SHARD_BYTES) -> None:
        self._folder, self._shard_bytes = folder, shard_bytes
        self._waiting, self._waiting_bytes = MemoryStore(), 0
        self._found: dict[bytes, tuple[Any, int]] = {}
        for path in sorted(folder.glob("*.safetensors")):
            self._open(path)

    def __contains__(self, digest: bytes, /) -> bool:
        return digest in self._found or digest in self._waiting

    def add(self, digests: Sequence[bytes], rows: Tensor) -> None:
        """Keep rows; a full shard is written."""
        self._waiting.add(digests, rows)
        self._waiting_bytes += rows.numel() * rows.element_size()
        if self._waiting_bytes >= self._shard_bytes:
            self.flush()

    def take(self, digests: Sequence[bytes]) -> Tensor:
        """Rows in that order.

        Raises:
            KeyError: one of them was never added.
        """
        return torch.stack([self._row(digest) for digest in digests])

    def flush(self) -> None:
        """Write what waits."""
        for digests, rows in self._waiting.drain():
            names = json.dumps([d.hex() for d in digests])
            path = self._folder / f"{hashlib.blake2b(names.encode(), digest_size=8).hexdigest()}.safetensors"
            try:
                save_tensors({ROWS: rows}, path, metadata={"format": FORMAT, "samples": names})
            except (OSError, RunError) as error:
                hint = "free some space, give another folder with --cache-dir, or write `cache: memory`"
                what = f"the cache cannot be written to {self._folder}: {error}"
                raise RunError(problem("E857", what, hint=hint)) from error
            self._open(path)
        self._waiting_bytes = 0

    def _row(self, digest: bytes) -> Tensor:
        if digest in self._waiting:
            return self._waiting.take([digest])[0]
        rows, number = self._found[digest]
        row: Tensor = rows[number]
        return row

    def _open(self, path: Path) -> None:
        try:
            file: Any = safe_open(path, "pt")
            head = file.metadata() or {}
            if head.get("format") != FORMAT:
                raise ValueError(f"its format is {head.get('format')!r}, not {FORMAT!r}")
            rows = file.get_slice(ROWS)
            names = [bytes.fromhex(name) for name in json.loads(head["samples"])]
        except (KeyError, OSError, SafetensorError, ValueError) as error:
            what = f"{path} is no shard of a cache: {error}"
            raise RunError(problem("E857", what, hint="delete it; it will be made again")) from error
        self._found.update((name, (rows, number)) for number, name in enumerate(names))
