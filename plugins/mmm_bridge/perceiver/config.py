"""Sizes of a perceiver resampler; torch-free."""

from __future__ import annotations

from pydantic import Field, model_validator

from mmm_bridge.activations import Activation
from mmm_graph.config import Config


class PerceiverConfig(Config):
    """Learned latents that look at the features, layer after layer; the defaults are OpenFlamingo's.

    Attributes:
        in_dim: width of the features and of the latents; solved from the links.
        out_dim: width of the embeds; solved from the links.
        num_latents: embeds that come out.
        depth: layers.
        num_heads, head_dim: of the attention.
        expand: width inside the MLPs, in widths of the latents.
        activation: in the MLPs; "relu" in IDEFICS.
        qk_norm: layer norms over the width of a head on queries and keys, which IDEFICS may have.
        projection: a linear layer at the end; default: there is one if the two widths differ.
    """

    in_dim: int | None = Field(None, ge=1)
    out_dim: int | None = Field(None, ge=1)
    num_latents: int = Field(64, ge=1)
    depth: int = Field(6, ge=1)
    num_heads: int = Field(8, ge=1)
    head_dim: int = Field(64, ge=1)
    expand: int = Field(4, ge=1)
    activation: Activation = "gelu"
    qk_norm: bool = False
    projection: bool | None = None

    @model_validator(mode="after")
    def _check(self) -> PerceiverConfig:
        if (
            self.projection is False
            and None not in (self.in_dim, self.out_dim)
            and self.in_dim != self.out_dim
        ):
            raise ValueError(f"in_dim is {self.in_dim} and out_dim {self.out_dim}, which needs a projection")
        return self

    @property
    def projects(self) -> bool:
        """Whether there is a linear layer at the end."""
        return self.in_dim != self.out_dim if self.projection is None else self.projection
