"""Embeddings of diffusion times and of positions on a grid."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
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
        check_width(dim)
        self.exchange: Exchange = SINGLE
        self.layer = ""
        self.dim, self.base = dim, base

    def forward(self, grid: tuple[int, int], like: Tensor) -> Tensor:
        """Embedding in the dtype and on the device of `like`."""
        at = self.exchange.positions(grid, like.device)
        rows = at.rows.double() * (self.base / at.height)
        cols = at.cols.double() * (self.base / at.width)
        return grid_waves(rows, cols, self.dim).to(like.dtype)


class CentredGridEmbedding(nn.Module):
    """Fixed 2D sine-cosine position embedding; a grid of tokens lies in the centre of a larger one: (h, w) -> h*w d.

    Args:
        dim: width d, a multiple of 4.
        base: side of the grid that the model was trained on; the positions of the larger grid run from 0 to it.
        side: of the larger grid.

    Raises:
        ValueError: `dim` is not a multiple of 4.
    Source: Esser et al. 2024 (arXiv:2403.03206), section 5.3.2, laid out as the published weights have it.
    """

    def __init__(self, dim: int, base: int, side: int) -> None:
        super().__init__()
        check_width(dim)
        self.exchange: Exchange = SINGLE
        self.layer = ""
        self.dim, self.base, self.side = dim, base, side

    def forward(self, grid: tuple[int, int], like: Tensor) -> Tensor:
        """Embedding in the dtype and on the device of `like`.

        Raises:
            RunError: the whole grid of tokens is larger than the grid of positions.
        """
        at = self.exchange.positions(grid, like.device)
        if max(at.height, at.width) > self.side:
            raise RunError(
                problem(
                    "E706",
                    f"{at.height} x {at.width} patches, but there are {self.side} x {self.side} positions",
                    hint="make the image smaller",
                )
            )
        top, left = (self.side - at.height) // 2, (self.side - at.width) // 2
        step = self.side / self.base
        # The published positions were divided in float32.
        rows, cols = (at.rows + top).float() / step, (at.cols + left).float() / step
        return grid_waves(rows, cols, self.dim).to(like.dtype)


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


def check_width(dim: int) -> None:
    """Half the width is for rows and half for columns, in sines and cosines.

    Raises:
        ValueError: `dim` is not a multiple of 4.
    """
    if dim % 4:
        raise ValueError(f"width {dim} of a 2D sine-cosine embedding must be a multiple of 4")


def grid_waves(rows: Tensor, cols: Tensor, dim: int) -> Tensor:
    """Waves of a grid of positions, row by row: h, w -> h*w dim, float32, which is what published models hold."""
    down, across = axis_waves(rows.double(), dim // 2), axis_waves(cols.double(), dim // 2)
    # Columns come first in the channels, as in the published DiT and MAE code.
    both = [across[None].expand(len(rows), -1, -1), down[:, None].expand(-1, len(cols), -1)]
    return torch.cat(both, dim=-1).flatten(0, 1).float()


def axis_waves(positions: Tensor, dim: int) -> Tensor:
    """Sines, then cosines, of positions [n] at `dim / 2` frequencies: n dim, float64."""
    half = dim // 2
    rates = 10000.0 ** (-torch.arange(half, dtype=torch.float64, device=positions.device) / half)
    angles = positions[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
