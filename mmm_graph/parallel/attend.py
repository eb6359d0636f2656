"""Attention over tokens that several members hold: heads, then keys and values, then the kernel, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from mmm_graph.parallel.buffer import ring_buffer, whole_buffer
from mmm_graph.parallel.gather import pack, start_gather, unpack
from mmm_graph.parallel.ring import ring_attention
from mmm_graph.parallel.stale import stale_gather
from mmm_graph.parallel.tokens import Tokens, locate, text_length
from mmm_graph.parallel.ulysses import to_heads, to_tokens

if TYPE_CHECKING:
    from mmm_graph.parallel.sharded import Groups, ShardConfig, Sharded

Core = Callable[["Sharded", str, Tensor, Tensor, Tensor, Tokens], Tensor]
"""(exchange, layer, q, k, v, tokens of the members of the outer group) -> y; all b n l k."""


def attend(ex: Sharded, core: Core, layer: str, q: Tensor, k: Tensor, v: Tensor, num_text: int) -> Tensor:
    """`Exchange.attention` where tokens are shared or buffered."""
    groups, at = ex.groups, ex.at
    assert len(at.spans) == groups.tokens.size, (layer, at.spans, groups.tokens.size)
    text = text_length(ex.state, groups.tokens, at, layer, num_text, q)
    tokens = locate(at, layer, q.shape[2], num_text, text)
    inner = groups.inner
    if inner.size == 1:
        return core(ex, layer, q, k, v, tokens)
    heads, lengths = q.shape[1], tokens.chunk(groups.outer.index, inner.size).lengths
    q, k, v = to_heads(inner, layer, q, k, v, lengths)
    return to_tokens(inner, core(ex, layer, q, k, v, tokens.chunks(inner.size)), lengths, heads)


def choose(groups: Groups, config: ShardConfig) -> Core:
    """How keys and values reach the queries, of the members of the outer group."""
    ring = config.tokens == "ring" and groups.outer.size > 1
    if ring:
        return buffered_ring if config.buffered else ring_of_chunks
    if config.buffered:
        return buffered
    if groups.outer.size == 1:
        return here
    return displaced if config.displaced else gathered


def here(ex: Sharded, layer: str, q: Tensor, k: Tensor, v: Tensor, tokens: Tokens) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def gathered(ex: Sharded, layer: str, q: Tensor, k: Tensor, v: Tensor, tokens: Tokens) -> Tensor:
    k, v = unpack(start_gather(ex.groups.outer, pack(k, v), tokens.lengths).wait())
    return F.scaled_dot_product_attention(q, k, v)


def displaced(ex: Sharded, layer: str, q: Tensor, k: Tensor, v: Tensor, tokens: Tokens) -> Tensor:
    k, v = stale_gather(ex.state, ex.groups.outer, ex.at, layer, k, v, tokens.lengths)
    return F.scaled_dot_product_attention(q, k, v)


def buffered(ex: Sharded, layer: str, q: Tensor, k: Tensor, v: Tensor, tokens: Tokens) -> Tensor:
    outer = ex.groups.outer
    if outer.size > 1:
        k, v = unpack(start_gather(outer, pack(k, v), tokens.lengths).wait())
    k, v = whole_buffer(ex.state, ex.at, layer, k, v, tokens)
    return F.scaled_dot_product_attention(q, k, v)


def ring_of_chunks(ex: Sharded, layer: str, q: Tensor, k: Tensor, v: Tensor, tokens: Tokens) -> Tensor:
    return ring_attention(ex.groups.outer, q, pack(k, v), tokens.lengths)


def buffered_ring(ex: Sharded, layer: str, q: Tensor, k: Tensor, v: Tensor, tokens: Tokens) -> Tensor:
    outer = ex.groups.outer
    held = ring_buffer(ex.state, ex.at, layer, pack(k, v), tokens, outer.index)
    return ring_attention(outer, q, held.kv, held.lengths)
