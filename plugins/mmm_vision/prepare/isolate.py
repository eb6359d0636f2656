"""A picture of one thing on a plain ground, of any size and colour -> light on black, small, on a canvas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mmm_graph.errors import RunError, problem
from mmm_graph.nn.media import as_rgb
from mmm_vision.prepare.config import IsolateConfig

DARK, FAINT, EDGE = 0.1, 0.1, 0.5
"""Brightness up to which a ground is black; contrast from which on there is something to see; and how bright the thing
is where it ends."""
SPECKS, NOISE = 60, 0.95
"""What is smaller than a 60th of a side is no part of the thing; the quantile of the border that is still ground."""


def isolate(image: Tensor | Sequence[Tensor], config: IsolateConfig) -> Tensor:
    """The thing of each picture, as IsolateConfig says.

    What is such a canvas already, with nothing larger than `side` on it, stays as it is.

    The ground is the median colour of the border. Where nothing differs from it the canvas is black.

    Args:
        image: [b,c,h,w] in [0,1] with 1, 3 or 4 channels, or a list of such (or of [c,h,w]) of differing sizes.

    Returns:
        float32 [b,3,size,size].
    Raises:
        RunError: E743, no picture, or one without pixels or with another number of channels.
    """
    found = [_isolated(_rgb(one), config) for one in _each(image)]
    if not found:
        raise RunError(problem("E743", "there is no picture to look at", hint="give at least one"))
    return torch.stack(found)


def _each(image: Tensor | Sequence[Tensor]) -> Iterator[Tensor]:
    for batch in [image] if isinstance(image, Tensor) else image:
        yield from batch if batch.dim() == 4 else [batch]


def _rgb(image: Tensor) -> Tensor:
    if image.shape[0] not in (1, 3, 4) or not image.numel():
        message = f"a picture of {' x '.join(map(str, image.shape))}; expected 1, 3 or 4 channels and pixels"
        raise RunError(problem("E743", message))
    return as_rgb(image.float())


def _isolated(x: Tensor, config: IsolateConfig) -> Tensor:
    """[3,h,w] -> [3,size,size]"""
    border = torch.cat([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], 1)
    ground = border.median(1).values[:, None]
    if _is_canvas(x, float(ground.max()), config):
        return x
    canvas = x.new_zeros(1, config.size, config.size)
    light = _light((x - ground[..., None]).abs().amax(0), (border - ground).abs().amax(0))
    if light is not None:
        corner = (config.size - config.side) // 2
        where = slice(corner, corner + config.side)
        canvas[:, where, where] = _drawn(_cut(light), config)
    return canvas.expand(3, -1, -1)


def _is_canvas(x: Tensor, ground: float, config: IsolateConfig) -> bool:
    if tuple(x.shape[1:]) != (config.size, config.size) or ground > DARK:
        return False
    bright = x.amax(0) > EDGE
    return not bright.any() or max(_cut(bright.float()).shape) <= config.side


def _light(far: Tensor, at_border: Tensor) -> Tensor | None:
    """How much each pixel [h,w] is of the thing, in [0,1], by how far it is from the ground; None: there is nothing."""
    reach = max(far.shape) // SPECKS
    soft = F.avg_pool2d(far[None, None], 2 * reach + 1, 1, reach, count_include_pad=False)[0, 0]
    low, high = float(at_border.quantile(NOISE)), float(soft.max())
    return None if high - low < FAINT else ((soft - low) / (high - low)).clamp(0, 1)


def _cut(light: Tensor) -> Tensor:
    """The part of [h,w] that holds the thing."""
    rows, columns = ((light > EDGE).any(axis).nonzero()[:, 0].tolist() for axis in (1, 0))
    return light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _drawn(thing: Tensor, config: IsolateConfig) -> Tensor:
    """[h,w] -> [side,side]: made as coarse as the scans are, and enlarged as they are."""
    longest = max(thing.shape)
    height, width = (max(1, round(n * config.grain / longest)) for n in thing.shape)
    coarse = F.interpolate(thing[None, None], (height, width), mode="bilinear", antialias=True)
    whole = config.grain + 2 * config.margin
    tile = thing.new_zeros(1, 1, whole, whole)
    top, left = (whole - height) // 2, (whole - width) // 2
    tile[..., top : top + height, left : left + width] = coarse / coarse.max()
    return F.interpolate(tile, (config.side, config.side), mode="bicubic").clamp(0, 1)[0]
