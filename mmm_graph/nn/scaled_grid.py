"""Positions on a grid that is finer than the one that they are counted on."""

from __future__ import annotations

from torch import Tensor, nn

from mmm_graph.nn.embed import check_width, grid_waves
from mmm_graph.parallel.exchange import SINGLE, Exchange


class ScaledGridEmbedding(nn.Module):
    """Fixed 2D sine-cosine position embedding of a token grid, by global position: (h, w) -> h*w d.

    Any grid is squeezed or stretched to positions from 0 to base / scale.

    Args:
        dim: width d, a multiple of 4.
        base: side of the grid that the model was trained on.
        scale: how many times finer that grid is than the one that the positions were first learned for.

    Raises:
        ValueError: `dim` is not a multiple of 4.
    Source: Chen et al. 2023 (arXiv:2310.00426), laid out as the published weights have it.
    """

    def __init__(self, dim: int, base: int, scale: float) -> None:
        super().__init__()
        check_width(dim)
        self.exchange: Exchange = SINGLE
        self.layer = ""
        self.dim, self.base, self.scale = dim, base, scale

    def forward(self, grid: tuple[int, int], like: Tensor) -> Tensor:
        """Embedding in the dtype and on the device of `like`."""
        at = self.exchange.positions(grid, like.device)
        # The published positions were divided in float32, in this order.
        rows = at.rows.float() / (at.height / self.base) / self.scale
        cols = at.cols.float() / (at.width / self.base) / self.scale
        return grid_waves(rows, cols, self.dim).to(like.dtype)
