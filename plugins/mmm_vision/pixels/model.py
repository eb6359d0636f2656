"""The pixel codec: images in [0,1] <-> latents in [-1,1] of the same size."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmm_graph.nn.noise import Noise
from mmm_vision.pixels.config import NoiseConfig, PixelsConfig


class Pixels:
    """See PixelsConfig."""

    def __init__(self, config: PixelsConfig) -> None:
        self.config = config

    def encode(self, image: Tensor) -> Tensor:
        """[b,c,h,w] in [0,1] -> the same in [-1,1]."""
        return 2.0 * image - 1.0

    def decode(self, latents: Tensor) -> Tensor:
        """[b,c,h,w] -> the same in [0,1]; what lies outside [-1,1] is cut off."""
        return (0.5 * latents + 0.5).clamp(0.0, 1.0)

    def mask(self, mask: Tensor) -> Tensor:
        """What is to be painted, [b,1,h,w] -> 1.0 there and 0.0 elsewhere."""
        return mask.float()

    def noise(self, like: Any, config: NoiseConfig, noise: Noise) -> Tensor:
        """Standard normal [b,c,height,width], b being the batch of `like`."""
        return noise.normal((self.config.channels, config.height, config.width))
