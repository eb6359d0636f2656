"""Sizes of a text encoder (the defaults are CLIP ViT-L/14's) and settings of tokenizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from mmm_graph.config import Config
from mmm_text.signals import DEFAULT


class TextEncoderConfig(Config):
    """A transformer over token ids.

    Attributes:
        vocab_size, max_length: rows of the token and position embeddings.
        width, depth, num_heads, hidden: of the transformer; hidden is the width inside the MLPs.
        activation: "quick_gelu" for OpenAI's weights, "gelu" for LAION's.
        causal: a token sees itself and those before it.
        pool: which token is `pooled`: the first `eos_id`, the largest id, the last place (padding or not), or the mean
            over the mask.
        eos_id: id that ends a text, for pool "eos".
        projection: a linear layer on `pooled`.
        projection_bias: it has a bias.
        pooled_dim: width of `pooled`; without projection it is `width`, and may be left out.
        eps: of the layer norms.
    """

    vocab_size: int = 49408
    max_length: int = 77
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    hidden: int = 3072
    activation: Literal["gelu", "gelu_tanh", "quick_gelu"] = "quick_gelu"
    causal: bool = True
    pool: Literal["eos", "argmax", "last", "mean"] = "eos"
    eos_id: int = 49407
    projection: bool = False
    projection_bias: bool = False
    pooled_dim: int = Field(default=0, validate_default=False)
    eps: float = 1e-5

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {"pooled_dim": values.get("width", cls.model_fields["width"].default), **values}

    @model_validator(mode="after")
    def _check(self) -> TextEncoderConfig:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")
        if self.pool == "eos" and not 0 <= self.eos_id < self.vocab_size:
            raise ValueError(
                f"pool: eos, but eos_id {self.eos_id} is not in a vocabulary of {self.vocab_size}"
            )
        if self.pooled_dim != self.width and not self.projection:
            raise ValueError(
                f"pooled_dim is {self.pooled_dim} and width {self.width}, which needs `projection: true`"
            )
        if self.projection_bias and not self.projection:
            raise ValueError("projection_bias: true needs `projection: true`")
        return self


class EncodeConfig(Config):
    """What a call of a text encoder may choose.

    Attributes:
        layer: which hidden state is returned: 0 the embedding, 1 after the first block; -1 (default) the last.
        norm: apply the final norm to it, and pool from it; false: the raw state, pooled still from the last.
        window: rows of ids are windows of so many tokens, one after the other, as a tokenizer with `chunk: true` makes
            them: each is encoded by itself, the embeds follow each other, and `pooled` is the first one's. It must be
            the encoder's `max_length`. None: a row is one text.
    """

    layer: int = -1
    norm: bool = True
    window: int | None = Field(default=None, ge=1)


class TokenizerConfig(Config):
    """Settings of a tokenizer file.

    Attributes:
        max_length: most tokens of a text, special ones included; default: what the file says, or no limit.
        pad: to "max_length", or to the "longest" of the batch; default: what the file says, or longest.
        pad_token: text of the padding token, or `eos` for the one that ends a text; default: what the file says.
        pad_side: where padding is; default: what the file says, or right.
        add_tokens: special tokens that are added to the vocabulary, in this order; those that it has stay as they are.
        add_special: texts begin and end with the tokens that the file says; false: with none.
        media_tokens: what stands in the text of a conversation where an image, audio or video is; default: what the
            files say.
        signals: so many tokens, added after `add_tokens`, ask for an image, video or audio; or `default`: 4, 24 and 8.
        truncate: cut texts that are too long; false: they are an error.
        chunk: a text that is too long becomes several windows of max_length tokens, each with start and end tokens and
            padded; all texts of a batch get as many as the longest needs.
    """

    max_length: int | None = Field(default=None, ge=1)
    pad: Literal["max_length", "longest"] | None = None
    pad_token: str | None = None
    pad_side: Literal["left", "right"] | None = None
    add_tokens: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    add_special: bool = True
    media_tokens: Mapping[Literal["image", "audio", "video"], str] = Field(default_factory=dict)
    signals: Mapping[Literal["image", "audio", "video"], Annotated[int, Field(ge=1, le=99)]] = Field(
        default_factory=dict
    )
    truncate: bool = False
    chunk: bool = False

    @field_validator("signals", mode="before")
    @classmethod
    def _name(cls, value: Any) -> Any:
        return dict(DEFAULT) if value == "default" else value

    @model_validator(mode="after")
    def _check(self) -> TokenizerConfig:
        if self.chunk and self.truncate:
            raise ValueError("chunk: true keeps all of a text and truncate: true cuts it; set one of them")
        if self.chunk and self.pad == "longest":
            raise ValueError("chunk: true makes windows of max_length tokens, which needs pad: max_length")
        twice = sorted({token for token in self.add_tokens if self.add_tokens.count(token) > 1})
        if twice:
            raise ValueError(f"add_tokens names {twice[0]!r} twice")
        return self

    @property
    def length(self) -> int | None:
        """Tokens of every text, when the config alone says so."""
        return self.max_length if self.pad == "max_length" and not self.chunk else None


class LabelConfig(Config):
    """Classes and the words they are recognised by.

    Attributes:
        classes: for each class, by id, its words: `[[zero, "0"], [one, "1"]]`.
        empty: the empty text is one class more, with the last id ("no class", for guidance); false: it is an error.
    """

    classes: tuple[tuple[str, ...], ...] = Field(min_length=1)
    empty: bool = True

    @model_validator(mode="after")
    def _check(self) -> LabelConfig:
        words = [word.lower() for names in self.classes for word in names]
        twice = sorted({word for word in words if words.count(word) > 1})
        if twice:
            raise ValueError(f"these words stand for more than one class: {', '.join(twice)}")
        return self
