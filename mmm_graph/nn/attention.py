"""Multi-head attention over tokens and over the pixels of a feature map."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.fused import Projections
from mmm_graph.nn.init import zero
from mmm_graph.nn.kept import Kept
from mmm_graph.nn.linear import RowLinear
from mmm_graph.nn.norm import GroupNorm
from mmm_graph.parallel.exchange import SINGLE, Exchange
from mmm_graph.parallel.tensor import TensorSplit

BY_HEADS = TensorSplit(columns={"q": 1, "k": 1, "v": 1}, rows=("out",), heads="num_heads")
"""Ranks of a tensor axis hold the q, k, v and out of some of the heads."""


class Attention(nn.Module):
    """Multi-head self-attention through the exchange: b l d -> b l d.

    Args:
        dim: width of the tokens.
        num_heads: heads.
        head_dim: width of one head; default dim / num_heads.
        bias: whether q, k and v have a bias; the output projection always has.
        causal: a token sees itself and those before it.
        qk_norm: RMS norms over the width of a head on queries and keys.
        eps: of these norms.

    Raises:
        ValueError: `dim` is not a multiple of `num_heads` and `head_dim` is not given.
    """

    tensor_split: ClassVar[TensorSplit] = BY_HEADS

    def __init__(
        self,
        dim: int,
        num_heads: int,
        head_dim: int | None = None,
        *,
        bias: bool = True,
        causal: bool = False,
        qk_norm: bool = False,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        inner = num_heads * (head_dim or head_width(dim, num_heads))
        self.exchange: Exchange = SINGLE
        self.layer = ""
        self.num_heads = num_heads
        self.causal = causal
        self.q = nn.Linear(dim, inner, bias)
        self.k = nn.Linear(dim, inner, bias)
        self.v = nn.Linear(dim, inner, bias)
        self.norm_q, self.norm_k = (
            nn.RMSNorm(inner // num_heads, eps) if qk_norm else nn.Identity() for _ in range(2)
        )
        self.out = RowLinear(inner, dim)
        self.project = Projections("q", "k", "v")

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` True = attend, broadcast to [b,n,l,l]; with it, causality is the caller's to put in the mask."""
        q, k, v = (split_heads(y, self.num_heads) for y in self.project(self, x))
        q, k = self.norm_q(q), self.norm_k(k)
        causal = self.causal and mask is None
        y: Tensor = self.out(merge_heads(self.exchange.attention(self.layer, q, k, v, mask, causal)))
        return y


class CrossAttention(nn.Module):
    """Attention of tokens over a condition that every rank holds whole: b l d, b t cond_dim -> b l d.

    Nothing is exchanged: each query sees all of the condition wherever it is computed.
    """

    tensor_split: ClassVar[TensorSplit] = BY_HEADS

    def __init__(self, dim: int, cond_dim: int, num_heads: int, *, bias: bool = True) -> None:
        super().__init__()
        head_width(dim, num_heads)
        self.num_heads = num_heads
        self.q = nn.Linear(dim, dim, bias)
        self.k = nn.Linear(cond_dim, dim, bias)
        self.v = nn.Linear(cond_dim, dim, bias)
        self.out = RowLinear(dim, dim)
        self.kept = Kept()
        self.project = Projections("k", "v")

    def forward(self, x: Tensor, cond: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` [b,t], True = attend. Keys and values of a condition are made once in a run."""
        q = split_heads(self.q(x), self.num_heads)
        k, v = self.kept.of(cond, self._keys_and_values)
        keys = None if mask is None else mask[:, None, None]  # b 1 1 t
        y: Tensor = self.out(merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=keys)))
        return y

    def _keys_and_values(self, cond: Tensor) -> tuple[Tensor, Tensor]:
        k, v = (split_heads(y, self.num_heads) for y in self.project(self, cond))
        return k, v


class PixelAttention(nn.Module):
    """Residual self-attention between the pixels of a feature map, identity at initialisation: b c h w -> b c h w."""

    def __init__(self, channels: int, num_heads: int, num_groups: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.norm = GroupNorm(num_groups, channels, eps)
        self.attn = Attention(channels, num_heads)
        zero(self.attn.out)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.attn(self.norm(x).flatten(2).transpose(1, 2))  # b l c
        return x + tokens.transpose(1, 2).view_as(x)


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """b l (n k) -> b n l k, a view."""
    return x.view(*x.shape[:2], num_heads, x.shape[2] // num_heads).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """b n l k -> b l (n k)."""
    return x.transpose(1, 2).flatten(2)


def head_width(dim: int, num_heads: int) -> int:
    """dim / num_heads; ValueError when it is not whole."""
    if dim % num_heads:
        raise ValueError(f"width {dim} does not divide into {num_heads} heads")
    return dim // num_heads
