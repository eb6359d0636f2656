"""Ring attention: chunks of keys and values go round the members, and each is used where it passes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mmm_graph.parallel.gather import unpack
from mmm_graph.parallel.group import Group
from mmm_graph.parallel.partial import Merged


def ring_attention(group: Group, q: Tensor, kv: Tensor, lengths: Sequence[int]) -> Tensor:
    """Attention of own queries to the keys and values of all members: b n l k -> b n l k.

    A member never holds more than two chunks; the next one comes while the present one is used.

    Args:
        kv: own keys and values, packed (`gather.pack`): 2 b l n k.
        lengths: tokens in each member's `kv`.
    Source: Liu et al. 2023 (arXiv:2310.01889).
    """
    merged = Merged(q)
    left, right = (group.index - 1) % group.size, (group.index + 1) % group.size
    two, batch, _, heads, width = kv.shape
    for hop in range(1, group.size):
        length = lengths[(group.index - hop) % group.size]
        coming = group.start_swap({right: kv}, {left: (two, batch, length, heads, width)}, kv)
        merged.add(*unpack([kv]))
        kv = coming.wait()[left]
    merged.add(*unpack([kv]))
    return merged.result()
