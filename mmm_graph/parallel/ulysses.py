"""Ulysses: between "all heads of some tokens" and "some heads of all tokens", by an all-to-all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.parallel.group import Group
from mmm_graph.parallel.shares import shares

# Messages are laid out b l n k, as the projections make and read them, so that packing copies long rows.


def to_heads(
    group: Group, layer: str, q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """All heads n of own tokens, b n l k, to own heads of all tokens, b n' l' k, in the order of the members.

    Args:
        lengths: tokens of each member; the text, if any, makes the first one's longer.

    Raises:
        RunError: E722, there are fewer heads than members.
    Source: Jacobs et al. 2023 (arXiv:2309.14509).
    """
    batch, heads, _, width = q.shape
    if heads < group.size:
        hint = f"use at most {heads} ranks on the ulysses axis of this model, or ring or patch instead"
        what = f"{layer} has {heads} heads here, too few for {group.size} ranks"
        raise RunError(problem("E722", what, hint=hint))
    cuts = shares(heads, group.size)
    rows = [x.transpose(1, 2) for x in (q, k, v)]  # b l n k
    gives = [torch.stack([x[:, :, first:last] for x in rows]) for first, last in cuts]
    first, last = cuts[group.index]
    takes = group.all_to_all(gives, [(3, batch, length, last - first, width) for length in lengths])
    q, k, v = torch.cat(takes, dim=2).transpose(2, 3).unbind()
    return q, k, v


def to_tokens(group: Group, y: Tensor, lengths: Sequence[int], heads: int) -> Tensor:
    """The way back: own heads of all tokens, b n' l' k, to all heads of own tokens, b n l k."""
    batch, _, _, width = y.shape
    gives = torch.split(y.transpose(1, 2), list(lengths), dim=1)
    own = lengths[group.index]
    takes = group.all_to_all(gives, [(batch, own, b - a, width) for a, b in shares(heads, group.size)])
    return torch.cat(takes, dim=2).transpose(1, 2)
