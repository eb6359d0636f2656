"""What may stand beside `format:` under `save:` of an output of images or videos; torch-free."""

from __future__ import annotations

from pydantic import Field

from mmm_graph.config import Config
from mmm_vision.image.config import GridConfig


class VideoOptions(Config):
    """How videos become files.

    Attributes:
        fps: frames a second; a gif counts in hundredths of a second.
        scale: enlarges the frames, each pixel to a square of so many.
        quality: of a webp, 1 to 100; 100 is lossless.
    """

    fps: float = Field(8.0, gt=0, le=100)
    scale: int = Field(1, ge=1, le=64)
    quality: int = Field(95, ge=1, le=100)


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
