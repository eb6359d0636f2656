"""Rotary embeddings of positions: queries and keys are turned by angles, so that scores depend on distances."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmm_graph.parallel.exchange import SINGLE, Exchange

Waves = tuple[Tensor, Tensor]
"""Cosines and sines of the angles of each token, [l, k/2] each, float32."""


class GridRope(nn.Module):
    """Angles of text and of a grid of tokens by global position, text first: (h, w) -> t+h*w k/2, twice.

    A token in row y and column x has the ids (0, y, x), one of text (0, 0, 0), which turns it by nothing.

    Args:
        dims: how many channels of a head each of the three ids turns, even; their sum is the width k of a head.
        period: of the slowest of their frequencies, over 2 pi, in the limit of many.

    Raises:
        ValueError: a number of channels is odd.
    Source: Su et al. 2021 (arXiv:2104.09864), section 3.2.2, on three axes as FLUX.1 has them.
    """

    def __init__(self, dims: Sequence[int], period: float = 10000.0) -> None:
        super().__init__()
        if any(dim % 2 for dim in dims):
            raise ValueError(f"channels are turned in pairs, but the ids share them as {tuple(dims)}")
        self.exchange: Exchange = SINGLE
        self.layer = ""
        self.dims, self.period = tuple(dims), period

    def forward(self, grid: tuple[int, int], num_text: int, device: torch.device) -> Waves:
        """Of the rows of the grid that are here, on `device`."""
        at = self.exchange.positions(grid, device)
        rows, cols = len(at.rows), len(at.cols)
        first, second, third = (
            axis_angles(ids, dim, self.period)
            for ids, dim in zip((torch.zeros_like(at.rows[:1]), at.rows, at.cols), self.dims, strict=True)
        )
        image = torch.cat(
            [
                first[:, None].expand(rows, cols, -1),
                second[:, None].expand(rows, cols, -1),
                third[None].expand(rows, cols, -1),
            ],
            dim=-1,
        ).flatten(0, 1)
        angles = torch.cat([image.new_zeros(num_text, image.shape[1]), image])
        # Angles are float64: far positions times fast frequencies. Their waves are rounded, as in published models.
        return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, waves: Waves) -> Tensor:
    """Neighbouring channels of x [b,l,n,k] turned as pairs, at least in float32."""
    wide = torch.promote_types(x.dtype, torch.float32)
    cos, sin = (wave[:, None].to(wide) for wave in waves)  # l 1 k/2
    a, b = x.to(wide).unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(-2).to(x.dtype)


def axis_angles(ids: Tensor, dim: int, period: float) -> Tensor:
    """Angles of ids [n] at `dim / 2` frequencies falling from 1 towards 1/period: n dim/2, float64."""
    steps = torch.arange(0, dim, 2, dtype=torch.float64, device=ids.device)
    return ids.double()[:, None] / period ** (steps / dim)
