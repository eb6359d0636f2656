"""Sizes of motion modules; the defaults are AnimateDiff's for Stable Diffusion 1.5, version 2."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import Field, model_validator

from mmm_graph.config import Config
from mmm_graph.nn.unet_layout import Level, layout


class Place(NamedTuple):
    """A part of the U-Net at which a motion module stands, under the same name.

    Attributes:
        name: of the part.
        channels: of h there.
        num_heads, layers: of the module.
        skip: state key that the part wrote as well, or "".
        depth: how often the resolution has been halved.
    """

    name: str
    channels: int
    num_heads: int
    layers: int
    skip: str
    depth: int


class MotionConfig(Config):
    """Motion modules for a U-Net of these sizes.

    Attributes:
        channels: width of each level of the U-Net, finest first.
        layers_per_block: blocks of each level on the way down; one more on the way up.
        num_heads: heads of each level (one number: of all).
        transformer_layers: layers of the modules of each level (one number: of all).
        mid: whether one stands in the middle.
        mid_layers: its layers.
        groups: of the group norms.
        max_frames: the longest video that there are positions for.
        sample_size, frames: height = width of the U-Net's x, and frames, that the cost table is made for.
    """

    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = Field(2, ge=1)
    num_heads: int | tuple[int, ...] = 8
    transformer_layers: int | tuple[int, ...] = 1
    mid: bool = True
    mid_layers: int = Field(1, ge=1)
    groups: int = Field(32, ge=1)
    max_frames: int = Field(32, ge=1)
    sample_size: int = Field(64, ge=1)
    frames: int = Field(16, ge=1)

    @model_validator(mode="after")
    def _check(self) -> MotionConfig:
        if not self.channels:
            raise ValueError("channels is empty")
        for name in ("num_heads", "transformer_layers"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != len(self.channels):
                raise ValueError(f"{name} has {len(value)} entries for {len(self.channels)} channels")
        for level in self.levels:
            if level.channels % self.groups:
                raise ValueError(f"{level.channels} channels do not divide into {self.groups} groups")
            if level.num_heads < 1 or level.channels % level.num_heads or level.channels % 2:
                raise ValueError(f"{level.channels} channels do not divide into {level.num_heads} heads")
        return self

    @property
    def levels(self) -> tuple[Level, ...]:
        """As the layout of the U-Net counts them, with the heads and layers of the modules."""
        return tuple(
            Level(width, "none", _of(self.num_heads, i), _of(self.transformer_layers, i))
            for i, width in enumerate(self.channels)
        )

    @property
    def middle(self) -> Level:
        """The middle, at the width of the coarsest level."""
        return self.levels[-1]._replace(transformer_layers=self.mid_layers)

    @property
    def places(self) -> tuple[Place, ...]:
        """Where modules stand, in the order in which they run."""
        forms = ("block", "middle") if self.mid else ("block",)
        rows = (row for row in layout(self) if row.form in forms)
        return tuple(
            Place(
                *(row.name, row.level.channels, row.level.num_heads, row.level.transformer_layers),
                *(row.writes_skip, row.depth),
            )
            for row in rows
        )


def _of(value: int | tuple[int, ...], i: int) -> int:
    return value if isinstance(value, int) else value[i]
