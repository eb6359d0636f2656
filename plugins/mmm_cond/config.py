"""Settings of the ops around conditions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmm_graph.config import Config


class ConcatConfig(Config):
    """How embeds are joined.

    Attributes:
        axis: d puts the vectors of each token side by side, t puts the tokens one after the other.
        pad: with axis t, narrower parts get zeros at the end of d.
        tokens: of the result, where they are always as many. Texts that are known to be of one length go through a
            denoiser as one batch.
    """

    axis: Literal["d", "t"] = "d"
    pad: bool = False
    tokens: int | None = Field(default=None, ge=1)


class NumberConfig(Config):
    """Attributes: value: of every element."""

    value: float


class LabelConfig(Config):
    """Attributes: value: class of every element."""

    value: int = Field(ge=0)


class SizeConfig(Config):
    """Sizes in pixels that a denoiser is told.

    Attributes:
        height, width: of the picture that is wanted.
        original_height, original_width: of the picture before it was scaled; default: the same.
        crop_top, crop_left: where the picture was cut out.
    """

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    original_height: int | None = Field(None, ge=1)
    original_width: int | None = Field(None, ge=1)
    crop_top: int = Field(0, ge=0)
    crop_left: int = Field(0, ge=0)


class NormaliseConfig(Config):
    """How texts are made plain.

    Attributes:
        lower: small letters.
        strip: no white space at the ends.
        underscores: they stay; false: they become spaces.
        punctuation: ASCII punctuation stays; false: it is taken out, and runs of white space become one space.
    """

    lower: bool = True
    strip: bool = True
    underscores: bool = True
    punctuation: bool = True
