"""What flows at run time: absence with its reason, sizes, descriptions and content keys of values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Absent:
    """A value that is not there: a batch of zero rows, a condition that is false, an input that was not given.

    Attributes:
        reason: the root cause.
        skipped: nodes that did not run because of it, nearest to the cause first.
    """

    reason: str
    skipped: tuple[str, ...] = ()

    def after(self, node: str) -> Absent:
        """The absence of what `node` would have made."""
        return (
            self
            if node in self.skipped or len(self.skipped) == 8
            else Absent(self.reason, (*self.skipped, node))
        )

    def __str__(self) -> str:
        return f"{self.reason}; skipped: {', '.join(self.skipped)}" if self.skipped else self.reason


def is_empty(value: Any) -> bool:
    """None or a batch of zero rows; such a value counts as absent."""
    if type(value) is Tensor:
        return value.dim() > 0 and value.shape[0] == 0
    if isinstance(value, Tensor):
        return value.dim() > 0 and value.size(0) == 0
    return value is None or (isinstance(value, list | tuple) and not value)


def num_bytes(value: Any) -> int:
    """Bytes that the tensors in a value hold."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        return sum(num_bytes(v) for v in value.values())
    if isinstance(value, list | tuple):
        return sum(num_bytes(v) for v in value)
    return 0


def describe(value: Any) -> str:
    """A value in a few words, for errors."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {describe(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        inner = describe(value[0]) if value else ""
        return f"{len(value)} x {inner}"
    if isinstance(value, str):
        return repr(value if len(value) < 40 else value[:37] + "...")
    return repr(value) if isinstance(value, int | float | bool | None) else type(value).__name__


def truth(value: Any) -> bool:
    """A Bool as one decision: a Python bool, or a tensor whose elements agree.

    Raises:
        ValueError: its elements disagree.
    """
    if isinstance(value, Tensor):
        flags = value.bool()
        if bool(flags.all()):
            return True
        if not bool(flags.any()):
            return False
        raise ValueError(f"a condition for the whole node has {flags.numel()} elements that disagree")
    return bool(value)


def content_key(value: Any) -> str | None:
    """A key equal for equal content, or None for what has no content that can be read."""
    digest = hashlib.blake2b(digest_size=16)
    return digest.hexdigest() if _feed(digest, value) else None


def _feed(digest: Any, value: Any) -> bool:
    if isinstance(value, Tensor):
        if value.requires_grad:
            return False
        flat = value.detach().to("cpu").contiguous().reshape(-1)
        digest.update(f"tensor {value.dtype} {tuple(value.shape)}".encode())
        digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
        return True
    if isinstance(value, str | int | float | bool | None | bytes):
        digest.update(f"{type(value).__name__} {value!r};".encode())
        return True
    if isinstance(value, list | tuple):
        digest.update(f"list {len(value)}".encode())
        return all(_feed(digest, v) for v in value)
    if isinstance(value, Mapping):
        digest.update(f"map {len(value)}".encode())
        return all(isinstance(k, str) and _feed(digest, k) and _feed(digest, v) for k, v in value.items())
    if isinstance(value, Absent):
        digest.update(b"absent")
        return True
    return False
