"""Causal attention with grouped heads, rotary positions and a cache of keys and values."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn import kv_cache
from mmm_graph.nn.fused import Projections
from mmm_graph.nn.last_token import chosen
from mmm_graph.nn.linear import RowLinear
from mmm_graph.nn.rotary import Turn, turn
from mmm_graph.parallel.few_rows import can_take, kernels
from mmm_graph.parallel.tensor import TensorSplit


class CausalAttention(nn.Module):
    """Each token attends to itself and those before it: b t d -> b t d.

    Args:
        dim: width of the tokens.
        num_heads: heads of queries, a multiple of `num_kv_heads`.
        num_kv_heads: heads of keys and values; each serves so many heads of queries that follow each other.
        head_dim: width of a head; the heads together may be wider or narrower than the tokens.
        bias, out_bias: of q, k and v; of the output projection.
        qk_norm: RMS norms over the width of a head on queries and keys, before they are turned.
        eps: of these norms.
        window: a token sees so many, itself included; None: all before.

    Source: Ainslie et al. 2023 (arXiv:2305.13245), grouped heads; Jiang et al. 2023 (arXiv:2310.06825), the window.
    """

    tensor_split: ClassVar[TensorSplit] = TensorSplit(
        columns={"q": 1, "k": 1, "v": 1}, rows=("out",), heads="num_kv_heads"
    )

    def __init__(  # noqa: PLR0913 - all that families differ in
        self,
        dim: int,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        *,
        bias: bool = False,
        out_bias: bool = False,
        qk_norm: bool = False,
        eps: float = 1e-6,
        window: int | None = None,
    ) -> None:
        super().__init__()
        self.num_kv_heads, self.head_dim, self.window = num_kv_heads, head_dim, window
        self.group = num_heads // num_kv_heads
        self.q = nn.Linear(dim, num_heads * head_dim, bias)
        self.k = nn.Linear(dim, num_kv_heads * head_dim, bias)
        self.v = nn.Linear(dim, num_kv_heads * head_dim, bias)
        self.qk_norm = qk_norm
        self.norm_q, self.norm_k = (nn.RMSNorm(head_dim, eps) if qk_norm else nn.Identity() for _ in range(2))
        self.out = RowLinear(num_heads * head_dim, dim, out_bias)
        self.project = Projections("q", "k", "v", on_cpu=True)

    def forward(
        self,
        x: Tensor,
        rope: Turn | None = None,
        mask: Tensor | None = None,
        cache: Tensor | None = None,
        at: int = 0,
        places: Tensor | None = None,
    ) -> Tensor:
        """Tokens that follow each other; with a cache they are its places up to `at`, and see what is before them.

        Args:
            rope: what queries and keys are turned by; None: not at all.
            mask: added to the scores of these tokens and all places up to `at`; None = all before.
            cache: [2,b,m,T,k], written to. Several tokens at once are its first ones, or have a mask.
            at: the place after the last of these tokens.
            places: [b,m] the tokens whose outputs are wanted, b m d; None: all. Not with a cache.
        """
        one = None
        if mask is None and cache is not None and x.shape[1] == 1:
            one = self.attend_one(x, rope, cache, at)
        out: Tensor = self.out(self.seen(x, rope, mask, cache, at, places) if one is None else one)
        return out

    def seen(
        self,
        x: Tensor,
        rope: Turn | None,
        mask: Tensor | None,
        cache: Tensor | None,
        at: int,
        places: Tensor | None = None,
    ) -> Tensor:
        """What the heads see, side by side: b t (n k)."""
        batch, length = x.shape[:2]
        q, k, v = self.heads(x, rope)
        if cache is None:
            k, v = k.transpose(1, 2), v.transpose(1, 2)
        else:
            kv_cache.write(cache, k, v, at - length)
            first = self.first(at) if length == 1 else 0
            k, v = kv_cache.view(cache, first, at)
            mask = mask if mask is None or not first else mask[..., first:]
        if length == 1 and places is None:  # the heads of a group are as queries that see the same keys
            folded = q.view(batch, self.num_kv_heads, self.group, self.head_dim)
            return F.scaled_dot_product_attention(folded, k, v, attn_mask=mask).reshape(batch, 1, -1)
        if places is not None:
            q, mask = chosen(q, places), rows_of(mask, places, length)
        return self.attend(q.transpose(1, 2), k, v, mask).transpose(1, 2).flatten(2)

    def first(self, at: int) -> int:
        """The first place that the token before the place `at` sees."""
        return 0 if self.window is None else max(0, at - self.window)

    def attend_one(self, x: Tensor, rope: Turn | None, cache: Tensor, at: int) -> Tensor | None:
        """What the heads of one token see, by the kernel of parallel/few_rows.py; None where there is none for it."""
        takes = (
            not self.qk_norm
            and can_take(x, others=rope or ())
            and cache.dtype is x.dtype
            and cache.is_contiguous()
        )
        kernel = kernels() if takes else None
        if kernel is None:
            return None
        return kernel.attend(self.project.together(self, x), rope, cache, at, self.first(at))

    def heads(self, x: Tensor, rope: Turn | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [b,t,n,k], keys and values [b,t,m,k], normed and turned."""
        num, num_kv = self.num_kv_heads * self.group, self.num_kv_heads
        y = self.project.together(self, x)
        y = y.view(*y.shape[:2], num + 2 * num_kv, self.head_dim)
        if self.qk_norm:
            q, k, v = torch.split_with_sizes(y, [num, num_kv, num_kv], 2)
            q, k = self.norm_q(q), self.norm_k(k)
            return (q, k, v) if rope is None else (turn(q, rope), turn(k, rope), v)
        both, v = torch.split_with_sizes(y, [num + num_kv, num_kv], 2)
        q, k = torch.split_with_sizes(both if rope is None else turn(both, rope), [num, num_kv], 2)
        return q, k, v

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """q [b,n,t,k], k and v [b,m,t,k] -> [b,n,t,k]; without mask each token sees those before it."""
        if self.group > 1:
            k, v = (x.repeat_interleave(self.group, 1) for x in (k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)


def rows_of(mask: Tensor | None, places: Tensor, length: int) -> Tensor:
    """What tokens at `places` [b,m] see of so many: [b,1,m,t], of the mask of all [b or 1,1,t,t] or what is before."""
    if mask is None:
        return (torch.arange(length, device=places.device) <= places[..., None])[:, None]
    every = mask.expand(len(places), -1, -1, -1).transpose(1, 2)
    return chosen(every, places).transpose(1, 2)
