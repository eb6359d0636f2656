"""Attention that knows how far tokens are apart: a learned number for each head and range of distances."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.attention import BY_HEADS, merge_heads, split_heads
from mmm_graph.nn.linear import RowLinear
from mmm_graph.parallel.exchange import SINGLE, Exchange
from mmm_graph.parallel.tensor import TensorSplit


class RelativeBias(nn.Module):
    """What is added to the scores of a query and a key that are some tokens apart: 1 n l l.

    Args:
        num_heads: heads; each has numbers of its own.
        num_buckets: ranges of distances, half of them for keys after the query.
        max_distance: from here on all distances are in the last range.
        causal: no query sees keys after it, and all ranges are for those before it.

    Source: Raffel et al. 2019 (arXiv:1910.10683), section 2.1.
    """

    tensor_split: ClassVar[TensorSplit] = TensorSplit(columns={}, rows=("table",), heads="num_heads")

    def __init__(
        self, num_heads: int, num_buckets: int = 32, max_distance: int = 128, *, causal: bool = False
    ) -> None:
        super().__init__()
        self.num_heads, self.causal = num_heads, causal
        self.num_buckets, self.max_distance = num_buckets, max_distance
        self.table = Table(num_buckets, num_heads)

    def forward(self, length: int, positions: Tensor | None = None) -> Tensor:
        """Of all pairs of a text; `positions` [b,l], where they are not 0, 1, 2 ..., make it [b,n,l,l]."""
        if positions is None:
            positions = torch.arange(length, device=self.table.weight.device)[None]
        offset = positions[:, None] - positions[..., None]  # b l l, how far the key is after the query
        bias = self.look_up(offset)
        if self.causal:
            bias = bias.masked_fill((offset > 0)[:, None], torch.finfo(bias.dtype).min)
        return bias

    def last(self, length: int) -> Tensor:
        """Of the last token of a text and all: 1 n 1 l."""
        return self.look_up(torch.arange(1 - length, 1, device=self.table.weight.device)[None, None])

    def look_up(self, offset: Tensor) -> Tensor:
        """[b,q,k], key - query in tokens -> [b,n,q,k]."""
        bucket = find_buckets(offset, self.num_buckets, self.max_distance, causal=self.causal)
        return F.embedding(bucket, self.table.weight).permute(0, 3, 1, 2).contiguous()  # all blocks read it


class Table(nn.Module):
    """A number for each of `rows` and each head; heads are its `in_features`, which ranks of a tensor axis cut."""

    def __init__(self, rows: int, num_heads: int) -> None:
        super().__init__()
        self.in_features = num_heads
        self.weight = nn.Parameter(torch.randn(rows, num_heads))


class RelativeAttention(nn.Module):
    """Multi-head self-attention without biases whose scores are q k + bias, not scaled: b l d -> b l d.

    Args:
        dim: width of the tokens.
        num_heads, head_dim: heads and the width of one; together they may be wider than the tokens.

    Source: Raffel et al. 2019 (arXiv:1910.10683), section 2.1; the scale is in the weights of q (github.com/
    tensorflow/mesh, transformer/attention.py).
    """

    tensor_split: ClassVar[TensorSplit] = BY_HEADS

    def __init__(self, dim: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        inner = num_heads * head_dim
        self.exchange: Exchange = SINGLE
        self.layer = ""
        self.num_heads, self.head_dim = num_heads, head_dim
        self.q, self.k, self.v = (nn.Linear(dim, inner, bias=False) for _ in range(3))
        self.out = RowLinear(inner, dim, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """`bias` is added to the scores and broadcast to [b,n,l,l]; a mask over keys is very negative in it."""
        q, k, v = (split_heads(project(x), self.num_heads) for project in (self.q, self.k, self.v))
        q = q * math.sqrt(self.head_dim)  # the exchange divides by it
        y: Tensor = self.out(merge_heads(self.exchange.attention(self.layer, q, k, v, bias)))
        return y


def find_buckets(offset: Tensor, num_buckets: int, max_distance: int, *, causal: bool = False) -> Tensor:
    """The range that `offset` = key - query, in tokens, is in: one each while near, wider ones farther away.

    In float32 and in this order: trained weights belong to the ranges that its rounding makes.

    Args:
        causal: all ranges are of keys before the query; those after it are as far as itself.
    """
    half = num_buckets if causal else num_buckets // 2  # of one direction
    near = half // 2
    distance = -offset.clamp(max=0) if causal else offset.abs()
    ratio = torch.log(distance.clamp(min=1).float() / near) / math.log(max_distance / near)
    far = (near + (ratio * (half - near)).long()).clamp(max=half - 1)
    bucket = torch.where(distance < near, distance, far)
    return bucket if causal else bucket + half * (offset > 0)


def mask_keys(bias: Tensor, mask: Tensor | None) -> Tensor:
    """Bias of pairs [1 or b,n,l,l] that lets no query see keys outside of `mask` [b,l], True = attend: [b,n,l,l].

    The least finite number stands for never: a text that is all padding stays finite.
    """
    if mask is None:
        return bias
    return bias.masked_fill(~mask.bool()[:, None, None], torch.finfo(bias.dtype).min)
