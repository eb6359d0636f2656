"""Images larger than memory: worked on in tiles that overlap, and blended where they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from mmm_vae.config import TileConfig, VaeConfig


class Grid(NamedTuple):
    """Where tiles lie: each begins `step` after the one before and has `size`; on either side of the work.

    Attributes:
        size, step: in rows and columns of what goes in.
        made, made_step: the same of what comes out.
    """

    size: int
    step: int
    made: int
    made_step: int


def decoder_grid(config: VaeConfig, tiles: TileConfig) -> Grid:
    """From latents to pixels."""
    size, step = _latent(config, tiles)
    return Grid(size, step, size * config.factor, step * config.factor)


def encoder_grid(config: VaeConfig, tiles: TileConfig) -> Grid:
    """From pixels to latents."""
    made, made_step = _latent(config, tiles)
    return Grid(made * config.factor, made_step * config.factor, made, made_step)


def tiled(work: Callable[[Tensor], Tensor], x: Tensor, grid: Grid) -> Tensor:
    """work(x) tile by tile, b c h w -> b c h' w'; in one go where x is no larger than a tile.

    Only two rows of tiles are held at a time. What a tile cannot see of its surroundings is missing to it, so the
    result is not quite that of the whole; group norms see a tile only.
    """
    if max(x.shape[2:]) <= grid.size:
        return work(x)
    done, above = [], None
    for top in range(0, x.shape[2], grid.step):
        above = list(_row(work, x[:, :, top : top + grid.size], grid, above))
        done.append(torch.cat([tile[:, :, : grid.made_step, : grid.made_step] for tile in above], dim=3))
    return torch.cat(done, dim=2)


def _row(
    work: Callable[[Tensor], Tensor], x: Tensor, grid: Grid, above: list[Tensor] | None
) -> Iterator[Tensor]:
    """The tiles of a row, each blended with the one above and the one to the left."""
    overlap, left = grid.made - grid.made_step, None
    for i, start in enumerate(range(0, x.shape[3], grid.step)):
        tile = work(x[:, :, :, start : start + grid.size])
        tile = tile if above is None else blend(above[i], tile, overlap, dim=2)
        left = tile if left is None else blend(left, tile, overlap, dim=3)
        yield left


def blend(before: Tensor, after: Tensor, overlap: int, dim: int) -> Tensor:
    """`after`, whose first `overlap` entries along `dim` fade in over the last of `before`, which lie there as well.

    At the edge of the image both may have fewer.
    """
    overlap = min(before.shape[dim], after.shape[dim], overlap)
    if overlap == 0:
        return after
    shape = [-1 if axis == dim else 1 for axis in range(after.ndim)]
    ramp = (torch.arange(overlap, device=after.device, dtype=after.dtype) / overlap).view(shape)
    mixed = before.narrow(dim, before.shape[dim] - overlap, overlap) * (1 - ramp)
    mixed = mixed + after.narrow(dim, 0, overlap) * ramp
    return torch.cat([mixed, after.narrow(dim, overlap, after.shape[dim] - overlap)], dim=dim)


def _latent(config: VaeConfig, tiles: TileConfig) -> tuple[int, int]:
    """Size and step of a tile in latents."""
    size = tiles.tile // config.factor
    return size, int(size * (1 - tiles.overlap))
