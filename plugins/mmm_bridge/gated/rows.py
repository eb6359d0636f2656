"""Which media belong to which row of a batch, and which a token sees. Axes: b rows, t tokens, j media of a row."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem


class Rows(NamedTuple):
    """Media of the rows of a batch.

    Attributes:
        numbers: [b,j], of the media of each row; what is beyond its own is any.
        own: [b], how many are its own.
        seen: [b,t,j], True where a token sees a medium.
        last: [b], place of the last one of each row; any where there is none.
    """

    numbers: Tensor
    own: Tensor
    seen: Tensor
    last: Tensor


def find_rows(media_index: Tensor, num_media: int, which: Literal["last", "all"]) -> Rows:
    """Rows of a batch whose media are numbered through, in order.

    Args:
        media_index: [b,t], the number of the medium whose place it is; -1 for text.
        num_media: how many were given.
        which: of the media up to a token it sees the last one, or all.

    Raises:
        RunError: E758, places for more media than were given, or numbers that do not follow each other.

    Fewer places than media are no error: a rank may have some of the rows, and has all media.
    """
    here = media_index >= 0
    newest = media_index.cummax(1).values  # b t, -1 before the first
    first = torch.where(here, media_index, media_index.max() + 1).amin(1)
    count = newest[:, -1] - first + 1
    before = torch.cat([torch.full_like(newest[:, :1], -1), newest[:, :-1]], dim=1)
    distinct = (media_index > before).sum(1)
    count = torch.where(distinct > 0, count, 0)
    most, total, ordered = (int(x) for x in (count.max(), newest.max() + 1, (count == distinct).all()))
    if total > num_media:
        message = f"the texts have places for {total} media, {num_media} were given"
        raise RunError(problem("E758", message, hint="give as many as there are places, in their order"))
    if not ordered:
        message = "the media of a text are not numbered one after the other"
        raise RunError(
            problem("E758", message, hint="media_index counts the media of a batch row by row, from 0")
        )
    places = torch.arange(most, device=media_index.device)
    index = (first[:, None] + places).clamp(max=max(num_media - 1, 0))
    own = (newest - first[:, None])[..., None]  # number within its row of the newest medium: b t 1
    some = newest[..., None] >= 0
    seen = some & (places == own if which == "last" else places <= own)
    return Rows(index, count, seen, (count - 1).clamp(min=0))
