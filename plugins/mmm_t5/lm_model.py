"""T5 as a language model, a list of parts. Axes: b batch, t tokens of the prompt, u of the answer, d width, n heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.nn import kv_cache
from mmm_graph.nn.last_token import Hidden, LastToken
from mmm_graph.nn.linear import Logits
from mmm_graph.nn.parts import need, run_parts
from mmm_graph.nn.relative import RelativeBias, mask_keys
from mmm_graph.nn.token_ids import check_ids
from mmm_graph.nn.unscaled import UnscaledAttention
from mmm_t5.config import T5LMConfig
from mmm_t5.lm_parts import logits_path
from mmm_t5.model import Block, ScaleNorm, feed_forward, initialise

State = Mapping[str, Any]
READER = "the T5 language model"
Rows = tuple[Tensor, ...]
"""What following tokens must know of the prompt, `cache.rows`: the bias of its keys [b,1,1,t] if some are padding."""


class T5LM(nn.Module):
    """Prompts as embeds [b,t,d] and answers as ids [b,u] to logits [b,u,v]. See lm_parts.py for the paths.

    Source: Raffel et al. 2019 (arXiv:1910.10683), section 2.1; v1.1: Shazeer 2020 (arXiv:2002.05202).
    """

    def __init__(self, config: T5LMConfig) -> None:
        super().__init__()
        self.config = config
        before = make_bias(config, causal=True)
        embed, head = Embed(config), Head(config)
        self.parts = nn.ModuleDict({"enter": Enter(config)})
        self.parts.update({name: Block(config) for name in config.encoder_blocks})
        self.parts.update({"memory": Memory(config), "recall": Recall(config), "embed": embed})
        self.parts.update({"start": Start(before), "advance": Advance(before)})
        self.parts.update({name: DecoderBlock(config, name) for name in config.decoder_blocks})
        norm = Hidden(ScaleNorm(config.width, config.eps))
        self.parts.update({"norm": norm, "last": LastToken(), "head": head})
        if config.tied:
            head.out.weight = embed.token.weight
        initialise(self, config)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{embeds, mask?, positions?, targets} -> {logits, hidden}."""
        full = run_parts(self.parts, logits_path(self.config, None), state)
        return {key: need(full, key, READER) for key in ("logits", "hidden")}


class Enter(nn.Module):
    """embeds, mask, positions of a prompt -> h; bias of its pairs; keys, the bias of its tokens [b,1,1,t], or None."""

    def __init__(self, config: T5LMConfig) -> None:
        super().__init__()
        self.relative = make_bias(config, causal=False)

    def forward(self, state: State) -> dict[str, Tensor | None]:
        embeds, mask, positions = need(state, "embeds", READER), state.get("mask"), state.get("positions")
        mask = some(mask)
        bias = mask_keys(self.relative(embeds.shape[1], positions), mask)
        return {"h": embeds, "bias": bias, "keys": bias_of_keys(embeds, mask)}


class Memory(nn.Module):
    """h -> memory, the prompt as the decoder sees it; targets [b,u] -> ids: each the token before, the first a start.

    Without targets, ids [b,1] are starts only. Negative targets, which no loss counts, are read as starts.
    """

    def __init__(self, config: T5LMConfig) -> None:
        super().__init__()
        self.start_id = config.start_id
        self.norm = ScaleNorm(config.width, config.eps)

    def forward(self, state: State) -> dict[str, Tensor]:
        h, targets = need(state, "h", READER), state.get("targets")
        ids = torch.full((h.shape[0], 1), self.start_id, device=h.device)
        if targets is not None:
            before = targets[:, :-1]
            ids = torch.cat([ids, before.masked_fill(before < 0, self.start_id)], 1)
        return {"memory": self.norm(h), "ids": ids}


class Recall(nn.Module):
    """memory and mask of prompts that were encoded before -> keys, as of Enter; ids [b,1], starts, as of Memory."""

    def __init__(self, config: T5LMConfig) -> None:
        super().__init__()
        self.start_id = config.start_id

    def forward(self, state: State) -> dict[str, Tensor | None]:
        memory = need(state, "memory", READER)
        ids = torch.full((memory.shape[0], 1), self.start_id, device=memory.device)
        return {"ids": ids, "keys": bias_of_keys(memory, some(state.get("mask")))}


class Embed(nn.Module):
    """ids [b,t] -> embeds [b,t,d]."""

    def __init__(self, config: T5LMConfig) -> None:
        super().__init__()
        self.token = nn.Embedding(config.vocab_size, config.width)

    def forward(self, state: State) -> dict[str, Tensor]:
        ids = need(state, "ids", READER)
        check_ids(ids, self.token.num_embeddings, READER)
        return {"embeds": self.token(ids)}


class Start(nn.Module):
    """embeds [b,u,d] of an answer's beginning -> what the decoder's blocks read; what a cache keeps of the prompt."""

    def __init__(self, relative: RelativeBias) -> None:
        super().__init__()
        self.relative = relative

    def forward(self, state: State) -> dict[str, Any]:
        embeds, keys, room = need(state, "embeds", READER), state.get("keys"), state.get("room")
        length = embeds.shape[1]
        rows: Rows | None = None if room is None else () if keys is None else (keys,)
        at = None if room is None else length
        return {"h": embeds, "bias": self.relative(length), "at": at, "cache.rows": rows}


class Advance(nn.Module):
    """embeds [b,1,d] of one token more, at, cache.rows -> what the decoder's blocks read of it; `at` counts it."""

    def __init__(self, relative: RelativeBias) -> None:
        super().__init__()
        self.relative = relative

    def forward(self, state: State) -> dict[str, Any]:
        embeds, at, order = need(state, "embeds", READER), int(state["at"]), state.get("order")
        rows: Rows = state["cache.rows"]
        if order is not None:
            kv_cache.reorder_rows(rows, order)
        made = {"h": embeds, "bias": self.relative.last(at + 1), "keys": rows[0] if rows else None}
        return {**made, "at": at + 1, "cache.rows": rows}


class DecoderBlock(nn.Module):
    """x + attn(norm(x)), x + across(norm(x), memory), x + mlp(norm(x)): h, bias, memory, keys, caches -> h, caches.

    With `room` it makes a cache of the answer, which then grows in place, and one of the prompt, which stays.
    """

    def __init__(self, config: T5LMConfig, name: str) -> None:
        super().__init__()
        self.own, self.other = f"cache.{name}", f"cache.across{name.removeprefix('block')}"
        sizes = config.width, config.num_heads, config.head_dim
        self.norm1, self.attn = ScaleNorm(config.width, config.eps), UnscaledAttention(*sizes)
        self.norm2, self.across_attn = ScaleNorm(config.width, config.eps), UnscaledAttention(*sizes)
        self.norm3, self.mlp = ScaleNorm(config.width, config.eps), feed_forward(config)

    def forward(self, state: State) -> dict[str, Tensor | None]:
        h, bias, keys = need(state, "h", READER), need(state, "bias", READER), state.get("keys")
        room, order, at = state.get("room"), state.get("order"), state.get("at")
        own, other = state.get(self.own), state.get(self.other)
        if order is not None and own is not None and other is not None:
            kv_cache.reorder(own, order, int(at or 0) - h.shape[1])
            kv_cache.reorder(other, order, other.shape[3])
        x = self.norm1(h)
        if own is None and room is not None:
            own = kv_cache.make_cache(x, self.attn.num_heads, self.attn.head_dim, x.shape[1] + int(room))
        h = h + self.attn(x, *self.before(x, own, at), bias)
        prompt, other = self.prompt(state.get("memory"), other, room)
        h = h + self.across_attn(self.norm2(h), *prompt, keys)
        return {"h": h + self.mlp(self.norm3(h)), self.own: own, self.other: other}

    def before(self, x: Tensor, cache: Tensor | None, at: int | None) -> tuple[Tensor, Tensor]:
        """Keys and values [b,n,u,k] of the answer up to the place `at`, x included."""
        keys, values = self.attn.look_at(x)
        if cache is None or at is None:
            return keys.transpose(1, 2), values.transpose(1, 2)
        kv_cache.check_room(cache, at)
        kv_cache.write(cache, keys, values, at - x.shape[1])
        return kv_cache.view(cache, 0, at)

    def prompt(
        self, memory: Tensor | None, cache: Tensor | None, room: int | None
    ) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        """Keys and values [b,n,t,k] of the prompt, made of it or kept; and what is kept."""
        if cache is not None:
            return kv_cache.view(cache, 0, cache.shape[3]), cache
        memory = need({"memory": memory}, "memory", READER)
        attn, length = self.across_attn, memory.shape[1]
        keys, values = attn.look_at(memory)
        if room is None:
            return (keys.transpose(1, 2), values.transpose(1, 2)), None
        cache = kv_cache.make_cache(memory, attn.num_heads, attn.head_dim, length)
        kv_cache.write(cache, keys, values, 0)
        return kv_cache.view(cache, 0, length), cache


class Head(nn.Module):
    """features [..., d] -> logits [..., v]."""

    def __init__(self, config: T5LMConfig) -> None:
        super().__init__()
        self.scale = config.width**-0.5 if config.scaled else 1.0
        self.out = Logits(config.width, config.vocab_size)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"logits": self.out(need(state, "features", READER) * self.scale)}


def some(mask: Tensor | None) -> Tensor | None:
    """A mask that hides something, or None."""
    return None if mask is None or bool(mask.bool().all()) else mask


def bias_of_keys(like: Tensor, mask: Tensor | None) -> Tensor | None:
    """Bias [b,1,1,t] of the tokens of a prompt that a mask [b,t] hides."""
    return None if mask is None else mask_keys(like.new_zeros(1, 1, 1, 1), mask)


def make_bias(config: T5LMConfig, *, causal: bool) -> RelativeBias:
    """Of the prompt's pairs, or of the answer's."""
    return RelativeBias(config.num_heads, config.num_buckets, config.max_distance, causal=causal)
