"""What transformers over text and image tokens share: a modulated stream of tokens, and a vector of the text."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.init import xavier, zero
from mmm_graph.nn.mlp import Mlp
from mmm_graph.nn.norm import add_gated, modulate


class Stream(nn.Module):
    """What tokens of one kind go through before and after the attention of a block: b l d -> b l d.

    Args:
        width: of the tokens and of the condition c [b,d] that modulates and gates them.
        hidden: inside the MLP.
        eps: of the norms.

    Source: Esser et al. 2024 (arXiv:2403.03206), section 4.
    """

    def __init__(self, width: int, hidden: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(width, eps, elementwise_affine=False)
        self.mlp = Mlp(width, hidden, "gelu_tanh")
        xavier(self.mlp)
        self.modulation = nn.Linear(width, 6 * width)
        zero(self.modulation)

    def enter(self, h: Tensor, c: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What attention sees of h, and what `leave` needs."""
        shift, scale, *rest = self.modulation(c).chunk(6, dim=1)
        return modulate(self.norm1(h), shift, scale), tuple(rest)

    def leave(self, h: Tensor, attended: Tensor, rest: tuple[Tensor, ...]) -> Tensor:
        """h with the results of attention and MLP added."""
        gate1, shift, scale, gate2 = rest
        h = add_gated(h, gate1, attended)
        return add_gated(h, gate2, self.mlp(modulate(self.norm2(h), shift, scale)))


class PooledEmbedding(nn.Module):
    """One vector of the text, through two layers: b pooled_dim -> b d."""

    def __init__(self, pooled_dim: int, dim: int) -> None:
        super().__init__()
        self.up = nn.Linear(pooled_dim, dim)
        self.down = nn.Linear(dim, dim)

    def forward(self, pooled: Tensor) -> Tensor:
        y: Tensor = self.down(F.silu(self.up(pooled)))
        return y
