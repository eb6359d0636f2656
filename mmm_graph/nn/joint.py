"""Joint attention of text and image tokens, each with weights of its own."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from mmm_graph.nn.attention import head_width, merge_heads
from mmm_graph.nn.fused import Projections
from mmm_graph.nn.linear import RowLinear
from mmm_graph.nn.rope import Waves, rotate
from mmm_graph.parallel.exchange import SINGLE, Exchange
from mmm_graph.parallel.tensor import TensorSplit


class JointAttention(nn.Module):
    """Attention over text and image tokens together, text first: b l d, b t text_dim -> b l d, b t text_dim.

    Where rows are shared, the text is with those that hold the first of them; the others call it without.

    Args:
        dim: width of the image tokens.
        num_heads: heads.
        text_dim: width of the text tokens; default `dim`.
        bias: whether q, k and v of both have a bias; the output projections always have.
        qk_norm: RMS norms over the width of a head on queries and keys, of text and image each its own.
        eps: of these norms.
        context_only_kv: the result for the text is dropped (diffusers: `context_pre_only`). Queries of the text are
            made all the same: published weights hold them.

    Raises:
        ValueError: `dim` is not a multiple of `num_heads`.
    Source: Esser et al. 2024 (arXiv:2403.03206), section 4 and appendix C (norms).
    """

    tensor_split: ClassVar[TensorSplit] = TensorSplit(
        columns={"q": 1, "k": 1, "v": 1, "add_q": 1, "add_k": 1, "add_v": 1},
        rows=("out", "add_out"),
        heads="num_heads",
    )

    def __init__(
        self,
        dim: int,
        num_heads: int,
        text_dim: int | None = None,
        *,
        bias: bool = True,
        qk_norm: bool = False,
        eps: float = 1e-6,
        context_only_kv: bool = False,
    ) -> None:
        super().__init__()
        text_dim = text_dim or dim
        width = head_width(dim, num_heads)
        self.exchange: Exchange = SINGLE
        self.layer = ""
        self.num_heads = num_heads
        self.q, self.k, self.v = (nn.Linear(dim, dim, bias) for _ in range(3))
        self.add_q, self.add_k, self.add_v = (nn.Linear(text_dim, dim, bias) for _ in range(3))
        self.norm_q, self.norm_k, self.norm_add_q, self.norm_add_k = (
            nn.RMSNorm(width, eps) if qk_norm else nn.Identity() for _ in range(4)
        )
        self.out = RowLinear(dim, dim)
        self.project, self.add_project = Projections("q", "k", "v"), Projections("add_q", "add_k", "add_v")
        self.add_out = None if context_only_kv else RowLinear(dim, text_dim)

    def forward(
        self, x: Tensor, text: Tensor | None, waves: Waves | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The image tokens and the text tokens after attention; no text, or `context_only_kv`: None for it.

        `waves` of all tokens that are here, text first, turn queries and keys.
        """
        q, k, v = (self._heads(y) for y in self.project(self, x))
        q, k = self.norm_q(q), self.norm_k(k)
        num_text = 0
        if text is not None:
            num_text = text.shape[1]
            text_q, text_k, text_v = (self._heads(y) for y in self.add_project(self, text))
            q = torch.cat([self.norm_add_q(text_q), q], 1)
            k = torch.cat([self.norm_add_k(text_k), k], 1)
            v = torch.cat([text_v, v], 1)
        if waves is not None:
            q, k = rotate(q, waves), rotate(k, waves)
        q, k, v = (tokens.transpose(1, 2) for tokens in (q, k, v))  # b n l k
        y = merge_heads(self.exchange.attention(self.layer, q, k, v, num_text=num_text))
        image: Tensor = self.out(y[:, num_text:])
        if text is None or self.add_out is None:
            return image, None
        return image, self.add_out(y[:, :num_text])

    def _heads(self, x: Tensor) -> Tensor:
        """b l (n k) -> b l n k."""
        return x.unflatten(2, (self.num_heads, -1))
