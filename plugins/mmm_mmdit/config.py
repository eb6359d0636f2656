"""Sizes of a diffusion transformer with joint attention; the defaults are Stable Diffusion 3 medium."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config


class MMDiTConfig(Config):
    """A transformer over patches of a latent and tokens of a text, each with weights of its own.

    Attributes:
        in_channels, out_channels: of x and of the prediction.
        sample_size: height = width of x that positions are trained on and the cost table is made for.
        patch_size: side of a patch; x is divided into (h / patch) * (w / patch) tokens.
        depth, num_heads, head_dim: of the transformer, whose width is num_heads * head_dim.
        mlp_ratio: hidden width of the MLPs over the width.
        cond_dim: width of cond.embeds; null: solved from the links.
        pooled_dim: width of cond.pooled; null: solved from the links.
        pos_embed_max_size: side of the grid of positions, in patches; the patches of x lie in its centre.
        qk_norm: norm over the width of a head on queries and keys.
        dual_blocks: blocks in which image tokens also attend to each other alone (Stable Diffusion 3.5 medium).
        freq_dim: width of the sinusoid of the time.
        time_scale: multiplies t; default 1000 for flow, whose times are in [0, 1], else 1.
        eps: of the norms.
        prediction: what the output means.
    """

    in_channels: int = 16
    out_channels: int = 16
    sample_size: int = 128
    patch_size: int = Field(2, ge=1)
    depth: int = Field(24, ge=1)
    num_heads: int = 24
    head_dim: int = 64
    mlp_ratio: float = 4.0
    cond_dim: int | None = 4096
    pooled_dim: int | None = 2048
    pos_embed_max_size: int = 192
    qk_norm: Literal["rms_norm"] | None = None
    dual_blocks: tuple[int, ...] = ()
    freq_dim: int = 256
    time_scale: float | None = None
    eps: float = 1e-6
    prediction: Literal["epsilon", "v", "sample", "flow"] = "flow"

    @model_validator(mode="after")
    def _check(self) -> MMDiTConfig:
        if self.width % 4:
            raise ValueError(
                f"width {self.width} = {self.num_heads} heads x {self.head_dim} must be a multiple of 4 "
                "for 2D positions"
            )
        if self.sample_size % self.patch_size:
            raise ValueError(
                f"sample_size {self.sample_size} is not a multiple of patch_size {self.patch_size}"
            )
        if any(not 0 <= block < self.depth for block in self.dual_blocks):
            raise ValueError(f"dual_blocks {list(self.dual_blocks)} lie in 0 .. {self.depth - 1}")
        if self.grid > self.pos_embed_max_size:
            raise ValueError(
                f"sample_size {self.sample_size} makes {self.grid} patches a side, more than "
                f"pos_embed_max_size {self.pos_embed_max_size}"
            )
        return self

    @property
    def width(self) -> int:
        """Of image and text tokens."""
        return self.num_heads * self.head_dim

    @property
    def grid(self) -> int:
        """Patches a side at `sample_size`."""
        return self.sample_size // self.patch_size

    @property
    def tokens(self) -> int:
        """Patches of x at `sample_size`."""
        return self.grid**2

    @property
    def hidden(self) -> int:
        """Hidden width of the MLPs."""
        return int(self.width * self.mlp_ratio)

    @property
    def times(self) -> float:
        """What t is multiplied by before it is embedded."""
        if self.time_scale is not None:
            return self.time_scale
        return 1000.0 if self.prediction == "flow" else 1.0
