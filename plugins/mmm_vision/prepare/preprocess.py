"""Pictures of any size -> one batch as an encoder wants it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_vision.prepare.config import PreprocessConfig
from mmm_vision.prepare.picture import (
    Bytes,
    by_longest,
    by_shortest,
    cropped,
    normalised,
    padded,
    pictures,
    scaled,
)


def preprocess(image: Tensor | Sequence[Tensor], config: PreprocessConfig) -> Tensor:
    """Pad, scale, crop and normalise each picture.

    Args:
        image: [b,c,h,w] in [0,1], or a list of such (or of [c,h,w]) of differing sizes. Values are rounded to 8 bits
            first, which is what the processors work on that checkpoints come with.

    Returns:
        float32 [b,3,height,width], b being all pictures, on the device of the first.
    Raises:
        RunError: E743, no picture, or one of another form; E744, a picture would be scaled to nothing or beyond memory;
            E745, pictures that differ in size afterwards.
    """
    found = [normalised(prepared(one, config), config.mean, config.std) for one in pictures(image)]
    if not found:
        raise RunError(problem("E743", "there is no picture to prepare", hint="give at least one"))
    sizes = sorted({tuple(one.shape[1:]) for one in found})
    if len(sizes) > 1:
        said = " and ".join(f"{height} x {width}" for height, width in sizes[:4])
        hint = "set `size` or `crop`, so that all get one size"
        raise RunError(
            problem("E745", f"prepared pictures of one batch differ in size: {said} px", hint=hint)
        )
    return torch.stack(found).to(image[0].device)


def prepared(pixels: Bytes, config: PreprocessConfig) -> Bytes:
    """One picture before it is normalised."""
    height, width = pixels.shape[:2]
    if config.pad_square is not None and height != width:
        pixels = padded(pixels, *(max(height, width),) * 2, _colour(config))
    pixels = _scaled(pixels, config)
    return pixels if config.cropped_to is None else cropped(pixels, *config.cropped_to)


def _colour(config: PreprocessConfig) -> Sequence[int]:
    if config.pad_square == "mean":
        return [int(value * 255) for value in config.mean or ()]
    assert config.pad_square is not None
    return config.pad_square


def _scaled(pixels: Bytes, config: PreprocessConfig) -> Bytes:
    height, width = pixels.shape[:2]
    if config.scaled_to is not None:
        return scaled(pixels, *config.scaled_to, config.resample)
    if config.shortest is not None:
        return scaled(pixels, *by_shortest(height, width, config.shortest, config.longest), config.resample)
    if config.longest is not None:
        return scaled(pixels, *by_longest(height, width, config.longest), config.resample)
    return pixels
