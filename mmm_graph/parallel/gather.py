"""Keys and values of all members, gathered: each then attends from its own queries to everything."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmm_graph.parallel.group import Gathering, Group


def start_gather(group: Group, kv: Tensor, lengths: Sequence[int]) -> Gathering:
    """Start to give own keys and values, packed, to all; it brings those of each member."""
    two, batch, _, heads, width = kv.shape
    return group.gather(kv, [(two, batch, length, heads, width) for length in lengths])


def pack(k: Tensor, v: Tensor) -> Tensor:
    """b n l k, twice -> 2 b l n k: one message, in the order in which projections make it."""
    return torch.stack([k.transpose(1, 2), v.transpose(1, 2)])


def unpack(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Keys and values, b n l k, of the parts one after the other."""
    kv = parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=2)
    k, v = kv.transpose(2, 3).unbind()
    return k, v
