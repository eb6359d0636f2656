"""Settings of the search for signals; torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmm_graph.config import Config


class FindConfig(Config):
    """Which signals are looked for.

    Attributes:
        kind: the medium that they ask for.
        limit: most signals of an answer that count: the first ones.
    """

    kind: Literal["image", "video", "audio"] = "image"
    limit: int = Field(default=5, ge=1)
