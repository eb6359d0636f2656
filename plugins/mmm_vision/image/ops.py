"""Operations on images [b,c,h,w] in [0,1], and on masks [b,1,h,w] that say where they are to be painted."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from mmm_vision.image.config import HideConfig, MaskConfig, ResizeConfig
from mmm_vision.image.lanczos import lanczos


def resize(image: Tensor, config: ResizeConfig) -> Tensor:
    """Interpolate to [b,c,height,width]; what overshoots is cut off. An image of that size stays as it is."""
    size = (config.height, config.width)
    if tuple(image.shape[-2:]) == size:
        return image
    if config.mode == "lanczos":
        return lanczos(image, *size)
    return F.interpolate(image, size, mode=config.mode, antialias=config.mode != "nearest").clamp(0.0, 1.0)


def to_mask(image: Tensor, config: MaskConfig) -> Tensor:
    """Bright is true, from the threshold on: [b,1,h,w] -> bool [b,1,h,w]."""
    return (image < config.threshold) if config.invert else (image >= config.threshold)


def hide(image: Tensor, mask: Tensor, config: HideConfig) -> Tensor:
    """The image without what is to be painted (mask true): one grey there."""
    return image.masked_fill(mask.to(image.device), config.value)
