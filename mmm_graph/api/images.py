"""Images as a caller gives them (files, pictures, arrays, tensors) -> tensors `b c h w` in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmm_graph.nn.media import image_tensor, read_image


def to_images(value: Any, channels: int | None = None) -> Tensor:
    """A batch of images.

    Args:
        value: a path, a Pillow image, a tensor or array `c h w` or `b c h w` (whole numbers are taken as 0 to 255),
            or a list of paths or Pillow images of one size.
        channels: 1, 3 or 4: what files and Pillow images are converted to; None = as they are.

    Returns:
        float32 `b c h w` in [0, 1].

    Raises:
        ValueError, OSError: not an image, values out of range, or sizes that differ.
    """
    if isinstance(value, str | Path | Image.Image):
        return _picture(value, channels)[None]
    if (
        isinstance(value, list | tuple)
        and value
        and all(isinstance(v, str | Path | Image.Image) for v in value)
    ):
        return _stack([_picture(v, channels) for v in value])
    if isinstance(value, Tensor):
        return _checked(value)
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise ValueError("it takes a file, or numbers")
    return _checked(torch.as_tensor(array))


def _picture(value: str | Path | Image.Image, channels: int | None) -> Tensor:
    return (
        image_tensor(value, channels) if isinstance(value, Image.Image) else read_image(Path(value), channels)
    )


def _stack(images: Sequence[Tensor]) -> Tensor:
    shapes = sorted({tuple(image.shape) for image in images})
    if len(shapes) > 1:
        raise ValueError("images of one batch have one size, found " + " and ".join(map(_size, shapes)))
    return torch.stack(list(images))


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _checked(tensor: Tensor) -> Tensor:
    image = tensor.float() if tensor.is_floating_point() else tensor.float() / 255
    if image.numel() and not bool((image >= 0).logical_and(image <= 1).all()):
        low, high = float(image.min()), float(image.max())
        raise ValueError(f"images are in [0, 1] (whole numbers: 0 to 255), found {low:g} to {high:g}")
    return image[None] if image.dim() == 3 else image
