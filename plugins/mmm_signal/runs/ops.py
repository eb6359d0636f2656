"""Signals in ids, and the states at their places. Axes: b answers, t places of ids, s of states, r signals, l tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_signal.runs.config import FindConfig


def find(
    ids: Tensor,
    config: FindConfig,
    tokenizer: Any,
    mask: Tensor | None = None,
    places: Tensor | None = None,
) -> dict[str, Any]:
    """Signals: all tokens of one, in their order, one directly after the other.

    Whatever else there is of these tokens is no signal. It is left out, and `report` says so; it is never completed, since
    the states of tokens that were not there cannot be known.

    Args:
        ids: [b,t] that were generated or are to be learnt; -100 and others that are no tokens may stand among them.
        tokenizer: has `signals`, the ids of each run by kind.
        mask: [b,t] false = no token.
        places: [b,t] where each token stands among the states; default: where it stands in the ids.

    Returns:
        rows: [r] whose signal each is, in order, several of one answer one after the other. places: [r,l]. report: for
        each answer "", or what is no signal in it.

    Raises:
        RunError: E782, the tokenizer has no such signals; E783, a token of a signal has no place.
    """
    run = _run_of(tokenizer, config.kind)
    rows, starts = _starts(ids, run, mask)
    columns = starts[:, None] + torch.arange(len(run), device=ids.device)  # r l
    stray = _stray(ids, run, mask, rows, columns)
    nth = torch.arange(len(rows), device=ids.device) - torch.searchsorted(rows, rows)
    keep = nth < config.limit
    over = torch.bincount(rows[~keep], minlength=len(ids))
    rows, columns = rows[keep], columns[keep]
    where = columns if places is None else places[rows[:, None], columns]
    if bool((where < 0).any()):
        row = int(rows[(where < 0).any(1)][0])
        message = f"answer {row}: a token of a signal for {config.kind} has no place among the embeds"
        raise RunError(problem("E783", message, hint="link `places` of the embeds.splice that read these ids"))
    return {"rows": rows, "places": where, "report": _reports(stray, over, config)}


def states(hidden: Tensor, rows: Tensor, places: Tensor, embeds: Tensor | None = None) -> Tensor:
    """Hidden states at the places of signals, and what went in there added: [r,l,d].

    Args:
        hidden: [b,s,d]. embeds: [b,s,d], of the same places. rows: [r], places: [r,l], of `find`.

    Raises:
        RunError: E783, a place that the states do not have, or embeds of other places.
    """
    hint = "states, embeds and ids must be of the same places: link `places` of embeds.splice where media were put in"
    if embeds is not None and embeds.shape != hidden.shape:
        message = f"hidden is {list(hidden.shape)} and embeds {list(embeds.shape)}"
        raise RunError(problem("E783", message, hint=hint))
    if places.numel() and int(places.max()) >= hidden.shape[1]:
        message = f"a signal stands at place {int(places.max())}, and there are {hidden.shape[1]} states"
        raise RunError(problem("E783", message, hint=hint))
    at = rows[:, None].to(hidden.device), places.to(hidden.device)
    return hidden[at] if embeds is None else hidden[at] + embeds[at]


def _run_of(tokenizer: Any, kind: str) -> tuple[int, ...]:
    run: Sequence[int] = getattr(tokenizer, "signals", {}).get(kind, ())
    if not run:
        message = f"the tokenizer has no signals for {kind}"
        raise RunError(problem("E782", message, hint=f"set signals: {{{kind}: ...}} in its config"))
    return tuple(run)


def _starts(ids: Tensor, run: Sequence[int], mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Rows and columns [r] where a whole run begins."""
    count = ids.shape[1] - len(run) + 1
    if count < 1:
        empty = torch.zeros(0, dtype=torch.int64, device=ids.device)
        return empty, empty
    whole = torch.ones(len(ids), count, dtype=torch.bool, device=ids.device)
    for i, token in enumerate(run):
        whole &= ids[:, i : i + count] == token
        if mask is not None:
            whole &= mask[:, i : i + count].bool()
    rows, starts = torch.nonzero(whole, as_tuple=True)
    return rows, starts


def _stray(
    ids: Tensor, run: Sequence[int], mask: Tensor | None, rows: Tensor, columns: Tensor
) -> list[list[int]]:
    """For each answer the places of signal tokens that are in no whole run."""
    left = torch.isin(ids, torch.tensor(run, device=ids.device))
    if mask is not None:
        left &= mask.bool()
    left[rows[:, None], columns] = False
    found: list[list[int]] = [[] for _ in ids]
    for row, column in torch.nonzero(left).tolist():
        found[row].append(column)
    return found


def _reports(stray: Sequence[Sequence[int]], over: Tensor, config: FindConfig) -> list[str]:
    """In words."""
    found = []
    for places, more in zip(stray, over.tolist(), strict=True):
        said = []
        if places:
            at = ", ".join(map(str, places[:8])) + (", ..." if len(places) > 8 else "")
            said.append(f"signal tokens for {config.kind} that make no whole signal, at {at}")
        if more:
            said.append(f"{more} signals for {config.kind} more than the limit of {config.limit}")
        found.append("; ".join(said))
    return found
