"""Beam search as ops of a decoding loop. Axes: b prompts, k beams, r = b k rows, n new tokens, v vocabulary.

Scores and the rules of when to stop are those of `_beam_search` of transformers (generation/utils.py): answers agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mmm_generate import config as c
from mmm_generate.processors import end_ids, pad_of

NEVER = -1e9
"""Added to scores that may not win; finite, so that order among them is kept."""


@dataclass(frozen=True)
class Beams:
    """What a beam search knows between two turns.

    Attributes:
        scores: [b,k] sums of log-probabilities of the beams that go on, best first.
        ids: [b,k,n] their new tokens.
        done_scores: [b,k] of the best finished answers, length penalty included.
        done_ids: [b,k,n] their tokens, padded.
        lengths: [b,k] how many of these tokens there are.
        is_done: [b,k] whether there is such an answer.
        can_improve: [b] whether a beam that goes on may still beat them.
    """

    scores: Tensor
    ids: Tensor
    done_scores: Tensor
    done_ids: Tensor
    lengths: Tensor
    is_done: Tensor
    can_improve: Tensor


def spread(x: Any, config: c.BeamsConfig) -> Any:
    """Each row of a batch so many times, one after the other: b ... -> r ..."""
    if isinstance(x, Tensor):
        return x.repeat_interleave(config.num_beams, 0)
    return [row for row in x for _ in range(config.num_beams)]


def begin(logits: Tensor, config: c.BeamsConfig) -> Beams:
    """All beams are alike at first: only the first may win, else the same answer would fill them all."""
    rows, k = logits.shape[0], config.num_beams
    shape, device = (rows // k, k), logits.device
    scores = torch.zeros(shape, device=device)
    scores[:, 1:] = NEVER
    nothing = torch.zeros(*shape, 0, dtype=torch.int64, device=device)
    none = torch.zeros(shape, dtype=torch.bool, device=device)
    lengths = torch.zeros(shape, dtype=torch.int64, device=device)
    can_improve = torch.ones(shape[0], dtype=torch.bool, device=device)
    return Beams(
        scores, nothing, torch.full(shape, NEVER, device=device), nothing, lengths, none, can_improve
    )


def log_softmax(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities in float32: what the scores of beams are sums of."""
    return logits.float().log_softmax(-1)


def advance(
    logits: Tensor, state: Beams, left: int, ids: Tensor, config: c.BeamsConfig, tokenizer: Any = None
) -> dict[str, Any]:
    """One token more for each beam.

    Args:
        logits: [r,v] log-probabilities of the next token.
        left: how many tokens may still be made, this one included.
        ids: [r,t] prompt and answer so far.

    Returns:
        state; id [r,1] the new token of each row, order [r] the row that it follows; ids [r,t+1]; left; more, over.
    """
    k, v = config.num_beams, logits.shape[-1]
    ends = sorted(end_ids(config.stop_ids, tokenizer))
    total = (logits.view(-1, k, v) + state.scores[..., None]).flatten(1)  # b k*v
    top, index = total.topk(max(2, 1 + len(ends)) * k)  # enough to go on even if the best of them all end
    beam, token = index // v, index % v
    made = torch.cat([_rows(state.ids, beam), token[..., None]], -1)
    ended = torch.isin(token, torch.tensor(ends, dtype=torch.int64, device=token.device)) | (left <= 1)
    state = _finish(state, top, made, ended, config)
    alive = top + ended * NEVER
    best = alive.topk(k).indices
    state = replace(state, scores=alive.gather(1, best), ids=_rows(made, best))
    state = replace(state, can_improve=state.can_improve & _may_win(state, left - 1, config))
    ends_now = ~state.can_improve.any() | ended.all()
    if config.early_stopping is True:
        ends_now = ends_now | state.is_done.all()
    over = bool(ends_now)  # the device is waited for once
    rows = torch.arange(len(beam), device=beam.device)[:, None] * k
    order = (rows + beam.gather(1, best)).flatten()
    id = state.ids[..., -1:].flatten(0, 1)
    ids = torch.cat([ids[order], id], 1)
    return {
        "state": state,
        "id": id,
        "order": order,
        "ids": ids,
        "left": left - 1,
        "more": not over,
        "over": over,
    }


def _finish(state: Beams, top: Tensor, made: Tensor, ended: Tensor, config: c.BeamsConfig) -> Beams:
    """Beams that end now take the places of worse answers."""
    k, length = config.num_beams, made.shape[-1]
    first = torch.arange(top.shape[1], device=top.device) < k  # the others are there to go on only
    score = top / length**config.length_penalty
    closed = (state.is_done.all(1) & (config.early_stopping is True)) | ~state.can_improve
    score = score + closed[:, None] * NEVER + ~(ended & first) * NEVER
    scores = torch.cat([state.done_scores, score], 1)
    best = scores.topk(k).indices
    old = torch.nn.functional.pad(state.done_ids, (0, length - state.done_ids.shape[-1]), value=0)
    lengths = torch.cat([state.lengths, torch.full_like(top, length, dtype=torch.int64)], 1)
    done = torch.cat([state.is_done, ended & first], 1)
    return replace(
        state,
        done_scores=scores.gather(1, best),
        done_ids=_rows(torch.cat([old, made], 1), best),
        lengths=lengths.gather(1, best),
        is_done=done.gather(1, best),
    )


def _may_win(state: Beams, left: int, config: c.BeamsConfig) -> Tensor:
    """[b] Whether the best beam that goes on could still beat the worst finished answer."""
    length = state.ids.shape[-1]
    if config.early_stopping == "never" and config.length_penalty > 0:
        length += left
    possible = state.scores[:, :1] / length**config.length_penalty
    worst = torch.where(state.is_done, state.done_scores.amin(1, keepdim=True), NEVER)
    return (possible > worst).any(1)


def best(state: Beams, config: c.PadConfig, tokenizer: Any = None) -> dict[str, Tensor]:
    """The best answer of each prompt: ids [b,n], padded; mask [b,n]; score [b]."""
    lengths = state.lengths[:, 0]
    longest = int(lengths.max())
    mask = torch.arange(longest, device=lengths.device) < lengths[:, None]
    ids = torch.where(mask, state.done_ids[:, 0, :longest], pad_of(config.pad_id, tokenizer))
    return {"ids": ids, "mask": mask, "score": state.done_scores[:, 0]}


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """x [b,k,n] at index [b,j] -> [b,j,n]."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
