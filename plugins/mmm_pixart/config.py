"""Sizes of a PixArt transformer; the defaults are PixArt-Sigma at 1024 x 1024."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config


class PixArtConfig(Config):
    """A transformer over patches of a latent that attend to a text; time modulates all blocks alike.

    Attributes:
        in_channels: of x and of the prediction.
        sample_size: height = width of x that positions are trained on and the cost table is made for.
        patch_size: side of a patch; x is divided into (h / patch) * (w / patch) tokens.
        width, depth, num_heads: of the transformer.
        mlp_ratio: hidden width of the MLPs over `width`.
        cond_dim: width of cond.embeds; null: solved from the links.
        size_condition: read cond.resolution and cond.aspect, the size of the picture in pixels, beside the time.
        learned_sigma: also predict the variance, on port `variance`.
        interpolation_scale: positions are counted on a grid that is so many times coarser.
        freq_dim: width of the sinusoids of time and size.
        time_scale: multiplies t; default 1000 for flow, whose times are in [0, 1], else 1.
        eps: of the layer norms of the blocks.
        head_eps: of the layer norm of the head.
        prediction: what the output means.
    """

    in_channels: int = 4
    sample_size: int = 128
    patch_size: int = Field(2, ge=1)
    width: int = 1152
    depth: int = Field(28, ge=1)
    num_heads: int = 16
    mlp_ratio: float = 4.0
    cond_dim: int | None = 4096
    size_condition: bool = False
    learned_sigma: bool = True
    interpolation_scale: float = Field(2.0, gt=0)
    freq_dim: int = 256
    time_scale: float | None = None
    eps: float = 1e-6
    head_eps: float = 1e-6
    prediction: Literal["epsilon", "v", "sample", "flow"] = "epsilon"

    @model_validator(mode="after")
    def _check(self) -> PixArtConfig:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")
        if self.width % 4:
            raise ValueError(f"width {self.width} must be a multiple of 4 for 2D positions")
        if self.size_condition and self.width % 3:
            raise ValueError(
                f"width {self.width} must be a multiple of 3: a third each for height, width, aspect"
            )
        if self.sample_size % self.patch_size:
            raise ValueError(
                f"sample_size {self.sample_size} is not a multiple of patch_size {self.patch_size}"
            )
        return self

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
