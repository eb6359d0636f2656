"""Attention of latents over features and themselves."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.attention import BY_HEADS, merge_heads, split_heads
from mmm_graph.nn.fused import Projections
from mmm_graph.nn.linear import RowLinear


class ResamplerAttention(nn.Module):
    """Queries of the latents, keys and values of the features and the latents: b n d, b l d -> b n d.

    Args:
        dim: width of both.
        num_heads, head_dim: their product may differ from `dim`.
        qk_norm: layer norms over the width of a head.

    Source: Alayrac et al. 2022 (arXiv:2204.14198), section 2.1 and appendix A.1.1.
    """

    tensor_split = BY_HEADS

    def __init__(self, dim: int, num_heads: int, head_dim: int, *, qk_norm: bool = False) -> None:
        super().__init__()
        inner = num_heads * head_dim
        self.num_heads = num_heads
        self.norm_features = nn.LayerNorm(dim)
        self.norm_latents = nn.LayerNorm(dim)
        self.q = nn.Linear(dim, inner, bias=False)
        self.k = nn.Linear(dim, inner, bias=False)
        self.v = nn.Linear(dim, inner, bias=False)
        self.norm_q, self.norm_k = (nn.LayerNorm(head_dim) if qk_norm else nn.Identity() for _ in range(2))
        self.out = RowLinear(inner, dim, bias=False)
        self.project = Projections("k", "v")

    def forward(self, latents: Tensor, features: Tensor) -> Tensor:
        latents = self.norm_latents(latents)
        seen = torch.cat([self.norm_features(features), latents], dim=1)
        q = self.norm_q(split_heads(self.q(latents), self.num_heads))
        k, v = (split_heads(y, self.num_heads) for y in self.project(self, seen))
        y: Tensor = self.out(merge_heads(F.scaled_dot_product_attention(q, self.norm_k(k), v)))
        return y
