"""logits [b,v], ids [b,t] of prompt (if they were linked) and answer so far -> logits [b,v]; -inf is never picked.

Formulas as transformers' generation has them (generation/logits_process.py). Axes: b batch, t tokens, v vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmm_generate import config as c

NEVER = float("-inf")


def temperature(logits: Tensor, ids: Tensor, config: c.TemperatureConfig) -> Tensor:
    """Flatter above 1, sharper below."""
    return logits / config.temperature


def top_k(logits: Tensor, ids: Tensor, config: c.TopKConfig) -> Tensor:
    """Keep the k likeliest; tokens as likely as the last of them stay too. Fan et al. 2018 (arXiv:1805.04833)."""
    least = logits.topk(min(config.k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < least, NEVER)


def top_p(logits: Tensor, ids: Tensor, config: c.TopPConfig) -> Tensor:
    """Keep the likeliest tokens that together have probability p. Holtzman et al. 2020 (arXiv:1904.09751)."""
    ordered, order = logits.sort(descending=False)
    below = ordered.softmax(-1).cumsum(-1) <= 1 - config.p
    below[..., -1] = False
    return logits.masked_fill(below.scatter(-1, order, below), NEVER)


def min_p(logits: Tensor, ids: Tensor, config: c.MinPConfig) -> Tensor:
    """Keep tokens at least p times as likely as the likeliest. Nguyen et al. 2024 (arXiv:2407.01082)."""
    shares = logits.softmax(-1)
    return logits.masked_fill(shares < config.p * shares.amax(-1, keepdim=True), NEVER)


def repetition_penalty(logits: Tensor, ids: Tensor, config: c.PenaltyConfig) -> Tensor:
    """Logits of tokens that are there already: divided if positive, else multiplied. Keskar et al. 2019."""
    seen = logits.gather(1, ids)
    return logits.scatter(1, ids, torch.where(seen < 0, seen * config.penalty, seen / config.penalty))


def no_repeat_ngram(logits: Tensor, ids: Tensor, config: c.NgramConfig) -> Tensor:
    """No token that would end a sequence of `size` tokens that is there already. Paulus et al. 2017 (1705.04304)."""
    size, length = config.size, ids.shape[1]
    if length < size:
        return logits
    windows = ids.unfold(1, size, 1)  # b t-size+1 size
    tail = ids[:, length - size + 1 :]
    again = (windows[..., :-1] == tail[:, None]).all(-1)  # b t-size+1
    banned = torch.zeros_like(logits, dtype=torch.int64).scatter_add(1, windows[..., -1], again.long())
    return logits.masked_fill(banned > 0, NEVER)


def min_tokens(
    logits: Tensor, ids: Tensor, prompt: int, config: c.MinTokensConfig, tokenizer: Any = None
) -> Tensor:
    """No end before so many new tokens; `prompt`: tokens of ids that are not new."""
    ends = sorted(end_ids(config.ids, tokenizer))
    if ids.shape[1] - prompt >= config.tokens or not ends:
        return logits
    return logits.index_fill(1, torch.tensor(ends, device=logits.device), NEVER)


def suppress(logits: Tensor, ids: Tensor, config: c.SuppressConfig) -> Tensor:
    """Some tokens are never picked."""
    return logits.index_fill(1, torch.tensor(config.ids, device=logits.device), NEVER)


def pad_of(own: int | None, tokenizer: Any) -> int:
    """What stands after the end of an answer: the id that is given, else the tokenizer's padding, else 0."""
    known = own if own is not None else getattr(tokenizer, "pad_id", None)
    return 0 if known is None else int(known)


def end_ids(own: tuple[int, ...], tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: those given, and the tokenizer's end of text."""
    return frozenset(own) | frozenset(getattr(tokenizer, "end_ids", ()) if tokenizer is not None else ())
