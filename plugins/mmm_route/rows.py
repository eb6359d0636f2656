"""Rows of a batch by index."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def where(mask: Tensor | list[bool]) -> Tensor:
    """Indices of the true elements of a Bool[b], as Ids[r]."""
    return torch.as_tensor(mask, dtype=torch.bool).nonzero(as_tuple=True)[0]


def take(x: Any, rows: Tensor) -> Any:
    """Rows of a tensor `b ...` or of a list of b values.

    Raises:
        ValueError: an index is outside the batch.
    """
    size = len(x)
    if rows.numel() and not 0 <= int(rows.min()) <= int(rows.max()) < size:
        raise ValueError(f"rows {rows.tolist()} do not all lie in a batch of {size}")
    if isinstance(x, Tensor):
        return x.index_select(0, rows.to(x.device))
    return [x[i] for i in rows.tolist()]
