"""What goes before the blocks: tokens to embeds; positions and masks of a prompt, and of one token more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
from mmm_graph.nn.causal_mask import causal_bias, count_positions, counts_texts, key_bias
from mmm_graph.nn.kv_cache import reorder_rows
from mmm_graph.nn.parts import need
from mmm_graph.nn.prefix_index import PrefixIndex
from mmm_graph.nn.prefix_store import Word
from mmm_graph.nn.rope_scaling import depends_on_length
from mmm_graph.nn.rotary import Rotary
from mmm_graph.nn.token_ids import check_ids
from mmm_llm.config import DecoderConfig
from mmm_llm.parts import is_projected

State = Mapping[str, Any]
READER = "the language model"
Rows = tuple[Tensor, ...]
"""What following tokens must know of the prompt, `cache.rows`: nothing where place and position are the same and
nothing is padded; else how far each row's positions are behind its places [b], and the bias of keys [b,1,1,T]."""


class Embed(nn.Module):
    """ids [b,t] -> embeds [b,t,d]."""

    asks: ClassVar[bool] = True

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.vocab_size = config.vocab_size
        self.token = nn.Embedding(config.vocab_size - config.extra_tokens, config.embed_dim)
        self.extra = nn.Embedding(config.extra_tokens, config.embed_dim) if config.extra_tokens else None
        self.project = (
            nn.Linear(config.embed_dim, config.width, bias=False) if is_projected(config) else nn.Identity()
        )

    def forward(self, state: State) -> dict[str, Tensor]:
        ids = need(state, "ids", READER)
        check_ids(ids, self.vocab_size, READER)
        return {"embeds": self.project(self.look_up(ids))}

    def look_up(self, ids: Tensor) -> Tensor:
        """[b,t] -> [b,t,d]."""
        if self.extra is None:
            found: Tensor = self.token(ids)
            return found
        first = self.token.num_embeddings
        own = self.extra((ids - first).clamp(min=0))
        return torch.where((ids >= first)[..., None], own, self.token(ids.clamp(max=first - 1)))


class Positions(nn.Module):
    """Positions [b or 1, t] as what turns queries and keys, or as what is added to the embeds."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.offset, self.context = config.position_offset, config.context
        self.rotary, self.table = None, None
        if config.rope is not None:
            self.rotary = Rotary(config.rope, config.head_dim, config.max_length)
        else:
            self.table = nn.Embedding(config.max_length + config.position_offset, config.width)

    def forward(self, embeds: Tensor, positions: Tensor) -> dict[str, Any]:
        """h, and rope if there is one."""
        if self.rotary is not None:
            return {"h": embeds, "rope": self.rotary(positions, embeds.dtype)}
        assert self.table is not None
        return {"h": embeds + self.table(positions + self.offset)}

    def check(self, length: int, room: int) -> None:
        """Refuse a text that is too long.

        Raises:
            RunError: E747.
        """
        if length + room <= self.context:
            return
        what = (
            f"a prompt of {length} tokens and an answer of {room}" if room else f"a text of {length} tokens"
        )
        hint = "shorten the text or the answer; a rope with a factor, or a larger max_length, stretches the context"
        if self.table is not None:
            hint = "shorten the text or the answer: the model has learned no more positions"
        raise RunError(problem("E747", f"{what}, but {READER} has a context of {self.context}", hint=hint))


class Enter(nn.Module):
    """embeds, mask, positions, room -> what the blocks read of a whole text, and what a cache keeps of it.

    With `prefix_cache`, MiB, it leaves out the tokens whose keys and values are kept: of a text by itself that has no
    padding and the positions of its places. Frequencies that depend on the length of a text change with what follows.
    """

    asks: ClassVar[bool] = True

    def __init__(self, config: DecoderConfig, positions: Positions) -> None:
        super().__init__()
        self.positions, self.window = positions, config.window
        self.can_repeat = config.rope is None or not depends_on_length(config.rope)
        self.prefixes = PrefixIndex(2 * config.depth * config.num_kv_heads * config.head_dim)

    def forward(self, state: State) -> dict[str, Any]:
        embeds = need(state, "embeds", READER)
        mask, positions, room = (state.get(key) for key in ("mask", "positions", "room"))
        budget = state.get("prefix_cache")
        length, follow = embeds.shape[1], int(room) if room is not None else 0
        self.positions.check(length if positions is None else int(positions.max()) + 1, follow)
        if mask is not None and bool(mask.bool().all()) and not counts_texts(mask):
            mask = None
        is_plain = mask is None and positions is None
        if positions is None:
            positions = count_positions(mask, length, embeds.device)
        rows: Rows | None = None
        if room is not None:
            check_left(mask)
            rows = () if is_plain else self.rows(mask, positions, length + follow, embeds)
        word = self.prefix(embeds, budget) if is_plain and room is not None else None
        start = word.length if word is not None else 0
        made = self.positions(embeds[:, start:], positions[:, start:])
        made |= {"mask": causal_bias(mask, length, embeds, start=start)}
        if self.window is not None:
            made |= {"near": causal_bias(mask, length, embeds, self.window, start)}
        at = length if room is not None else None
        return {**made, "at": at, "cache.rows": rows, "prefix": None if word is None else tuple(word)}

    def prefix(self, embeds: Tensor, budget: int | None) -> Word | None:
        """What the blocks take from earlier prompts and keep of this one, in so many MiB."""
        if budget is None or not self.can_repeat or len(embeds) > 1 or torch.is_grad_enabled():
            return None
        return self.prefixes.decide(embeds, int(budget) << 20)

    def rows(self, mask: Tensor | None, positions: Tensor, total: int, embeds: Tensor) -> Rows:
        """Of `cache.rows`; `total` places are there for prompt and answer."""
        length = embeds.shape[1]
        behind = length - 1 - positions[:, -1]
        whole = embeds.new_ones(embeds.shape[0], length, dtype=torch.bool) if mask is None else mask
        return (behind.expand(embeds.shape[0]).clone(), key_bias(whole, total, embeds))


class Advance(nn.Module):
    """embeds [b,1,d] of one token more, at, cache.rows -> what the blocks read of it; `at` counts it."""

    def __init__(self, config: DecoderConfig, positions: Positions) -> None:
        super().__init__()
        self.positions, self.window = positions, config.window

    def forward(self, state: State) -> dict[str, Any]:
        embeds, at = need(state, "embeds", READER), int(state["at"])
        order, rows = state.get("order"), state["cache.rows"]
        position = torch.full((1, 1), at, device=embeds.device)
        mask = None
        if rows:
            if order is not None:
                reorder_rows(rows, order)
            behind, bias = rows
            position, mask = position - behind[:, None], bias[..., : at + 1]
        made = {**self.positions(embeds, position), "mask": mask}
        if self.window is not None:
            made["near"] = mask
        return {**made, "at": at + 1, "cache.rows": rows}


def check_left(mask: Tensor | None) -> None:
    """Refuse a prompt whose last column is padded: what follows it would not be next to it.

    Raises:
        RunError: E748.
    """
    if mask is not None and not bool(mask[:, -1].bool().all()):
        hint = "let the tokenizer pad prompts on the left: pad_side: left"
        raise RunError(
            problem("E748", "a prompt is padded on the right, where its answer is to begin", hint=hint)
        )
