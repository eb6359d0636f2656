"""Padding of texts -> positions, and what is added to the scores of causal attention."""

from __future__ import annotations

import torch
from torch import Tensor


def count_positions(mask: Tensor | None, length: int, device: torch.device) -> Tensor:
    """Positions [b or 1, t] that do not count padding: a text has the same ones wherever it stands in its row.

    Args:
        mask: [b,t], True = a token; None: all are.
        length: t.
    """
    if mask is None:
        return torch.arange(length, device=device)[None]
    return (mask.bool().long().cumsum(-1) - 1).clamp(min=0)


def causal_bias(mask: Tensor | None, length: int, like: Tensor, window: int | None = None) -> Tensor | None:
    """0 where a query may see a key and -inf elsewhere, [b or 1, 1, t, t], in the dtype of `like`; None = all before.

    A token sees itself whatever the mask says, so that padding stays finite.

    Args:
        mask: [b,t], True = a token; None: all are.
        window: a token sees so many, itself included; None: all before.
    """
    if window is not None and window >= length:
        window = None
    if mask is None and window is None:
        return None
    places = torch.arange(length, device=like.device)
    apart = places[:, None] - places  # t t, how far the key is behind the query
    seen = apart >= 0 if window is None else (apart >= 0) & (apart < window)
    allowed = seen[None] if mask is None else (mask.bool()[:, None] & seen) | (apart == 0)
    return _bias(allowed, like)[:, None]


def key_bias(mask: Tensor, room: int, like: Tensor) -> Tensor:
    """`causal_bias` of tokens that follow, over `room` places of which the first are those of the mask: b 1 1 T."""
    after = mask.new_ones(mask.shape[0], room - mask.shape[1], dtype=torch.bool)
    return _bias(torch.cat([mask.bool(), after], 1), like)[:, None, None]


def _bias(allowed: Tensor, like: Tensor) -> Tensor:
    return torch.zeros(allowed.shape, dtype=like.dtype, device=like.device).masked_fill_(~allowed, -torch.inf)
