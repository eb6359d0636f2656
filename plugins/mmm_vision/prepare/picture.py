"""One picture as 8-bit pixels [h,w,3]: scaled by Pillow, padded, cropped, normalised as in transformers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_vision.prepare.config import Colour, Resample

Bytes = NDArray[np.uint8]

FILTERS: Mapping[Resample, Image.Resampling] = MappingProxyType(
    {
        "nearest": Image.Resampling.NEAREST,
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS,
    }
)
MOST_PIXELS = 1 << 28
"""Of a picture on its way, 768 MiB. A thin one whose shorter side grows can have more."""


def pictures(image: Tensor | Sequence[Tensor]) -> Iterator[Bytes]:
    """Every picture of a batch [b,c,h,w] or of a list of such, in [0,1], rounded to 8 bits.

    Pictures that come from files of 8 bits come back as they were. One channel is grey; the fourth of four is
    opacity, and the picture is laid on white, as in transformers 5.

    Raises:
        RunError: E743, a picture without pixels, with another number of channels, or with values that are not finite.
    """
    for batch in [image] if isinstance(image, Tensor) else image:
        for one in batch if batch.dim() == 4 else [batch]:
            yield to_bytes(one)


def to_bytes(image: Tensor) -> Bytes:
    """[c,h,w] in [0,1] -> [h,w,3]; what lies outside is cut off.

    Raises:
        RunError: E743.
    """
    channels, height, width = image.shape
    if channels not in (1, 3, 4) or not height or not width:
        message = f"a picture of {channels} channels and {height} x {width} px; expected 1, 3 or 4 channels and pixels"
        raise RunError(problem("E743", message))
    values = image.detach().float().cpu()
    if not bool(values.isfinite().all()):
        raise RunError(problem("E743", f"a picture of {height} x {width} px has values that are not finite"))
    levels = (values * 255).round().clamp(0, 255).byte()
    pixels: Bytes = levels.expand(max(channels, 3), -1, -1).permute(1, 2, 0).contiguous().numpy()
    return pixels if channels < 4 else on_white(pixels)


def on_white(pixels: Bytes) -> Bytes:
    """[h,w,4] -> [h,w,3], by Pillow's arithmetic."""
    above = Image.fromarray(pixels)
    white = Image.new("RGBA", above.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, above).convert("RGB"))


def scaled(pixels: Bytes, height: int, width: int, resample: Resample) -> Bytes:
    """To another size.

    Raises:
        RunError: E744, a side would be nothing, or the picture too large.
    """
    old_height, old_width = pixels.shape[:2]
    if not height or not width or height * width > MOST_PIXELS:
        message = f"a picture of {old_height} x {old_width} px would be scaled to {height} x {width} px"
        hint = f"crop it, or scale it by `size`; a picture has 1 to {MOST_PIXELS} pixels"
        raise RunError(problem("E744", message, hint=hint))
    return np.asarray(Image.fromarray(pixels).resize((width, height), FILTERS[resample]))


def by_shortest(height: int, width: int, shortest: int, longest: int | None) -> tuple[int, int]:
    """Height and width when the shorter side becomes `shortest`, or as much less as `longest` asks for."""
    short, long = sorted((height, width))
    exact: float = shortest
    if longest is not None and long / short * shortest > longest:
        exact = longest * short / long
    new = round(exact)
    # A side that is right already is kept with the other one, as there.
    other = long if new == short and longest is not None else int(exact * long / short)
    return (new, other) if height <= width else (other, new)


def by_longest(height: int, width: int, longest: int) -> tuple[int, int]:
    """Height and width when the longer side becomes `longest`."""
    scale = min(longest / height, longest / width)
    return int(height * scale), int(width * scale)


def padded(pixels: Bytes, height: int, width: int, colour: Sequence[int] = (0, 0, 0)) -> Bytes:
    """In the middle of a larger picture of one colour; an odd pixel more is below, or on the right."""
    old_height, old_width = pixels.shape[:2]
    top, left = (height - old_height) // 2, (width - old_width) // 2
    whole = np.empty((height, width, 3), np.uint8)
    whole[:] = colour
    whole[top : top + old_height, left : left + old_width] = pixels
    return whole


def cropped(pixels: Bytes, height: int, width: int) -> Bytes:
    """The middle; black where there is nothing."""
    old_height, old_width = pixels.shape[:2]
    whole = np.zeros((height, width, 3), np.uint8)
    (to_y, from_y, rows), (to_x, from_x, columns) = _overlap(old_height, height), _overlap(old_width, width)
    whole[to_y : to_y + rows, to_x : to_x + columns] = pixels[
        from_y : from_y + rows, from_x : from_x + columns
    ]
    return whole


def _overlap(old: int, new: int) -> tuple[int, int, int]:
    """(first in the new one, first in the old one, how many) along one axis."""
    return (0, (old - new) // 2, new) if old >= new else (math.ceil((new - old) / 2), 0, old)


def normalised(pixels: Bytes, mean: Colour | None, std: Colour | None) -> Tensor:
    """[h,w,3] -> float32 [3,h,w], divided by 255, less the mean, over the standard deviation."""
    values = torch.from_numpy((pixels.astype(np.float64) * (1 / 255)).astype(np.float32))
    if mean is not None and std is not None:
        values = (values - torch.tensor(mean)) / torch.tensor(std)
    return values.permute(2, 0, 1).contiguous()
