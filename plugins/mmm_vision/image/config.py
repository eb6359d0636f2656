"""Configs of the image operations; torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmm_graph.config import Config


class GridConfig(Config):
    """A contact sheet.

    Attributes:
        columns: images a row; the default makes it about square.
        scale: each pixel becomes scale x scale pixels.
        gap: empty space around each image [px of the sheet].
        text_px: height of the letters of a label [px of the sheet].
    """

    columns: int | None = Field(None, ge=1, le=1000)
    scale: int = Field(1, ge=1, le=64)
    gap: int = Field(4, ge=0, le=256)
    text_px: int = Field(12, ge=6, le=96)


class ResizeConfig(Config):
    """A new size.

    Attributes:
        height, width: of the result [px].
        mode: interpolation; all but nearest are antialiased when they shrink. lanczos is Pillow's, and as there the
            result has 256 levels.
    """

    height: int = Field(ge=1, le=16384)
    width: int = Field(ge=1, le=16384)
    mode: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"


class MaskConfig(Config):
    """Where something is to be painted.

    Attributes:
        threshold: brightness from which on it is.
        invert: dark is to be painted instead.
    """

    threshold: float = Field(0.5, gt=0, le=1)
    invert: bool = False


class HideConfig(Config):
    """What stands in place of what is hidden.

    Attributes:
        value: brightness of all channels; the default is the 0 of codecs that work in [-1, 1].
    """

    value: float = Field(0.5, ge=0, le=1)
