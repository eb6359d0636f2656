"""Operations on images [b,c,h,w] in [0,1]."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from mmm_vision.image.config import ResizeConfig


def resize(image: Tensor, config: ResizeConfig) -> Tensor:
    """Interpolate to [b,c,height,width]; bicubic overshoot is cut off."""
    smooth = config.mode != "nearest"
    size = (config.height, config.width)
    return F.interpolate(image, size, mode=config.mode, antialias=smooth).clamp(0.0, 1.0)
