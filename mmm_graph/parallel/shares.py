"""Cutting a number of things into shares."""

from __future__ import annotations

from itertools import pairwise


def shares(total: int, size: int) -> list[tuple[int, int]]:
    """Half-open intervals of `total` things for each of `size`, as even as they can be, the larger ones first."""
    least, more = divmod(total, size)
    return list(pairwise(index * least + min(index, more) for index in range(size + 1)))
