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


def counts_texts(mask: Tensor) -> bool:
    """Whether a mask tells the texts of a row apart: whole numbers above 1."""
    return mask.dtype != torch.bool and not mask.is_floating_point() and int(mask.max()) > 1


def causal_bias(
    mask: Tensor | None, length: int, like: Tensor, window: int | None = None, start: int = 0
) -> Tensor | None:
    """0 where a query may see a key and -inf elsewhere, [b or 1, 1, t - start, t], in the dtype of `like`.

    None: each of several tokens from the first on sees all before it, and so does the last one by itself.

    A token sees itself whatever the mask says, so that padding stays finite.

    Args:
        mask: [b,t], True = a token; None: all are. Whole numbers: the text in the row that a token is of, 0 = none.
        length: t.
        window: a token sees so many, itself included; None: all before.
        start: place of the first query.
    """
    if window is not None and window >= length:
        window = None
    if mask is None and window is None and (start == 0 or length - start == 1):
        return None
    places = torch.arange(length, device=like.device)
    apart = places[start:, None] - places  # t-start t, how far the key is behind the query
    seen = apart >= 0 if window is None else (apart >= 0) & (apart < window)
    allowed = seen[None] if mask is None else (_same_text(mask, start) & seen) | (apart == 0)
    return _bias(allowed, like)[:, None]


def _same_text(mask: Tensor, start: int) -> Tensor:
    """[b, t - start or 1, t]: the key is a token, and where texts are counted, of the query's text."""
    keys = mask.bool()[:, None]
    return keys & (mask[:, start:, None] == mask[:, None]) if counts_texts(mask) else keys


def key_bias(mask: Tensor, room: int, like: Tensor) -> Tensor:
    """`causal_bias` of tokens that follow, over `room` places of which the first are those of the mask: b 1 1 T."""
    after = mask.new_ones(mask.shape[0], room - mask.shape[1], dtype=torch.bool)
    return _bias(torch.cat([mask.bool(), after], 1), like)[:, None, None]


def _bias(allowed: Tensor, like: Tensor) -> Tensor:
    return torch.zeros(allowed.shape, dtype=like.dtype, device=like.device).masked_fill_(~allowed, -torch.inf)
