"""Where the tokens of a piece of an image lie in the whole one."""

from __future__ import annotations

import torch

from mmm_graph.parallel.exchange import SINGLE, Positions, Where


def positions(at: Where, grid: tuple[int, int], device: torch.device) -> Positions:
    """Global positions of a local grid of (rows, columns), for the rows that `at` says are here.

    Args:
        grid: rows and columns of tokens here; the rows stand for those of the own span, at any resolution.

    Raises:
        ValueError: the own span does not begin, or the image does not end, at a whole row of tokens.
    """
    if not at.spans:
        return SINGLE.positions(grid, device)
    rows, width = grid
    first, last = at.spans[at.member]
    offset, height = _scaled(first, rows, last - first), _scaled(at.total, rows, last - first)
    return Positions(
        torch.arange(offset, offset + rows, device=device), torch.arange(width, device=device), height, width
    )


def _scaled(row: int, rows: int, span: int) -> int:
    """`row` of the input in rows of tokens, `rows` of which stand for `span`."""
    scaled, rest = divmod(row * rows, span)
    if rest:
        raise ValueError(
            f"row {row} of the input is inside a token: {rows} rows of tokens stand for {span} rows"
        )
    return scaled
