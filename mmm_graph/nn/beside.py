"""Attention and an MLP beside each other, over text and image tokens with the same weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmm_graph.nn.attention import head_width, merge_heads
from mmm_graph.nn.fused import Projections
from mmm_graph.nn.linear import RowLinear
from mmm_graph.nn.mlp import gelu_tanh
from mmm_graph.nn.rope import Waves, rotate
from mmm_graph.parallel.exchange import SINGLE, Exchange
from mmm_graph.parallel.tensor import TensorSplit


class AttentionBesideMlp(nn.Module):
    """One projection of attention and MLP, both of the same tokens, text first: b l d -> b l d.

    Where rows are shared, the text is with those that hold the first of them; the others have image tokens only.

    Args:
        dim: width of the tokens.
        num_heads: heads; queries and keys have RMS norms over the width of one.
        ratio: hidden width of the MLP over `dim`.
        eps: of the norms.

    Raises:
        ValueError: `dim` is not a multiple of `num_heads`.
    Source: Dehghani et al. 2023 (arXiv:2302.05442), section 2, as FLUX.1 has it.
    """

    def __init__(self, dim: int, num_heads: int, ratio: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        width = head_width(dim, num_heads)
        self.exchange: Exchange = SINGLE
        self.layer = ""
        self.num_heads = num_heads
        self.tensor_split = TensorSplit(
            columns={"q": 1, "k": 1, "v": 1, "up": ratio}, rows=("out",), heads="num_heads", beside=1 + ratio
        )
        self.q, self.k, self.v = (nn.Linear(dim, dim) for _ in range(3))
        self.norm_q, self.norm_k = (nn.RMSNorm(width, eps) for _ in range(2))
        self.up = nn.Linear(dim, ratio * dim)
        self.out = RowLinear((1 + ratio) * dim, dim)
        self.project = Projections("q", "k", "v", "up")

    def forward(self, x: Tensor, num_text: int, waves: Waves) -> Tensor:
        """`num_text` of the tokens are text; `waves` of all of them turn queries and keys."""
        *heads, hidden = self.project(self, x)
        q, k, v = (y.unflatten(2, (self.num_heads, -1)) for y in heads)
        q, k = rotate(self.norm_q(q), waves), rotate(self.norm_k(k), waves)
        q, k, v = (tokens.transpose(1, 2) for tokens in (q, k, v))  # b n l k
        attended = merge_heads(self.exchange.attention(self.layer, q, k, v, num_text=num_text))
        y: Tensor = self.out(torch.cat([attended, gelu_tanh(hidden)], dim=2))
        return y
