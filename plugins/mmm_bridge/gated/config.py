"""Sizes of gated cross-attention; torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmm_bridge.activations import Activation
from mmm_graph.config import Config


class GatedConfig(Config):
    """Tokens that look at media, behind gates that are closed at first; the defaults are OpenFlamingo's.

    Attributes:
        width: of the tokens; solved from the model that it is attached to.
        media_dim: width of the media's embeds; solved from the links.
        num_heads, head_dim: of the attention.
        hidden: width inside the MLP; default: 4 x width.
        norm: layer norms, or RMS norms of IDEFICS.
        eps: of these norms.
        mlp: plain: down(act(up(x))); gated: down(act(gate(x)) * up(x)), of IDEFICS.
        activation: of the MLP.
        qk_norm: RMS norms over the width of a head on queries and keys.
        gate: a number for each of attention and MLP, or one for each channel.
        media: which media a token sees: the last one before it, or all before it.
    """

    width: int | None = Field(None, ge=1)
    media_dim: int | None = Field(None, ge=1)
    num_heads: int = Field(8, ge=1)
    head_dim: int = Field(64, ge=1)
    hidden: int | None = Field(None, ge=1)
    norm: Literal["layer", "rms"] = "layer"
    eps: float = Field(1e-5, gt=0)
    mlp: Literal["plain", "gated"] = "plain"
    activation: Activation = "gelu"
    qk_norm: bool = False
    gate: Literal["scalar", "vector"] = "scalar"
    media: Literal["last", "all"] = "last"

    @property
    def inner(self) -> int:
        """Width of all heads."""
        return self.num_heads * self.head_dim
