"""Tiles of pictures as one row of embeds a picture. Axes: r tiles, m pictures, l embeds of a tile, d width."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from mmm_bridge.anyres.config import AnyResConfig
from mmm_graph.errors import RunError, problem
from mmm_graph.nn.parts import known


class AnyRes(nn.Module):
    """The whole picture first, then its tiles as one picture, without padding, each row ended by a learned embed.

    Source: Liu et al. 2024, LLaVA-NeXT (https://llava-vl.github.io/blog/2024-01-30-llava-next), "spatial_unpad".
    """

    def __init__(self, config: AnyResConfig) -> None:
        super().__init__()
        width = known(config.width, "width")
        self.newline = nn.Parameter(torch.randn(width) / math.sqrt(width))

    def forward(self, features: Tensor, rows: Tensor, grids: Tensor, sizes: Tensor) -> list[Tensor]:
        """Put the tiles of each picture together.

        Args:
            features: [r,l,d] embeds of tiles, l a square number; of each picture first the whole, then its grid, line
                after line.
            rows: [r] the picture of each tile, ascending.
            grids: [m,2] lines and columns of tiles of each picture; 0, 0 where there is only the whole.
            sizes: [m,2] height and width of each picture [px].

        Raises:
            RunError: E762, tiles and grids do not belong together, or a tile is no square of embeds.
        """
        side = math.isqrt(features.shape[1])
        if side**2 != features.shape[1]:
            message = f"a tile has {features.shape[1]} embeds, which are no square"
            raise RunError(problem("E762", message, hint="encoder: select: patch drops the class token"))
        shapes = [(int(h), int(w)) for h, w in grids.tolist()]
        tiles = torch.split(features, counts_of(rows, shapes))
        found = zip(tiles, shapes, sizes.tolist(), strict=True)
        return [self._picture(each, side, grid, size) for each, grid, size in found]

    def _picture(self, tiles: Tensor, side: int, grid: tuple[int, int], size: list[int]) -> Tensor:
        lines, columns = grid
        if not lines * columns:
            return torch.cat([tiles[0], self.newline[None].to(tiles.dtype)])
        whole = rearrange(tiles[1:], "(i j) (h w) d -> (i h) (j w) d", i=lines, j=columns, h=side, w=side)
        whole = unpad(whole, size[0], size[1])
        ends = self.newline.to(whole.dtype).expand(len(whole), 1, -1)
        return torch.cat([tiles[0], torch.cat([whole, ends], 1).flatten(0, 1)])


def counts_of(rows: Tensor, shapes: Sequence[tuple[int, int]]) -> list[int]:
    """Tiles of each picture.

    Args:
        rows: [r] the picture of each tile.
        shapes: lines and columns of the grid of each picture.

    Raises:
        RunError: E762.
    """
    owners: list[int] = rows.tolist()
    expected = [1 + lines * columns for lines, columns in shapes]
    if owners == [i for i, count in enumerate(expected) for _ in range(count)]:
        return expected
    have = [owners.count(i) for i in range(len(shapes))]
    wrong = [i for i, count in enumerate(expected) if count != have[i]]
    if wrong:
        i, (lines, columns) = wrong[0], shapes[wrong[0]]
        message = (
            f"picture {i} has {have[i]} tiles; the whole and a grid of {lines} x {columns} are {expected[i]}"
        )
    else:
        message = f"{len(owners)} tiles do not stand in the order of their {len(shapes)} pictures"
    raise RunError(problem("E762", message, hint="link rows and grids of the op that cut the tiles"))


def unpad(grid: Tensor, height: int, width: int) -> Tensor:
    """Take off what was added on two sides when a picture was scaled to fit: h w d -> fewer h or w.

    Args:
        height, width: of the picture [px].
    """
    high, wide = grid.shape[:2]
    if width / height > wide / high:
        cut = (high - int(round(height * (wide / width), 7))) // 2
        return grid[cut : high - cut]
    cut = (wide - int(round(width * (high / height), 7))) // 2
    return grid[:, cut : wide - cut]
