"""Displaced patches: keys and values of the others as they were at the evaluation before, on their way meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mmm_graph.parallel.exchange import Where
from mmm_graph.parallel.gather import pack, start_gather, unpack
from mmm_graph.parallel.group import Gathering, Group
from mmm_graph.parallel.state import StateStore


def stale_gather(
    state: StateStore, group: Group, at: Where, layer: str, k: Tensor, v: Tensor, lengths: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Keys and values of all members, b n l k: own ones of now, and the others' of now if `at.sync`, else of before.

    The gather of this evaluation is started here and waited for when the layer runs next, or at `clear`. Where there
    was no evaluation before, the others' are zero.

    Source: Li et al. 2024 (arXiv:2402.19481), section 4.
    """
    before: Gathering | None = state.get(at, layer, "gathered")
    own = pack(k, v)
    now = start_gather(group, own, lengths)
    state.put(at, layer, "gathered", now)
    if at.sync:
        return unpack(now.wait())
    parts = zeros_like(own, lengths) if before is None else list(before.wait())
    parts[group.index] = own
    return unpack(parts)


def zeros_like(kv: Tensor, lengths: Sequence[int]) -> list[Tensor]:
    """Zeros for each member, 2 b l n k."""
    two, batch, _, heads, width = kv.shape
    return [kv.new_zeros(two, batch, length, heads, width) for length in lengths]
