"""Configs of the ops that take conditions away, without torch."""

from __future__ import annotations

from pydantic import Field

from mmm_graph.config import Config


class DropConfig(Config):
    """Attributes: p: share of elements that lose their condition."""

    p: float = Field(0.1, ge=0, le=1)


class IdsDropConfig(DropConfig):
    """Attributes: value: id that stands for "no condition"."""

    value: int = Field(ge=0)
