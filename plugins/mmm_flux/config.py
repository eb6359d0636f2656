"""Sizes of a FLUX transformer; the defaults are FLUX.1 [dev]."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config


class FluxConfig(Config):
    """A transformer over patches of a latent and tokens of a text.

    Attributes:
        in_channels, out_channels: of x and of the prediction, as the autoencoder counts them: before patches are made.
        sample_size: height = width of x that the cost table is made for; any other works.
        patch_size: side of a patch; x is divided into (h / patch) * (w / patch) tokens.
        double_depth: leading blocks, in which text and image have weights of their own.
        single_depth: blocks after them, in which they share the weights, and attention stands beside the MLP.
        num_heads, head_dim: of the transformer, whose width is num_heads * head_dim.
        mlp_ratio: hidden width of the MLPs over the width.
        rope_dims: channels of a head that are turned by the ids of a token: 0, its row, its column.
        cond_dim: width of cond.embeds; null: solved from the links.
        pooled_dim: width of cond.pooled; null: solved from the links.
        guidance: the model is told a guidance scale, cond.guidance (FLUX.1 [dev]); false: it is not ([schnell]).
        freq_dim: width of the sinusoids of time and guidance.
        time_scale: multiplies t; default 1000 for flow, whose times are in [0, 1], else 1.
        eps: of the norms.
        prediction: what the output means.
    """

    in_channels: int = 16
    out_channels: int = 16
    sample_size: int = 128
    patch_size: int = Field(2, ge=1)
    double_depth: int = Field(19, ge=0)
    single_depth: int = Field(38, ge=0)
    num_heads: int = 24
    head_dim: int = 128
    mlp_ratio: int = Field(4, ge=1)
    rope_dims: tuple[int, int, int] = (16, 56, 56)
    cond_dim: int | None = 4096
    pooled_dim: int | None = 768
    guidance: bool = True
    freq_dim: int = 256
    time_scale: float | None = None
    eps: float = 1e-6
    prediction: Literal["epsilon", "v", "sample", "flow"] = "flow"

    @model_validator(mode="after")
    def _check(self) -> FluxConfig:
        if self.double_depth + self.single_depth == 0:
            raise ValueError("double_depth and single_depth are both 0: there would be no blocks")
        if sum(self.rope_dims) != self.head_dim or any(dim % 2 for dim in self.rope_dims):
            raise ValueError(
                f"rope_dims {list(self.rope_dims)} must be even and sum up to head_dim {self.head_dim}"
            )
        if self.sample_size % self.patch_size:
            raise ValueError(
                f"sample_size {self.sample_size} is not a multiple of patch_size {self.patch_size}"
            )
        return self

    @property
    def width(self) -> int:
        """Of image and text tokens."""
        return self.num_heads * self.head_dim

    @property
    def tokens(self) -> int:
        """Patches of x at `sample_size`."""
        return (self.sample_size // self.patch_size) ** 2

    @property
    def hidden(self) -> int:
        """Hidden width of the MLPs."""
        return self.width * self.mlp_ratio

    @property
    def times(self) -> float:
        """What t is multiplied by before it is embedded."""
        if self.time_scale is not None:
            return self.time_scale
        return 1000.0 if self.prediction == "flow" else 1.0
