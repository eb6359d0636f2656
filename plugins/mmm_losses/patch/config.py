"""Config of the discriminator of patches, without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config

GROUP = 32
WIDEST = 8


class PatchConfig(Config):
    """Convolutions of 4 x 4 that halve the image; each place of what is left is judged by itself.

    Attributes:
        channels: of the image.
        width: channels after the first layer; they double in each layer, up to 8 times.
        depth: layers that halve the image; with 3 a place sees 70 x 70 pixels.
        norm: group = of up to 32 channels, so that an image is judged alike in any batch; none.
    """

    channels: int = Field(3, ge=1)
    width: int = Field(64, ge=1)
    depth: int = Field(3, ge=1)
    norm: Literal["group", "none"] = "group"

    @model_validator(mode="after")
    def _check(self) -> PatchConfig:
        if self.norm == "group" and self.depth and self.width > GROUP and self.width % GROUP:
            raise ValueError(
                f"width {self.width} is no multiple of {GROUP}, the channels of a group; or norm: none"
            )
        return self

    def widths(self) -> tuple[int, ...]:
        """Channels after each layer but the last."""
        return tuple(self.width * min(2**i, WIDEST) for i in range(self.depth + 1))
