"""Around a decoding loop: where it begins, which token it takes, when it ends. Axes: b batch, t tokens, v words."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmm_generate import config as c
from mmm_generate.processors import end_ids, pad_of
from mmm_graph.errors import RunError, problem
from mmm_graph.nn.noise import Noise


def room(config: c.RoomConfig) -> int:
    """How many tokens may follow a prompt."""
    return config.tokens


def prefix_cache(config: c.PrefixConfig) -> int:
    """MiB for keys and values of prompts."""
    return config.mib


def next_place(at: int) -> int:
    """The place after this one."""
    return at + 1


def begin(logits: Tensor, ids: Tensor | None) -> dict[str, Any]:
    """Nothing is done yet: done [b] False, ids [b,t] of the prompt (t = 0 without them) and their number."""
    batch = logits.shape[0]
    if ids is None:
        ids = torch.zeros(batch, 0, dtype=torch.int64, device=logits.device)
    done = torch.zeros(batch, dtype=torch.bool, device=logits.device)
    return {"done": done, "ids": ids, "length": ids.shape[1]}


def pick(logits: Tensor, config: c.PickConfig, noise: Noise) -> dict[str, Tensor]:
    """id [b,1] and its log-probability [b,1] (float32) under the logits as they are now.

    Raises:
        RunError: E765, a row has no finite largest logit.
    """
    logits = logits.float()
    best, ids = logits.max(-1, keepdim=True)
    if not bool(torch.isfinite(best).all()):
        rows = [i for i, good in enumerate(torch.isfinite(best[:, 0]).tolist()) if not good]
        message = f"row {rows[0]} has no likeliest token: its largest logit is {float(best[rows[0], 0])}"
        hint = "NaN: weights that are not finite, or too narrow a dtype; -inf: processors that leave no token"
        raise RunError(problem("E765", message, hint=hint))
    if config.sample:
        ids = _draw(logits, noise)
    logprob = logits.gather(-1, ids) - logits.logsumexp(-1, keepdim=True)
    return {"id": ids, "logprob": logprob}


def _draw(logits: Tensor, noise: Noise) -> Tensor:
    """One token of each row by one number in [0, 1): the first whose cumulated probability is above it."""
    cumulated = logits.double().softmax(-1).cumsum(-1)
    point = noise.uniform((), dtype=torch.float64, device=logits.device)[:, None] * cumulated[:, -1:]
    return torch.searchsorted(cumulated, point, right=True).clamp(max=logits.shape[-1] - 1)


def stop(
    id: Tensor, done: Tensor, left: int, ids: Tensor, config: c.StopConfig, tokenizer: Any = None
) -> dict[str, Any]:
    """Which answers end with this token.

    Returns:
        id [b,1]: padding for answers that have ended before; mask [b,1]: True for those that had not; ids [b,t+1]; done
        [b]; left: how many tokens may still follow; more: some answer goes on; over: none does.
    """
    ends = end_ids(config.ids, tokenizer)
    mask = ~done[:, None]
    id = torch.where(mask, id, pad_of(config.pad_id, tokenizer))
    for end in ends:
        done = done | (id[:, 0] == end)
    over = left <= 1 or bool(done.all())
    ids = torch.cat([ids, id], 1)
    return {
        "id": id,
        "mask": mask,
        "ids": ids,
        "done": done,
        "left": left - 1,
        "more": not over,
        "over": over,
    }


def stop_text(
    ids: Tensor, done: Tensor, left: int, prompt: int, config: c.StopTextConfig, tokenizer: Any
) -> dict[str, Any]:
    """Answers that contain one of the stop texts are done too; `prompt`: tokens of ids before the answers."""
    going = [i for i, ended in enumerate(done.tolist()) if not ended]
    if going:
        # a stop text may begin in the middle of a token: as many tokens as it has characters always hold it
        longest = max(map(len, config.stop))
        texts = tokenizer.decode(ids[going, max(prompt, ids.shape[1] - longest) :])
        found = [i for i, text in zip(going, texts, strict=True) if any(s in text for s in config.stop)]
        done = done.clone()
        done[found] = True
    over = left < 1 or bool(done.all())
    return {"done": done, "more": not over, "over": over}
