"""Gated cross-attention as one part. Axes: b rows, t tokens, m media, j media of a row, r embeds of one, d width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmm_bridge.gated.attention import MediaAttention
from mmm_bridge.gated.config import GatedConfig
from mmm_bridge.gated.rows import Rows, find_rows
from mmm_graph.errors import RunError, problem
from mmm_graph.nn import kv_cache
from mmm_graph.nn.gated import GatedUnit
from mmm_graph.nn.mlp import Mlp
from mmm_graph.nn.parts import known, need

READER = "gated cross-attention"
OWN, ROWS = "cache.xattn", "media_rows"
State = Mapping[str, Any]
Cache = tuple[Tensor, Tensor]
"""Keys and values of what new tokens see [2,b,n,l,k], and which of them are their row's [b,l]."""


class GatedCrossAttention(nn.Module):
    """h [b,t,d] -> h, of tokens that have looked at media.

    Source: Alayrac et al. 2022 (arXiv:2204.14198), section 2.2 and figure 4; Laurencon et al. 2023 (arXiv:2306.16527).
    """

    def __init__(self, config: GatedConfig) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"xattn": Layer(config)})

    def forward(self, state: State) -> Any:
        """{h, media?, media_index} -> h."""
        return self.parts["xattn"](state)["h"]


class Layer(nn.Module):
    """h + tanh(a) attn(norm(h)), h + tanh(b) mlp(norm(h)); a and b are 0 at first, and h stays what it is.

    With `room` it keeps the keys and values of what the tokens after a prompt will see; with these it needs no media.
    """

    def __init__(self, config: GatedConfig) -> None:
        super().__init__()
        width = known(config.width, "width")
        norm = nn.LayerNorm if config.norm == "layer" else nn.RMSNorm
        mlp = Mlp if config.mlp == "plain" else GatedUnit
        self.which = config.media
        self.norm = norm(width, config.eps)
        self.attn = MediaAttention(
            *(width, known(config.media_dim, "media_dim"), config.num_heads, config.head_dim),
            qk_norm=config.qk_norm,
            eps=config.eps,
        )
        self.mlp_norm = norm(width, config.eps)
        self.mlp = mlp(width, config.hidden or 4 * width, config.activation, bias=False)
        shape = (1,) if config.gate == "scalar" else (1, 1, width)
        self.attn_gate, self.mlp_gate = (nn.Parameter(torch.zeros(shape)) for _ in range(2))

    def forward(self, state: State) -> dict[str, Any]:
        h = need(state, "h", READER)
        cache, order, media, room = (state.get(key) for key in (OWN, "order", "media", "room"))
        rows = None
        if cache is not None:
            look = self.look_on(h, cache, order)
        else:
            rows = self.rows(state)
            kv = self.attn.keys_and_values(media) if media is not None and len(media) else self.nothing(h)
            look = self.look(h, kv, rows)
            cache = self.cache(kv, rows) if room is not None else None
        if look is not None:
            h = h + self.attn_gate.tanh() * look
        h = h + self.mlp_gate.tanh() * self.mlp(self.mlp_norm(h))
        return {"h": h, OWN: cache, ROWS: None if rows is None else tuple(rows)}

    def rows(self, state: State) -> Rows:
        """Found by the first of these layers on a rank."""
        found, media = state.get(ROWS), state.get("media")
        if found is not None:
            return Rows(*found)
        return find_rows(need(state, "media_index", READER), 0 if media is None else len(media), self.which)

    def nothing(self, h: Tensor) -> Tensor:
        """Keys and values of no media: 2 0 n 1 k."""
        return h.new_empty(2, 0, self.attn.num_heads, 1, self.attn.head_dim)

    def look(self, h: Tensor, kv: Tensor, rows: Rows) -> Tensor | None:
        """What tokens get from the media [2,m,n,r,k] of their rows; None where no row has any."""
        if rows.seen.shape[1] != h.shape[1]:
            message = f"media_index has {rows.seen.shape[1]} places, but there are {h.shape[1]} tokens here"
            hint = "all blocks between which it stands must see the same text; those of an encoder-decoder do not"
            raise RunError(problem("E763", message, hint=hint))
        if not rows.numbers.shape[1]:
            return None
        own = kv[:, rows.numbers].transpose(2, 3).flatten(3, 4)  # 2 b n (j r) k
        seen = rows.seen.repeat_interleave(kv.shape[3], 2)[:, None]  # b 1 t (j r)
        look: Tensor = self.attn(self.norm(h), own, seen)
        return look.masked_fill(~rows.seen.any(-1, keepdim=True), 0)

    def look_on(self, h: Tensor, cache: Cache, order: Tensor | None) -> Tensor | None:
        """The same for tokens after the prompt."""
        kv, seen = cache
        if order is not None:
            kv_cache.reorder(kv, order, kv.shape[3])
            kv_cache.reorder_rows((seen,), order)
        if not seen.shape[1]:
            return None
        look: Tensor = self.attn(self.norm(h), kv, seen[:, None, None])
        return look.masked_fill(~seen.any(1)[:, None, None], 0)

    def cache(self, kv: Tensor, rows: Rows) -> Cache:
        """What the token after the last one sees: the newest medium of each row, or all of them."""
        index, here = rows.numbers, torch.arange(rows.numbers.shape[1], device=kv.device) < rows.own[:, None]
        if self.which == "last" and index.shape[1]:
            index, here = (x.gather(1, rows.last[:, None]) for x in (index, here))
        own = kv[:, index].transpose(2, 3).flatten(3, 4)
        return own, here.repeat_interleave(kv.shape[3], 1)
