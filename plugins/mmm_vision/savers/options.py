"""What may stand beside `format:` under `save:` of an image output; torch-free."""

from __future__ import annotations

from pydantic import Field

from mmm_graph.config import Config
from mmm_vision.image.config import GridConfig


class ImageOptions(Config):
    """How images become files.

    Attributes:
        grid: one contact sheet of the batch, instead of one file for each image.
        columns, scale, gap: of the sheet, see GridConfig; scale also enlarges single images.
        quality: of a jpg, 1 to 100.
    """

    grid: bool = False
    columns: int | None = Field(None, ge=1)
    scale: int = Field(1, ge=1, le=64)
    gap: int = Field(2, ge=0)
    quality: int = Field(95, ge=1, le=100)

    def sheet(self) -> GridConfig:
        """The same as the config of image.grid."""
        return GridConfig(columns=self.columns, scale=self.scale, gap=self.gap)
