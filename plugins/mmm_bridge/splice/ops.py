"""The embeds of media among those of a text. Axes: b conversations, t places of the ids, s places of the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from mmm_bridge.splice.config import PrependConfig, SpliceConfig
from mmm_bridge.splice.places import Places, expanded, grown
from mmm_graph.errors import RunError, problem

Media: TypeAlias = Tensor | Sequence["Media"]
IGNORED = -100
"""The label of what is not learned."""


def splice(
    text: Tensor,
    index: Tensor,
    config: SpliceConfig,
    insert: Media | None = None,
    mask: Tensor | None = None,
    labels: Tensor | None = None,
) -> dict[str, Tensor | None]:
    """Put each medium in its place.

    Args:
        text: [b,t,d] embeds of the ids; at the places of media they are not looked at.
        index: [b,t] number of the medium whose place it is, from 0 over the whole batch; -1 = a token.
        insert: [m,l,d], or a list of m [l,d] with lengths of their own; or a list of such, which follow each other.
        mask: [b,t] false = padding; default: there is none.
        labels: [b,t] ids that are learned, or -100.

    Returns:
        embeds: [b,s,d]. mask: [b,s]. labels: [b,s], -100 over media and padding. positions: [b,s] counted without
        padding. spans: [m,3] conversation, first place in it and number of embeds of each medium. places: [b,t] where
        in the result each token of the ids stands; -1 for media and padding.

    Raises:
        RunError: E758, media and places do not belong together; E759, a medium has more or fewer places than embeds
            (`expanded`); E760, media of another width or form; E761, a conversation is longer than the context.
    """
    media = _as_list(insert, text)
    lengths = torch.tensor([len(each) for each in media], dtype=torch.int64)
    seen = torch.ones(index.shape, dtype=torch.bool) if mask is None else mask.bool().cpu()
    where = index.cpu()
    places = expanded(where, lengths, seen) if config.expanded else grown(where, lengths, seen, config.pad)
    _check_context(places, config.context)
    return _put(text, media, labels, places)


def prepend(
    text: Tensor,
    insert: Tensor,
    config: PrependConfig,
    mask: Tensor | None = None,
    labels: Tensor | None = None,
) -> dict[str, Tensor | None]:
    """Put a soft prompt before each text: as `splice` with a place for it in front.

    Args:
        text: [b,t,d]. insert: [b,n,d]. mask, labels: [b,t].

    Raises:
        RunError: E760, another number of prompts than of texts; E761.
    """
    batch, tokens = text.shape[:2]
    if len(insert) != batch:
        raise RunError(
            problem("E760", f"{len(insert)} soft prompts for {batch} texts", hint="one for each text")
        )
    index = torch.full((batch, tokens + 1), -1)
    index[:, 0] = torch.arange(batch)
    front = text.new_zeros(batch, 1, text.shape[2])
    seen = torch.ones(batch, tokens, dtype=torch.bool, device=text.device) if mask is None else mask.bool()
    found = splice(
        torch.cat([front, text], 1),
        index,
        SpliceConfig(pad=config.pad, context=config.context),
        insert,
        torch.cat([seen.new_ones(batch, 1), seen], 1),
        None if labels is None else torch.cat([labels.new_full((batch, 1), IGNORED), labels], 1),
    )
    del found["spans"]  # the whole batch has the same
    where = found["places"]
    assert where is not None
    return {**found, "places": where[:, 1:]}


def _as_list(insert: Media | None, text: Tensor) -> list[Tensor]:
    media = [] if insert is None else list(_each(insert))
    width = text.shape[-1]
    for i, each in enumerate(media):
        if each.ndim != 2 or each.shape[1] != width:
            message = f"medium {i} is {list(each.shape)}; expected embeds [l,{width}], as wide as the text's"
            raise RunError(problem("E760", message, hint="link embeds b l d of adaptors, or lists of l d"))
    return media


def _each(insert: Media) -> Iterator[Tensor]:
    """Media one by one: a tensor of three axes holds several."""
    if isinstance(insert, Tensor) and insert.ndim != 3:
        yield insert
    elif isinstance(insert, Tensor):
        yield from insert
    else:
        for each in insert:
            yield from _each(each)


def _check_context(places: Places, context: int | None) -> None:
    totals = places.filled.sum(1)
    if context is None or int(totals.max()) <= context:
        return
    row = int(totals.argmax())
    total = int(totals[row])
    its = places.spans[places.spans[:, 0] == row]
    message = (
        f"conversation {row} has {total} tokens, {total - context} more than the context of {context}; "
        f"{int(its[:, 2].sum())} of them are of media ({len(its)} in all)"
    )
    raise RunError(
        problem("E761", message, hint="shorten it, leave media out, or take an adaptor with fewer tokens")
    )


def _put(
    text: Tensor, media: Sequence[Tensor], labels: Tensor | None, places: Places
) -> dict[str, Tensor | None]:
    batch, device = len(text), text.device
    kept, tokens = places.kept.to(device), places.tokens.to(device)
    mask = places.filled.to(device)
    embeds = text.new_zeros(batch * places.length, text.shape[2]).index_copy(0, tokens, text[kept])
    if media:
        visual = torch.cat([each.to(device, text.dtype) for each in media])
        embeds = embeds.index_copy(0, places.media.to(device), visual)
    moved = None
    if labels is not None:
        moved = labels.new_full((batch * places.length,), IGNORED).index_copy(0, tokens, labels[kept])
        moved = moved.view(batch, -1).masked_fill(~mask, IGNORED)
    return {
        "embeds": embeds.view(batch, places.length, -1),
        "mask": mask,
        "labels": moved,
        "positions": (mask.cumsum(1) - 1).clamp(min=0),
        "spans": places.spans.to(device),
        "places": _moved(places).to(device),
    }


def _moved(places: Places) -> Tensor:
    """Where each token went, [b,t]; -1 = it is padding, or the place of a medium."""
    seen = places.filled.flatten()[places.tokens]
    moved = torch.full(places.kept.shape, -1, dtype=torch.int64)
    moved[places.kept] = torch.where(seen, places.tokens % places.length, -1)
    return moved
