"""Sizes of a U-Net denoiser of clips; the defaults are ModelScope's and Zeroscope's."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config
from mmm_graph.nn.unet_layout import Level

EMBED_HEADS = 8
"""Of the first temporal transformer, whatever the width."""


class UNet3dConfig(Config):
    """A U-Net over latents of clips.

    Attributes:
        in_channels, out_channels: of x and of the prediction.
        sample_size: height = width of x that the cost table is made for.
        num_frames: frames of x that the cost table is made for.
        channels: width of each level, finest first; each further level halves height and width, never the frames.
        layers_per_block: blocks on the way down, one more on the way up.
        attention: of each level, on both ways. `cross`: a transformer over the pixels of each frame that reads the
            condition, and one over the frames of each pixel. The middle has both always.
        head_dim: width of a head; a level has channels / head_dim of them.
        cond_dim: width of cond.embeds; solved from the links when left out.
        groups, eps: of the group norms; those along the frames have 1e-5 and 1e-6.
        prediction: what the output means.
    """

    in_channels: int = 4
    out_channels: int = 4
    sample_size: int = 32
    num_frames: int = Field(16, ge=1)
    channels: tuple[int, ...] = Field((320, 640, 1280, 1280), min_length=1)
    layers_per_block: int = Field(2, ge=1)
    attention: tuple[Literal["none", "cross"], ...] = ("cross", "cross", "cross", "none")
    head_dim: int = Field(64, ge=1)
    cond_dim: int | None = None
    groups: int = Field(32, ge=1)
    eps: float = 1e-5
    prediction: Literal["epsilon", "v", "sample", "flow"] = "epsilon"

    @model_validator(mode="after")
    def _check(self) -> UNet3dConfig:
        if len(self.attention) != len(self.channels):
            raise ValueError(f"attention has {len(self.attention)} entries for {len(self.channels)} channels")
        for level in (*self.levels, self.middle):
            if level.channels % self.groups:
                raise ValueError(f"{level.channels} channels do not divide into {self.groups} groups")
            if level.attention != "none" and level.channels % self.head_dim:
                raise ValueError(f"{level.channels} channels do not divide into heads of {self.head_dim}")
        return self

    @property
    def levels(self) -> tuple[Level, ...]:
        """The resolutions, finest first."""
        both = zip(self.channels, self.attention, strict=True)
        return tuple(Level(width, kind, width // self.head_dim, 1) for width, kind in both)

    @property
    def middle(self) -> Level:
        """The middle, at the width of the coarsest level."""
        return Level(self.channels[-1], "cross", self.channels[-1] // self.head_dim, 1)

    @property
    def stride(self) -> int:
        """Height and width of x are multiples of it."""
        return 1 << (len(self.channels) - 1)

    @property
    def time_dim(self) -> int:
        """Width of the time vector."""
        return 4 * self.channels[0]

    @property
    def times(self) -> float:
        """What t is multiplied by before it is embedded."""
        return 1000.0 if self.prediction == "flow" else 1.0
