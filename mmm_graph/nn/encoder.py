"""Parts of encoders of tokens: pre-norm blocks, the final norm, the outputs. Axes: b batch, l tokens, d width."""

from __future__ import annotations

from torch import Tensor, nn

from mmm_graph.nn.attention import Attention
from mmm_graph.nn.mlp import ActivationName, Mlp
from mmm_graph.nn.parts import State, need

READER = "the encoder"


class EncoderBlock(nn.Module):
    """x + attn(norm(x)), x + mlp(norm(x)): h [b,l,d] -> h.

    Args:
        width, num_heads: of the tokens.
        hidden: width inside the MLP.
        activation: of the MLP.
        qkv_bias: queries, keys and values have a bias.
        eps: of the norms.

    Source: Dosovitskiy et al. 2020 (arXiv:2010.11929), equations 2 and 3.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden: int,
        activation: ActivationName,
        *,
        qkv_bias: bool = True,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps)
        self.attn = Attention(width, num_heads, bias=qkv_bias)
        self.norm2 = nn.LayerNorm(width, eps)
        self.mlp = Mlp(width, hidden, activation)

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", READER)
        h = h + self.attn(self.norm1(h))
        return {"h": h + self.mlp(self.norm2(h))}


class FinalNorm(nn.Module):
    """h -> h, normalised."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"h": self.norm(need(state, "h", READER))}


class Tap(nn.Module):
    """h -> embeds, without the first `skip` tokens."""

    def __init__(self, skip: int = 0) -> None:
        super().__init__()
        self.skip = skip

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"embeds": need(state, "h", READER)[:, self.skip :]}


class Vector(nn.Module):
    """pooled -> embeds."""

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"embeds": need(state, "pooled", READER)}
