"""Sizes of a T5 encoder (the defaults are T5 v1.1 XXL's)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config


class T5Config(Config):
    """The encoder of T5.

    Attributes:
        vocab_size: rows of the token embedding.
        width, depth, num_heads, head_dim: of the transformer; the heads together may be wider than `width`.
        hidden: width inside the MLPs.
        activation: "gelu_tanh" of v1.1, "relu" of the first version.
        gated: the MLP multiplies its activation by a second projection (v1.1).
        num_buckets, max_distance: of the relative positions: so many ranges, and where the last one begins.
        eps: of the norms.
    """

    vocab_size: int = Field(default=32128, ge=1)
    width: int = Field(default=4096, ge=1)
    depth: int = Field(default=24, ge=1)
    num_heads: int = Field(default=64, ge=1)
    head_dim: int = Field(default=64, ge=1)
    hidden: int = Field(default=10240, ge=1)
    activation: Literal["gelu_tanh", "relu"] = "gelu_tanh"
    gated: bool = True
    num_buckets: int = Field(default=32, ge=4, multiple_of=2)
    max_distance: int = Field(default=128, ge=1)
    eps: float = 1e-6

    @model_validator(mode="after")
    def _check(self) -> T5Config:
        near = self.num_buckets // 4
        if self.max_distance <= near:
            raise ValueError(
                f"max_distance {self.max_distance} leaves nothing between it and the {near} nearest distances, "
                f"which {self.num_buckets} buckets keep apart"
            )
        return self
