"""What a graph file may say under `config:`; torch-free."""

from __future__ import annotations

from pydantic import Field

from mmm_graph.config import Config
from mmm_graph.registry import SamplerConfig


class HoneybeeConfig(Config):
    """A convolutional abstractor."""

    in_dim: int | None = Field(None, ge=1, description="width of the features; solved from the links")
    out_dim: int | None = Field(None, ge=1, description="width of the embeddings; solved from the links")
    num_tokens: int = Field(144, ge=1, description="embeddings that come out, a square number")
    hidden: int = Field(1024, ge=1, description="width of the convolutions")
    depth: int = Field(3, ge=1, description="residual blocks before and after the pooling")


class Lms2Config(SamplerConfig):
    """Second order; the first step is of first order."""

    def check(self, prediction: str, *, signal: bool = True) -> None:
        """Any prediction will do, but pure noise has no direction in the frame of the unscaled signal."""
        if not signal:
            raise ValueError("sampler.lms2 needs signal at every level; use sampler.ddim, or another spacing")


class PseudoHuberConfig(Config):
    """Where quadratic turns linear."""

    c: float = Field(
        0.03, gt=0, description="distance [units of the prediction] where quadratic turns linear"
    )
