"""Which place each token and each embed of a medium gets. Axes: b conversations, t places of the ids, m media."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmm_bridge.splice.config import Side
from mmm_graph.errors import RunError, problem

HINT = "each medium has exactly one place, numbered from 0 over the whole batch"


@dataclass(frozen=True)
class Places:
    """Where everything goes, on the CPU. Places of the result are counted over all conversations, row after row.

    Attributes:
        length: places of each conversation in the result.
        kept: [b,t] true for the tokens that stay.
        tokens: place of each kept token, in their order.
        media: place of each embed, medium after medium.
        filled: [b,length] true where there is a token or an embed.
        spans: [m,3] conversation, first place in it, and number of embeds of each medium.
    """

    length: int
    kept: Tensor
    tokens: Tensor
    media: Tensor
    filled: Tensor
    spans: Tensor


def grown(index: Tensor, lengths: Tensor, mask: Tensor, pad: Side) -> Places:
    """The places where each medium takes as many as it has embeds, and padding is put on one side.

    Args:
        index: [b,t] number of the medium whose place it is; -1 = a token of the text.
        lengths: [m] embeds of each medium.
        mask: [b,t] false = padding.

    Raises:
        RunError: E758, media and places do not belong together.
    """
    spots = _find_media(index, mask, len(lengths))
    is_medium = index >= 0
    widths = torch.where(is_medium, lengths[index] if len(lengths) else 1, 1) * mask
    ends = widths.cumsum(1)
    totals = ends[:, -1:]
    length = int(totals.max())
    offset = length - totals if pad == "left" else torch.zeros_like(totals)
    starts = ends - widths + offset
    kept = mask & ~is_medium
    rows = torch.arange(len(index)).unsqueeze(1) * length
    first = starts[spots[:, 0], spots[:, 1]]
    spans = torch.stack([spots[:, 0], first, lengths], 1)
    column = torch.arange(length)
    filled = (column >= offset) & (column < totals + offset)
    return Places(length, kept, (rows + starts)[kept], _run(spans, length), filled, spans)


def expanded(index: Tensor, lengths: Tensor, mask: Tensor) -> Places:
    """The places where each embed of a medium has one in the ids already. Arguments as of `grown`.

    Raises:
        RunError: E758, a medium that was not given; E759, it has more or fewer places than embeds.
    """
    length = index.shape[1]
    _refuse_unknown(index, len(lengths))
    spans = (
        torch.stack([_span(index, i, int(count)) for i, count in enumerate(lengths)])
        if len(lengths)
        else None
    )
    flat = index.flatten()
    places = torch.nonzero(flat >= 0)[:, 0]
    media = places[flat[places].argsort(stable=True)]
    kept = index < 0
    tokens = torch.nonzero(kept.flatten())[:, 0]
    return Places(
        length, kept, tokens, media, mask, torch.zeros(0, 3, dtype=torch.int64) if spans is None else spans
    )


def _find_media(index: Tensor, mask: Tensor, count: int) -> Tensor:
    """[m,2], conversation and place of each medium."""
    _refuse_unknown(index, count)
    rows, columns = torch.nonzero(index >= 0, as_tuple=True)
    numbers = index[rows, columns]
    hidden = ~mask[rows, columns]
    if bool(hidden.any()):
        row, number = int(rows[hidden][0]), int(numbers[hidden][0])
        raise RunError(
            problem("E758", f"conversation {row}: the place of medium {number} is padding", hint=HINT)
        )
    times = torch.bincount(numbers, minlength=count)
    if bool((times > 1).any()):
        number = int(torch.nonzero(times > 1)[0, 0])
        where = ", ".join(str(int(row)) for row in rows[numbers == number])
        message = f"medium {number} has {int(times[number])} places, in the conversations {where}"
        raise RunError(problem("E758", message, hint=HINT))
    if bool((times == 0).any()):
        lost = [str(int(i)) for i in torch.nonzero(times == 0)[:, 0]]
        have = ", ".join(f"conversation {i}: {int(n)}" for i, n in enumerate((index >= 0).sum(1)))
        message = f"{count} media were given, but there are places for {len(numbers)} ({have}); "
        raise RunError(problem("E758", f"{message}none for medium {', '.join(lost)}", hint=HINT))
    order = numbers.argsort()
    return torch.stack([rows[order], columns[order]], 1)


def _refuse_unknown(index: Tensor, count: int) -> None:
    wrong = torch.nonzero((index >= count) | (index < -1))
    if len(wrong):
        row, column = (int(i) for i in wrong[0])
        number = int(index[row, column])
        message = f"conversation {row}, place {column}: there is no medium {number}; {count} were given"
        raise RunError(problem("E758", message, hint=HINT))


def _span(index: Tensor, number: int, count: int) -> Tensor:
    rows, columns = torch.nonzero(index == number, as_tuple=True)
    owners = sorted(set(rows.tolist()))
    if len(rows) != count or len(owners) > 1:
        where = ", ".join(f"conversation {row}" for row in owners) or "no conversation"
        message = f"{where}: medium {number} has {len(rows)} places, but {count} embeds"
        hint = (
            "the processor and the adaptor must agree on the tokens of an image, and nothing may be cut off"
        )
        raise RunError(problem("E759", message, hint=hint))
    return torch.stack([rows[0], columns[0], torch.tensor(count)])


def _run(spans: Tensor, length: int) -> Tensor:
    """Places of all embeds, medium after medium."""
    counts = spans[:, 2]
    firsts = spans[:, 0] * length + spans[:, 1]
    within = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    return firsts.repeat_interleave(counts) + within
