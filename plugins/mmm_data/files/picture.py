"""Files of pictures -> images of one size, and videos of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, TypeVar

import torch
from PIL import Image
from torch import Tensor

from mmm_data.files.config import FilmConfig, PictureConfig
from mmm_graph.nn.media import image_tensor, open_image, read_frames

T = TypeVar("T")


def load_picture(file: Path | IO[bytes], config: PictureConfig) -> Tensor:
    """float32 [c,h,w] in [0,1], of the size of the config, or of its own.

    Raises:
        ValueError, OSError: it cannot be read.
    """
    return image_tensor(fit(open_image(file, config.channels), config), config.channels)


def fit(image: Image.Image, config: PictureConfig) -> Image.Image:
    """The picture in the size of the config."""
    if config.shape is None:
        return image
    height, width = config.shape
    if config.fit == "stretch" or image.size == (width, height):
        return image.resize((width, height), Image.Resampling.BICUBIC)
    choose = max if config.fit == "crop" else min
    scale = choose(width / image.width, height / image.height)
    near = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(near, Image.Resampling.BICUBIC)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))  # what lies outside is black


def load_video(source: Path | Sequence[Path], config: FilmConfig) -> Tensor:
    """float32 [f,3,h,w] in [0,1] of an animated picture, or of pictures that are its frames.

    Raises:
        ValueError, OSError: it cannot be read.
    """
    if isinstance(source, Path):
        chosen = _spread(read_frames(source), config.frames)
    else:
        chosen = [open_image(path, 3) for path in _spread(source, config.frames)]
    return torch.stack([image_tensor(fit(image, config), 3) for image in chosen])


def _spread(items: Sequence[T], count: int) -> list[T]:
    """So many items at equal distances, each from the middle of its stretch."""
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]
