"""Configs of BLIP-2's first stage, without torch."""

from __future__ import annotations

from pydantic import Field

from mmm_graph.config import Config
from mmm_losses.language.config import NextTokenConfig


class NegativesConfig(Config):
    """Hard negatives.

    Attributes:
        temperature: cosines are divided by it where no scale is linked, before a softmax makes chances of them.
        normalize: vectors are made as long as 1 first.
    """

    temperature: float = Field(0.07, gt=0)
    normalize: bool = True


class CaptionConfig(Config):
    """What a text decoder reads and should say.

    Attributes:
        first: id that stands in place of the first token: "now say it". None: the tokens as they are.
    """

    first: int | None = Field(None, ge=0)


class ItgConfig(CaptionConfig, NextTokenConfig):
    """Both: BLIP-2 has its own first token, and smoothing 0.1."""

    smoothing: float = Field(0.1, ge=0, lt=1)
