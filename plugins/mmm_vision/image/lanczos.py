"""Resizing with a windowed sinc, as Pillow does it to pictures."""

from __future__ import annotations

import torch
from torch import Tensor

LOBES, LEVELS = 3, 255


def lanczos(image: Tensor, height: int, width: int) -> Tensor:
    """[b,c,h,w] in [0,1] -> [b,c,height,width]; when it shrinks, the kernel grows with the step between pixels.

    As in Pillow, the width is changed first, unless only the height shrinks, and values become one of 256 levels after
    either: so files are resized here as they are elsewhere, and what overshoots is cut off.

    Source: Duchon 1979, Lanczos filtering in one and two dimensions; the kernel's ends as in Pillow's resampling.
    """
    h, w = image.shape[-2:]
    across, down = (weights(*sizes).to(image.device, image.dtype) for sizes in ((w, width), (h, height)))
    if height < h and width > w:
        return leveled(leveled(down @ image) @ across.mT)
    return leveled(down @ leveled(image @ across.mT))


def leveled(image: Tensor) -> Tensor:
    """The nearest of 256 levels from 0 to 1; halves go up."""
    return (image.clamp(0.0, 1.0) * LEVELS + 0.5).floor() / LEVELS


def weights(size: int, new: int) -> Tensor:
    """How much of each old pixel is in each new one, [new, size] float64; rows sum to 1."""
    step = size / new
    wide = max(step, 1.0)
    centre = (torch.arange(new, dtype=torch.float64)[:, None] + 0.5) * step
    old = torch.arange(size, dtype=torch.float64)[None, :]
    first = (centre - LOBES * wide + 0.5).floor().clamp(min=0)
    last = (centre + LOBES * wide + 0.5).floor().clamp(max=size)
    away = (old + 0.5 - centre) / wide
    kernel = torch.sinc(away) * torch.sinc(away / LOBES)
    kernel = kernel * ((old >= first) & (old < last) & (away.abs() < LOBES))
    return kernel / kernel.sum(1, keepdim=True)
