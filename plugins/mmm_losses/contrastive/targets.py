"""Which of a batch belong together, and the cross entropy of similarities. Axes: b batch, r own rows of it."""

from __future__ import annotations

import torch
from torch import Tensor

from mmm_losses.numbers import mean_of

ALL = slice(None)


def own_rows(local: bool, own: slice | None) -> slice:
    """The rows whose loss this rank takes."""
    return own if local and own is not None else ALL


def belonging(ids: Tensor | None, others: Tensor | None, count: int, device: torch.device) -> Tensor:
    """[b,b], true where row i and column j belong together: i = j, or their ids are equal.

    Args:
        ids: [b] of the rows. None: only i = j.
        others: [b] of the columns; None: those of the rows.
    """
    same = torch.eye(count, dtype=torch.bool, device=device)
    if ids is None:
        return same
    columns = ids if others is None else others
    return same | (ids.to(device)[:, None] == columns.to(device)[None])


def cross_entropy(logits: Tensor, together: Tensor, rows: slice, repeats: str, smoothing: float) -> Tensor:
    """Mean over rows of -sum(target * log softmax(logits)).

    Args:
        logits: [r,b], rows `rows` of the whole.
        together: [b,b], of all rows.
        repeats: positives: the target is even over all that belong together; mask: what belongs together
            but i = j is left out of the sum in the denominator too.
        smoothing: share of the target that is even over all that are left in.

    Source: Khosla et al. 2020 (arXiv:2004.11362), eq. 2, without self pairs; Li et al. 2023 (arXiv:2301.12597) as
    released for the smoothed targets.
    """
    pairs = together[rows]
    if repeats == "mask":
        paired = torch.eye(len(together), dtype=torch.bool, device=together.device)[rows]
        out = pairs & ~paired
        right = paired.to(logits.dtype)
    else:
        out = torch.zeros_like(pairs)
        right = pairs / pairs.sum(1, keepdim=True).to(logits.dtype)
    even = ~out / (~out).sum(1, keepdim=True).to(logits.dtype)
    target = (1 - smoothing) * right + smoothing * even
    chances = logits.masked_fill(out, -torch.inf).log_softmax(1).masked_fill(out, 0.0)
    return mean_of(-(target * chances).sum(1))
