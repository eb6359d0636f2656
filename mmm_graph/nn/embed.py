"""Embeddings of diffusion times and of positions on a grid."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.parallel.exchange import SINGLE, Exchange


class TimeEmbedding(nn.Module):
    """Diffusion times to vectors, sinusoid and then a two-layer MLP: b -> b dim.

    Args:
        freq_dim: width of the sinusoid, even.
        dim: width of the result.
        shift: `shift` of `sinusoid`.
        cos_first: order of the halves of the sinusoid.
        scale: multiplies the times; 1000 for times in [0, 1].
    """

    def __init__(
        self, freq_dim: int, dim: int, *, shift: float = 0.0, cos_first: bool = True, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.freq_dim, self.shift, self.cos_first, self.scale = freq_dim, shift, cos_first, scale
        self.up = nn.Linear(freq_dim, dim)
        self.down = nn.Linear(dim, dim)

    def forward(self, t: Tensor) -> Tensor:
        waves = sinusoid(t.float() * self.scale, self.freq_dim, shift=self.shift, cos_first=self.cos_first)
        y: Tensor = self.down(F.silu(self.up(waves.to(self.up.weight.dtype))))
        return y


class GridEmbedding(nn.Module):
    """Fixed 2D sine-cosine position embedding of a token grid, by global position: (h, w) -> h*w d.

    Args:
        dim: width d, a multiple of 4.
        base: side of the grid that the model was trained on; a larger grid is squeezed into its range.

    Raises:
        ValueError: `dim` is not a multiple of 4.
    Source: Dosovitskiy et al. 2020 (arXiv:2010.11929); He et al. 2021 (arXiv:2111.06377), appendix.
    """

    def __init__(self, dim: int, base: int) -> None:
        super().__init__()
        if dim % 4:
            raise ValueError(f"width {dim} of a 2D sine-cosine embedding must be a multiple of 4")
        self.exchange: Exchange = SINGLE
        self.layer = ""
        self.dim, self.base = dim, base

    def forward(self, grid: tuple[int, int], like: Tensor) -> Tensor:
        """Embedding in the dtype and on the device of `like`."""
        at = self.exchange.positions(grid, like.device)
        rows = axis_waves(at.rows.double() * (self.base / at.height), self.dim // 2)
        cols = axis_waves(at.cols.double() * (self.base / at.width), self.dim // 2)
        height, width = grid
        # Columns come first in the channels, as in the published DiT and MAE code.
        both = [cols[None].expand(height, -1, -1), rows[:, None].expand(-1, width, -1)]
        # Published models hold it in float32, so that is what it is rounded to.
        return torch.cat(both, dim=-1).flatten(0, 1).float().to(like.dtype)


def sinusoid(
    t: Tensor, dim: int, *, shift: float = 0.0, cos_first: bool = True, period: float = 10000.0
) -> Tensor:
    """Sines and cosines of t at `dim / 2` frequencies falling from 1 towards 1/period: b -> b dim, float32.

    Args:
        t: times [b].
        dim: width, even.
        shift: 1 makes the last frequency exactly 1/period, 0 stops one step short of it.
        cos_first: cosines in the first half.
    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.5; Ho et al. 2020 (arXiv:2006.11239).
    """
    half = dim // 2
    steps = torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t.float()[:, None] * torch.exp(-math.log(period) * steps / (half - shift))
    waves = (angles.cos(), angles.sin()) if cos_first else (angles.sin(), angles.cos())
    return torch.cat(waves, dim=-1)


def axis_waves(positions: Tensor, dim: int) -> Tensor:
    """Sines, then cosines, of positions [n] at `dim / 2` frequencies: n dim, float64."""
    half = dim // 2
    rates = 10000.0 ** (-torch.arange(half, dtype=torch.float64, device=positions.device) / half)
    angles = positions[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
