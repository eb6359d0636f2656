"""Width of the embeds of tiles; torch-free."""

from __future__ import annotations

from pydantic import Field

from mmm_graph.config import Config


class AnyResConfig(Config):
    """Tiles of a picture put together.

    Attributes:
        width: of the embeds, which is the language model's; solved from the links.
    """

    width: int | None = Field(None, ge=1)
