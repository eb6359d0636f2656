"""Attention of tokens over media. Axes: b rows, t tokens, m media, r embeds of one, n heads, k width of a head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.attention import BY_HEADS, merge_heads, split_heads
from mmm_graph.nn.fused import Projections
from mmm_graph.nn.linear import RowLinear


class MediaAttention(nn.Module):
    """Queries of the tokens, keys and values of media: b t d, keys and values [2,b,n,l,k] -> b t d.

    Args:
        dim: width of the tokens.
        media_dim: width of the media's embeds.
        num_heads, head_dim: their product may differ from `dim`.
        qk_norm: RMS norms over the width of a head on queries and keys.
        eps: of these norms.
    """

    tensor_split = BY_HEADS

    def __init__(
        self,
        dim: int,
        media_dim: int,
        num_heads: int,
        head_dim: int,
        *,
        qk_norm: bool = False,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        inner = num_heads * head_dim
        self.num_heads, self.head_dim = num_heads, head_dim
        self.q = nn.Linear(dim, inner, bias=False)
        self.k = nn.Linear(media_dim, inner, bias=False)
        self.v = nn.Linear(media_dim, inner, bias=False)
        self.norm_q, self.norm_k = (nn.RMSNorm(head_dim, eps) if qk_norm else nn.Identity() for _ in range(2))
        self.out = RowLinear(inner, dim, bias=False)
        self.project = Projections("k", "v")

    def keys_and_values(self, media: Tensor) -> Tensor:
        """m r media_dim -> 2 m n r k."""
        k, v = (split_heads(y, self.num_heads) for y in self.project(self, media))
        return torch.stack([self.norm_k(k), v])

    def forward(self, x: Tensor, kv: Tensor, seen: Tensor | None = None) -> Tensor:
        """`seen`, True = attend, broadcast to [b,n,t,l]; a token that sees nothing gets the mean of everything."""
        q = self.norm_q(split_heads(self.q(x), self.num_heads))
        if seen is not None:  # softmax over nothing is no number
            seen = seen | ~seen.any(-1, keepdim=True)
        y: Tensor = self.out(merge_heads(F.scaled_dot_product_attention(q, kv[0], kv[1], attn_mask=seen)))
        return y
