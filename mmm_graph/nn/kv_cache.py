"""Keys and values of the tokens so far: one tensor a block, made once, written in place. Axes: 2 b m T k.

m heads of keys and values, T tokens that there is room for.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem


def make_cache(like: Tensor, heads: int, head_dim: int, room: int) -> Tensor:
    """Room for so many tokens, with the batch, dtype and device of `like` [b,t,d]; zeros as yet."""
    return torch.zeros(2, like.shape[0], heads, room, head_dim, dtype=like.dtype, device=like.device)


def write(cache: Tensor, keys: Tensor, values: Tensor, at: int) -> None:
    """Put keys and values [b,t,m,k] at the places at .. at + t."""
    places = cache.narrow(3, at, keys.shape[1])
    for i, new in enumerate((keys, values)):
        places.select(0, i).copy_(new.transpose(1, 2))


def view(cache: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Keys and values of the places start .. stop, [b,m,t,k] each; nothing is copied."""
    keys, values = cache.narrow(3, start, stop - start).unbind(0)
    return keys, values


def reorder(cache: Tensor, rows: Tensor, stop: int) -> None:
    """Each row of the batch becomes what row `rows[i]` was, up to the place `stop`."""
    here = cache.narrow(3, 0, stop)
    here.copy_(here.index_select(1, rows))


def reorder_rows(tensors: Iterable[Tensor], rows: Tensor) -> None:
    """Each row of tensors [b,...] becomes what row `rows[i]` was."""
    for each in tensors:
        each.copy_(each[rows])


def check_room(cache: Tensor, stop: int) -> None:
    """Refuse tokens beyond its end.

    Raises:
        RunError: E750.
    """
    if stop > cache.shape[3]:
        what = f"a token at the place {stop - 1} of a cache that has room for {cache.shape[3]}"
        raise RunError(problem("E750", what, hint="give prefill more `room`"))
