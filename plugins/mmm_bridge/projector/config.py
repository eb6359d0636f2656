"""Widths of projectors; torch-free."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mmm_bridge.activations import Activation
from mmm_graph.config import Config


class LinearConfig(Config):
    """One linear layer.

    Attributes:
        in_dim: width of the features; solved from the links.
        out_dim: width of the embeds; solved from the links.
        bias: of the layer.
    """

    in_dim: int | None = Field(None, ge=1)
    out_dim: int | None = Field(None, ge=1)
    bias: bool = True
    depth: ClassVar[int] = 1
    activation: ClassVar[Activation] = "gelu"


class MlpConfig(Config):
    """Linear layers with an activation between each two; all but the first keep the width.

    Attributes:
        in_dim: width of the features; solved from the links.
        out_dim: width of the embeds; solved from the links.
        depth: linear layers.
        activation: between them.
        bias: of the layers.
    """

    in_dim: int | None = Field(None, ge=1)
    out_dim: int | None = Field(None, ge=1)
    depth: int = Field(2, ge=1)
    activation: Activation = "gelu"
    bias: bool = True


ProjectorConfig = LinearConfig | MlpConfig
