"""Configs of the pixel codec; torch-free."""

from __future__ import annotations

from pydantic import Field

from mmm_graph.config import Config


class PixelsConfig(Config):
    """The codec itself.

    Attributes:
        channels: 1, 3 or 4.
    """

    channels: int = Field(3, ge=1, le=4)


class NoiseConfig(Config):
    """Size of the noise.

    Attributes:
        height, width: of the image to draw [px].
    """

    height: int = Field(ge=1, le=16384)
    width: int = Field(ge=1, le=16384)
