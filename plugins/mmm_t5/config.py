"""Sizes of T5: of the encoder alone (the defaults are T5 v1.1 XXL's), and of the whole (FLAN-T5-XL's)."""

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
        activation: "gelu_tanh" of v1.1, "relu" of the first version; BLIP-2 was trained with "gelu".
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
    activation: Literal["gelu_tanh", "relu", "gelu"] = "gelu_tanh"
    gated: bool = True
    num_buckets: int = Field(default=32, ge=4, multiple_of=2)
    max_distance: int = Field(default=128, ge=1)
    eps: float = 1e-6

    @model_validator(mode="after")
    def _check(self) -> T5Config:
        near = self.near
        if self.max_distance <= near:
            raise ValueError(
                f"max_distance {self.max_distance} leaves nothing between it and the {near} nearest distances, "
                f"which {self.num_buckets} buckets keep apart"
            )
        return self

    @property
    def near(self) -> int:
        """How many of the nearest distances have a range of their own; half of the ranges look the other way."""
        return self.num_buckets // 4


class T5LMConfig(T5Config):
    """T5 as a language model: an encoder of the prompt and a decoder of the answer.

    Attributes:
        decoder_depth: blocks of the decoder; default: `depth`, which is of the encoder.
        tied: the logits are products with the token embedding (the first version).
        scaled: what the logits are made of is divided by sqrt(width) (the first version).
        start_id: the token that every answer begins with, unseen.
    """

    width: int = Field(default=2048, ge=1)
    num_heads: int = Field(default=32, ge=1)
    hidden: int = Field(default=5120, ge=1)
    decoder_depth: int | None = Field(default=None, ge=1)
    tied: bool = False
    scaled: bool = False
    start_id: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check_start(self) -> T5LMConfig:
        if self.start_id >= self.vocab_size:
            raise ValueError(f"start_id {self.start_id} is none of {self.vocab_size} tokens")
        return self

    @property
    def near(self) -> int:
        """Of the decoder, which uses all ranges for what is before a token."""
        return self.num_buckets // 2

    @property
    def encoder_blocks(self) -> tuple[str, ...]:
        """Their names: blocks are counted through encoder and decoder."""
        return tuple(f"block{i}" for i in range(self.depth))

    @property
    def decoder_blocks(self) -> tuple[str, ...]:
        """Their names."""
        depth = self.depth if self.decoder_depth is None else self.decoder_depth
        return tuple(f"block{self.depth + i}" for i in range(depth))
