"""Sizes of the projector of signals; torch-free."""

from __future__ import annotations

from pydantic import Field, model_validator

from mmm_graph.config import Config


class SignalConfig(Config):
    """A transformer whose learned queries look at the states of signals; the defaults are NExT-GPT's for images.

    Attributes:
        in_dim: width of the states; solved from the links.
        out_dim: width of the embeds that a generator takes; solved from the links.
        num_queries: embeds that come out: as many as the text encoder of the generator makes.
        width, num_heads, hidden: of the transformer; hidden is the width inside the MLPs.
        encoder_depth, decoder_depth: blocks that read the signal, and blocks that write the embeds.
        eps: of the layer norms.
    """

    in_dim: int | None = Field(None, ge=1)
    out_dim: int | None = Field(None, ge=1)
    num_queries: int = Field(77, ge=1)
    width: int = Field(512, ge=1)
    num_heads: int = Field(4, ge=1)
    hidden: int = Field(2048, ge=1)
    encoder_depth: int = Field(4, ge=0)
    decoder_depth: int = Field(4, ge=1)
    eps: float = Field(1e-5, gt=0)

    @model_validator(mode="after")
    def _check(self) -> SignalConfig:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")
        return self
