"""Sizes of a querying transformer; torch-free."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from mmm_bridge.activations import Activation
from mmm_graph.config import Config


class QFormerConfig(Config):
    """A BERT whose learned queries look at the features; the defaults are BLIP-2's.

    Attributes:
        in_dim: width of the features; solved from the links.
        out_dim: width of the embeds; solved from the links. Without projection it is `width`.
        projection: a linear layer from the queries to the embeds.
        num_queries: embeds that come out.
        width, depth, num_heads, hidden: of the transformer; hidden is the width inside the MLPs.
        cross_every: the first of so many blocks looks at the features.
        activation: in the MLPs.
        eps: of the layer norms.
        text: it has word and position embeddings, and MLPs for text; the methods for text need them.
        head: it predicts words, by the embedding of words; the method `logits` needs it.
        vocab_size, max_length: rows of the embeddings of words and positions.
    """

    in_dim: int | None = Field(None, ge=1)
    out_dim: int | None = Field(None, ge=1)
    projection: bool = True
    num_queries: int = Field(32, ge=1)
    width: int = Field(768, ge=1)
    depth: int = Field(12, ge=1)
    num_heads: int = Field(12, ge=1)
    hidden: int = Field(3072, ge=1)
    cross_every: int = Field(2, ge=1)
    activation: Activation = "gelu"
    eps: float = Field(1e-12, gt=0)
    text: bool = False
    head: bool = False
    vocab_size: int = Field(30522, ge=1)
    max_length: int = Field(512, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, values: Any) -> Any:
        if (
            not isinstance(values, dict)
            or values.get("projection", True)
            or values.get("out_dim") is not None
        ):
            return values
        return {**values, "out_dim": values.get("width", cls.model_fields["width"].default)}

    @model_validator(mode="after")
    def _check(self) -> QFormerConfig:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")
        if self.head and not self.text:
            raise ValueError("head: true predicts words, which needs `text: true`")
        if not self.projection and self.out_dim != self.width:
            raise ValueError(f"out_dim is {self.out_dim} and width {self.width}, which needs a projection")
        return self

    def looks(self, index: int) -> bool:
        """Whether a block has cross-attention."""
        return index % self.cross_every == 0


class OutQFormerConfig(QFormerConfig):
    """A small one from states of a signal to what a generator takes; see QFormerConfig.

    Attributes:
        num_queries: embeds that come out: as many as the text encoder of the generator makes.
        width, depth, num_heads, hidden: of the transformer; hidden is the width inside the MLPs.
        cross_every: the first of so many blocks looks at the signal.
    """

    num_queries: int = Field(77, ge=1)
    width: int = Field(512, ge=1)
    depth: int = Field(2, ge=1)
    num_heads: int = Field(4, ge=1)
    hidden: int = Field(2048, ge=1)
    cross_every: int = Field(1, ge=1)
