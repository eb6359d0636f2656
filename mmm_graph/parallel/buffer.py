"""PipeFusion: keys and values of the patches that are not computed now, as old as their last computation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmm_graph.parallel.exchange import Where
from mmm_graph.parallel.shares import shares
from mmm_graph.parallel.state import StateStore
from mmm_graph.parallel.tokens import Span, Tokens


def whole_buffer(
    state: StateStore, at: Where, layer: str, k: Tensor, v: Tensor, tokens: Tokens
) -> tuple[Tensor, Tensor]:
    """Keys and values of the whole sequence, b n l k, those of this patch as given.

    Args:
        k, v: of all tokens of this patch, or of the whole sequence, which then is attended to as it is.
        tokens: where they are.

    Source: Fang et al. 2024 (arXiv:2405.14430), section 4.
    """
    start, stop = tokens.spans[0][0], tokens.spans[-1][1]
    if stop - start == tokens.total:
        state.put(at, layer, "kv", (k.clone(), v.clone()))
        return k, v
    held: tuple[Tensor, Tensor] | None = state.get(at, layer, "kv")
    if held is None:  # no warm-up: it starts from zeros
        batch, heads, _, width = k.shape
        zeros = k.new_zeros(2, batch, tokens.total, heads, width).transpose(2, 3)
        held = (zeros[0], zeros[1])
        state.put(at, layer, "kv", held)
    for old, new in zip(held, (k, v), strict=True):
        old[:, :, start:stop] = new
    return held


class Held(NamedTuple):
    """What the members of a ring hold.

    Attributes:
        ranges: of each member, intervals of tokens, ascending; together the whole sequence, each token once.
        kv: own keys and values in that order, 2 b l n k.
    """

    ranges: tuple[tuple[Span, ...], ...]
    kv: Tensor

    @property
    def lengths(self) -> list[int]:
        """How many tokens each member holds."""
        return [sum(stop - start for start, stop in ranges) for ranges in self.ranges]


def ring_buffer(state: StateStore, at: Where, layer: str, kv: Tensor, tokens: Tokens, index: int) -> Held:
    """What the members of a ring hold once each has put in its share of a patch; nobody holds that patch's old tokens.

    Args:
        kv: own share of the patch, or of the whole sequence: 2 b l n k.
        tokens: what each member puts in.
        index: own place in the ring.
    """
    old: Held | None = state.get(at, layer, "kv")
    if old is None:
        old = nothing(kv, tokens, index)
    hole = (tokens.spans[0][0], tokens.spans[-1][1])
    ranges = tuple(
        tuple(sorted([*outside(had, hole), new])) for had, new in zip(old.ranges, tokens.spans, strict=True)
    )
    new = Held(ranges, replaced(old.kv, old.ranges[index], kv, tokens.spans[index], ranges[index]))
    state.put(at, layer, "kv", new)
    return new


def nothing(kv: Tensor, tokens: Tokens, index: int) -> Held:
    """Zeros for the whole sequence, where there was no warm-up."""
    spans = shares(tokens.total, len(tokens.spans))
    two, batch, _, heads, width = kv.shape
    length = spans[index][1] - spans[index][0]
    return Held(tuple((span,) for span in spans), kv.new_zeros(two, batch, length, heads, width))


def outside(ranges: Sequence[Span], hole: Span) -> list[Span]:
    """What is left of ranges around a hole."""
    sides = [side for a, b in ranges for side in ((a, min(b, hole[0])), (max(a, hole[1]), b))]
    return [(a, b) for a, b in sides if a < b]


def replaced(old: Tensor, had: Sequence[Span], new: Tensor, span: Span, ranges: Sequence[Span]) -> Tensor:
    """The tokens `ranges`: those of `span` are `new`, the others stand in `old`, which holds `had`. 2 b l n k."""
    if ranges == had:  # the same as a turn ago
        offset = sum(b - a for a, b in had if b <= span[0])
        old[:, :, offset : offset + new.shape[2]] = new
        return old
    if len(ranges) == 1:
        return new
    return torch.cat([new if r == span else taken(old, had, r) for r in ranges], dim=2)


def taken(old: Tensor, had: Sequence[Span], span: Span) -> Tensor:
    """The tokens of `span`, which lie in one range of those that `old` holds."""
    offset = 0
    for a, b in had:
        if a <= span[0] and span[1] <= b:
            return old.narrow(2, offset + span[0] - a, span[1] - span[0])
        offset += b - a
    raise AssertionError(f"tokens {span} are not in {had}")
