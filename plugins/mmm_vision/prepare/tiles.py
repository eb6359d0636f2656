"""Pictures of any form -> a view of the whole and tiles of a grid that suits it.

Source: Liu et al. 2024, LLaVA-NeXT (https://llava-vl.github.io/blog/2024-01-30-llava-next/), any resolution.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_vision.prepare.config import TilesConfig
from mmm_vision.prepare.picture import Bytes, normalised, padded, pictures, scaled


def tiles(image: Tensor | Sequence[Tensor], config: TilesConfig) -> dict[str, Tensor]:
    """The whole picture scaled to one tile, then the tiles of its grid row by row; one picture after the other.

    Args:
        image: as of `preprocess`.

    Returns:
        tiles: float32 [r,3,size,size]. rows: the picture that each belongs to [r]. grids: rows and columns of tiles of
        each picture [m,2]. sizes: its height and width [m,2] [px].
    Raises:
        RunError: E743, no picture, or one of another form; E744, a picture would be scaled beyond memory.
    """
    found: list[Tensor] = []
    rows: list[int] = []
    grids: list[tuple[int, int]] = []
    sizes: list[tuple[int, int]] = []
    for index, pixels in enumerate(pictures(image)):
        size = (pixels.shape[0], pixels.shape[1])
        target = best_grid(*size, config.pinpoints)
        views = [scaled(pixels, config.size, config.size, config.resample), *cut(pixels, target, config)]
        found += [normalised(view, config.mean, config.std) for view in views]
        rows += [index] * len(views)
        grids.append((target[0] // config.size, target[1] // config.size))
        sizes.append(size)
    if not found:
        raise RunError(problem("E743", "there is no picture to cut into tiles", hint="give at least one"))
    device = image[0].device
    return {
        "tiles": torch.stack(found).to(device),
        "rows": torch.tensor(rows, device=device),
        "grids": torch.tensor(grids, device=device),
        "sizes": torch.tensor(sizes, device=device),
    }


def best_grid(height: int, width: int, grids: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """The grid [px] in which most pixels of the picture are left; of several, the one in which least is empty."""

    def fit(grid: tuple[int, int]) -> tuple[int, int]:
        scale = min(grid[1] / width, grid[0] / height)
        left = min(int(width * scale) * int(height * scale), width * height)
        return left, left - grid[0] * grid[1]

    return max(grids, key=fit)


def cut(pixels: Bytes, target: tuple[int, int], config: TilesConfig) -> list[Bytes]:
    """The tiles of a picture that is scaled into the grid and stands in its middle, on black."""
    size, (height, width) = config.size, target
    fitted = inside(pixels.shape[0], pixels.shape[1], target)
    whole = padded(scaled(pixels, *fitted, config.resample), height, width)
    corners = ((top, left) for top in range(0, height, size) for left in range(0, width, size))
    return [whole[top : top + size, left : left + size] for top, left in corners]


def inside(height: int, width: int, target: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a picture that just fits into the grid, rounded up."""
    across, down = target[1] / width, target[0] / height
    if across < down:
        return min(math.ceil(height * across), target[0]), target[1]
    return target[0], min(math.ceil(width * down), target[1])
