"""Attention whose scores are not scaled, over keys and values that may be kept."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.attention import BY_HEADS, merge_heads, split_heads
from mmm_graph.nn.linear import RowLinear
from mmm_graph.parallel.tensor import TensorSplit


class UnscaledAttention(nn.Module):
    """Multi-head attention without biases whose scores are q k + bias: b q d -> b q d.

    Args:
        dim: width of queries, and of what keys and values are made of.
        num_heads, head_dim: heads and the width of one; together they may be wider than the tokens.

    Source: Raffel et al. 2019 (arXiv:1910.10683), section 2.1; the scale is in the weights of q (github.com/
    tensorflow/mesh, transformer/attention.py).
    """

    tensor_split: ClassVar[TensorSplit] = BY_HEADS

    def __init__(self, dim: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        inner = num_heads * head_dim
        self.num_heads, self.head_dim = num_heads, head_dim
        self.q, self.k, self.v = (nn.Linear(dim, inner, bias=False) for _ in range(3))
        self.out = RowLinear(inner, dim, bias=False)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
        """Queries of x over keys and values [b,n,t,k]; `bias` is added to the scores, broadcast to [b,n,q,t]."""
        q = split_heads(self.q(x), self.num_heads)
        y: Tensor = self.out(
            merge_heads(F.scaled_dot_product_attention(q, keys, values, attn_mask=bias, scale=1.0))
        )
        return y

    def look_at(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of x [b,t,d]: [b,t,n,k] each."""
        keys, values = (
            project(x).view(*x.shape[:2], self.num_heads, self.head_dim) for project in (self.k, self.v)
        )
        return keys, values
