"""A batch of images, with labels -> one image that shows them all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mmm_vision.image.config import GridConfig


def grid(
    image: Tensor, config: GridConfig, labels: Sequence[str] | None = None, numbers: Tensor | None = None
) -> Tensor:
    """Lay out the batch row by row, black on empty space.

    Args:
        image: [b,c,h,w] in [0,1].
        labels: one for each image; a label too wide is cut.
        numbers: labels as numbers [b]; used when there are no texts.
    Returns:
        [1,c,sheet_h,sheet_w], on the CPU.
    """
    names = list(labels) if labels else [str(int(n)) for n in numbers] if numbers is not None else []
    tiles = image.detach().float().cpu().clamp(0.0, 1.0)
    tiles = tiles.repeat_interleave(config.scale, 2).repeat_interleave(config.scale, 3)
    num, channels, height, width = tiles.shape
    columns = min(num, config.columns or math.ceil(math.sqrt(num)))
    strip = config.text_px + 4 if names else 0
    cell_h, cell_w = height + strip + config.gap, width + config.gap
    rows = math.ceil(num / columns)
    sheet = torch.zeros(channels, rows * cell_h + config.gap, columns * cell_w + config.gap)
    for i, tile in enumerate(tiles):
        top, left = config.gap + (i // columns) * cell_h, config.gap + (i % columns) * cell_w
        sheet[:, top : top + height, left : left + width] = tile
        if names:
            sheet[:, top + height : top + height + strip, left : left + width] = text_strip(
                names[i], width, config
            )
    if channels == 4:
        sheet[3] = 1.0  # opaque also between the images
    return sheet.unsqueeze(0)


def text_strip(text: str, width: int, config: GridConfig) -> Tensor:
    """White letters on black [text_px + 4, width], centred where they fit."""
    strip = Image.new("L", (width, config.text_px + 4))
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(config.text_px)
    left = max(0.0, (width - draw.textlength(text, font)) / 2)
    draw.text((left, 1), text, fill=255, font=font)
    return torch.from_numpy(np.asarray(strip).copy()).float() / 255.0
