"""Sizes of a U-Net over the frames of videos."""

from __future__ import annotations

from pydantic import Field

from mmm_graph.nn.unet_layout import Row, layout
from mmm_unet.config import UNetConfig


class FramesConfig(UNetConfig):
    """That of the U-Net, and for how many frames its cost table is made."""

    frames: int = Field(16, ge=1)

    @property
    def middle_row(self) -> Row:
        """The middle, which is made of two parts here."""
        return next(row for row in layout(self) if row.form == "middle")
