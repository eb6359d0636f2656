"""Sizes of CLAP's text encoder; the defaults are those of the published one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "silu", "relu"]


class ClapTextConfig(Config):
    """A RoBERTa with a projection of its first token.

    Attributes:
        vocab_size, positions: rows of the embeddings; positions are counted from `pad_id` + 1.
        kinds: rows of the embedding of kinds of text, of which only the first is used.
        pad_id: id of padding, which has no position of its own.
        width, depth, num_heads, hidden: of the transformer; hidden is the width inside the MLPs.
        activation: inside the MLPs.
        pooled_dim: width of `pooled`.
        pooled_activation: between the two layers of the projection.
        eps: of the layer norms.
    """

    vocab_size: int = Field(50265, ge=1)
    positions: int = Field(514, ge=1)
    kinds: int = Field(1, ge=1)
    pad_id: int = Field(1, ge=0)
    width: int = Field(768, ge=1)
    depth: int = Field(12, ge=0)
    num_heads: int = Field(12, ge=1)
    hidden: int = Field(3072, ge=1)
    activation: Activation = "gelu"
    pooled_dim: int = Field(512, ge=1)
    pooled_activation: Activation = "relu"
    eps: float = 1e-12

    @model_validator(mode="after")
    def _check(self) -> ClapTextConfig:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")
        if self.pad_id >= self.vocab_size or self.max_length < 1:
            raise ValueError(
                f"pad_id {self.pad_id} does not fit {self.vocab_size} words and {self.positions} positions"
            )
        return self

    @property
    def max_length(self) -> int:
        """Tokens of the longest text."""
        return self.positions - self.pad_id - 1
