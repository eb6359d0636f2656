"""Sizes of a decoder language model; the defaults are Llama-2-7B's."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config
from mmm_graph.nn.rope_config import RopeConfig


class DecoderConfig(Config):
    """A transformer in which each token sees those before it.

    Attributes:
        vocab_size: rows of the token embedding, and logits.
        max_length: most tokens of a text, answer included. A rope with a `factor` may stretch it: see `context`.
        width, depth, num_heads, hidden: of the transformer; hidden is the width inside the MLPs.
        num_kv_heads: heads of keys and values, which divide the heads; default: as many.
        head_dim: width of a head; default: width / num_heads.
        embed_dim: width of the token embedding; another one than `width` is projected to it, and back for the logits.
        norm: RMS norms, or layer norms with scale and shift.
        eps: of the norms.
        pre_norm: norms before attention and MLP; false: after each is added.
        final_norm: one more norm after the last block.
        mlp: gated: down(act(gate(x)) * up(x)); plain: down(act(up(x))).
        activation: of the MLPs.
        qkv_bias, out_bias, mlp_bias: of the projections of attention, of what it gives, of the MLPs.
        qk_norm: RMS norms over each head on queries and keys.
        rope: rotary positions; null: learned ones, `max_length` of them.
        position_offset: rows of the learned positions that stand before that of the first token.
        window: a token sees so many, itself included; null: all before.
        window_from: the first block that has the window; those before it see all.
        new_tokens: so many of the last tokens need not have rows in a file of weights: what it lacks is drawn, each
            number as if from its column. So a full vocabulary gets more tokens; `vocab_size` counts them too.
        tied: the logits are products with the token embedding.
        extra_tokens: so many of the last tokens have rows in tables of their own, of the embedding and of the logits:
            the others can stay frozen (IDEFICS, Flamingo).
    """

    vocab_size: int = Field(default=32000, ge=1)
    max_length: int = Field(default=4096, ge=1)
    width: int = Field(default=4096, ge=1)
    depth: int = Field(default=32, ge=1)
    num_heads: int = Field(default=32, ge=1)
    num_kv_heads: int = Field(default=0, ge=1, validate_default=False)
    head_dim: int = Field(default=0, ge=1, validate_default=False)
    embed_dim: int = Field(default=0, ge=1, validate_default=False)
    hidden: int = Field(default=11008, ge=1)
    norm: Literal["rms", "layer"] = "rms"
    eps: float = Field(default=1e-5, gt=0)
    pre_norm: bool = True
    final_norm: bool = True
    mlp: Literal["gated", "plain"] = "gated"
    activation: Literal["silu", "gelu", "gelu_tanh", "relu", "quick_gelu"] = "silu"
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    rope: RopeConfig | None = RopeConfig()
    position_offset: int = Field(default=0, ge=0)
    window: int | None = Field(default=None, ge=1)
    window_from: int = Field(default=0, ge=0)
    new_tokens: int = Field(default=0, ge=0)
    tied: bool = False
    extra_tokens: int = Field(default=0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        fields = cls.model_fields
        width, heads = (values.get(name, fields[name].default) for name in ("width", "num_heads"))
        if not isinstance(width, int) or not isinstance(heads, int) or heads < 1:
            return values  # pydantic says what is wrong
        if width % heads and not values.get("head_dim"):
            raise ValueError(f"width {width} does not divide into {heads} heads")
        derived = {"num_kv_heads": heads, "head_dim": width // heads, "embed_dim": width}
        return {**derived, **{name: value for name, value in values.items() if name not in derived or value}}

    @model_validator(mode="after")
    def _check(self) -> DecoderConfig:
        if self.extra_tokens >= self.vocab_size:
            raise ValueError(f"extra_tokens {self.extra_tokens} are not a part of {self.vocab_size} tokens")
        if self.new_tokens >= self.vocab_size:
            raise ValueError(f"new_tokens {self.new_tokens} are not a part of {self.vocab_size} tokens")
        if self.new_tokens and self.extra_tokens:
            raise ValueError("tokens with tables of their own, `extra_tokens`, cannot also be `new_tokens`")
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}"
            )
        if self.rope is not None:
            self.rope.check_head(self.head_dim)
        if self.rope is not None and self.position_offset:
            raise ValueError(
                f"position_offset {self.position_offset} is of learned positions: set rope: null"
            )
        return self

    @property
    def context(self) -> int:
        """Most tokens of a text."""
        return self.max_length if self.rope is None else self.rope.context(self.max_length)

    def windows(self, block: int) -> bool:
        """Whether the tokens of a block see only those of a window."""
        return self.window is not None and block >= self.window_from
