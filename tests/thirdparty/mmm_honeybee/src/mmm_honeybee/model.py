"""Honeybee's convolutional abstractor: locality is kept, the number of tokens is free."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from mmm_honeybee.config import HoneybeeConfig


class Honeybee(nn.Module):
    """Residual convolutions on the grid of features, adaptive pooling, residual convolutions, projection.

    Source: Cha et al. 2023 (arXiv:2312.06742), section 3.2.
    """

    def __init__(self, config: HoneybeeConfig) -> None:
        super().__init__()
        if config.in_dim is None or config.out_dim is None:
            raise ValueError("in_dim and out_dim must be given or follow from the links")
        self.side = math.isqrt(config.num_tokens)
        if self.side**2 != config.num_tokens:
            raise ValueError(f"num_tokens is {config.num_tokens}, which is no square number")
        self.inwards = nn.Linear(config.in_dim, config.hidden)
        self.before = nn.Sequential(*(Residual(config.hidden) for _ in range(config.depth)))
        self.after = nn.Sequential(*(Residual(config.hidden) for _ in range(config.depth)))
        self.outwards = nn.Linear(config.hidden, config.out_dim)

    def forward(self, features: Tensor) -> Tensor:
        """b l in_dim -> b num_tokens out_dim, where l is a square number."""
        side = math.isqrt(features.shape[1])
        if side**2 != features.shape[1]:
            raise ValueError(f"{features.shape[1]} features are no square grid; drop the class token first")
        grid = self.inwards(features).transpose(1, 2).unflatten(2, (side, side))  # b d h w
        grid = self.after(F.adaptive_avg_pool2d(self.before(grid), self.side))
        out: Tensor = self.outwards(grid.flatten(2).transpose(1, 2))
        return out


class Residual(nn.Module):
    """x + conv(silu(norm(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """b d h w -> b d h w."""
        out: Tensor = x + self.conv(F.silu(self.norm(x)))
        return out
