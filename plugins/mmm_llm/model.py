"""Decoder language model as a list of parts. Axes: b batch, t tokens, d width, v vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmm_graph.nn import kv_cache
from mmm_graph.nn.causal import CausalAttention
from mmm_graph.nn.gated import GatedUnit
from mmm_graph.nn.last_token import Hidden, LastToken, chosen
from mmm_graph.nn.linear import Logits
from mmm_graph.nn.mlp import Mlp
from mmm_graph.nn.one_token import OneToken
from mmm_graph.nn.parts import need, run_parts
from mmm_graph.nn.prefix_store import PrefixStore, Word
from mmm_llm.before import READER, Advance, Embed, Enter, Positions, State
from mmm_llm.config import DecoderConfig
from mmm_llm.parts import is_projected, logits_path


class Decoder(nn.Module):
    """Embeds [b,t,d] to logits [b,t,v]. As parts it also makes and reads a cache; see parts.py for the paths.

    Source: Radford et al. 2019 (GPT-2); Touvron et al. 2023 (arXiv:2302.13971), the configuration of Llama.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        positions, embed, head = Positions(config), Embed(config), Head(config)
        self.parts = nn.ModuleDict(
            {"embed": embed, "enter": Enter(config, positions), "advance": Advance(config, positions)}
        )
        self.parts.update({f"block{i}": Block(config, i) for i in range(config.depth)})
        norm = make_norm(config) if config.final_norm else nn.Identity()
        self.parts.update({"norm": Hidden(norm), "last": LastToken(), "head": head})
        if config.tied:
            head.out.weight = embed.token.weight
            if head.extra is not None and embed.extra is not None:
                head.extra.weight = embed.extra.weight
        initialise(self, config)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{embeds, mask?, positions?} -> {logits, hidden}."""
        full = run_parts(self.parts, logits_path(self.config, None), state)
        return {key: need(full, key, READER) for key in ("logits", "hidden")}


class Block(nn.Module):
    """x + attn(norm(x)), x + mlp(norm(x)), or the norms after the sums: h, rope, mask, cache -> h, cache.

    Without `room` and cache nothing is kept; with `room` it makes a cache of the prompt, which then grows in place.
    What `prefix` says of a prompt is taken from earlier ones, and kept for later ones. The last block goes on with the
    tokens at `places` [b,m] alone, if there are any: what the others would become nobody reads.
    """

    def __init__(self, config: DecoderConfig, index: int) -> None:
        super().__init__()
        self.own, self.mask = f"cache.block{index}", "near" if config.windows(index) else "mask"
        self.is_last = index == config.depth - 1
        self.is_turned, self.pre_norm = config.rope is not None, config.pre_norm
        self.one_token = OneToken(config.window if config.windows(index) else None)
        self.prefixes = PrefixStore()
        self.norm1 = make_norm(config)
        self.attn = CausalAttention(
            *(config.width, config.num_heads, config.num_kv_heads, config.head_dim),
            bias=config.qkv_bias,
            out_bias=config.out_bias,
            qk_norm=config.qk_norm,
            eps=config.eps,
            window=config.window if config.windows(index) else None,
        )
        self.norm2 = make_norm(config)
        mlp = GatedUnit if config.mlp == "gated" else Mlp
        self.mlp = mlp(config.width, config.hidden, config.activation, bias=config.mlp_bias)

    def forward(self, state: State) -> dict[str, Tensor | None]:
        h = need(state, "h", READER)
        word = Word(*state["prefix"]) if state.get("prefix") is not None else None
        cache, at = self.cache(state, h)
        if word is not None and cache is not None:
            self.prefixes.fill(cache, word)
        rope = state.get("rope") if self.is_turned else None
        places = state.get("places") if self.is_last else None
        one = None
        if self.pre_norm and h.shape[1] == 1 and cache is not None and state.get(self.mask) is None:
            one = self.one_token(self, h, rope, cache, at)
        if one is not None:
            h = one
        elif self.pre_norm:
            h = chosen(h, places) + self.attn(self.norm1(h), rope, state.get(self.mask), cache, at, places)
            h = h + self.mlp(self.norm2(h))
        else:
            h = self.norm1(chosen(h, places) + self.attn(h, rope, state.get(self.mask), cache, at, places))
            h = self.norm2(h + self.mlp(h))
        if word is not None and cache is not None:
            self.prefixes.keep(cache, word)
        return {"h": h, self.own: cache}

    def cache(self, state: State, h: Tensor) -> tuple[Tensor | None, int]:
        """Of the tokens so far, and the place after the last of `h`."""
        cache, room, order = (state.get(key) for key in (self.own, "room", "order"))
        at: int = state.get("at") or 0
        if cache is None and room is not None:
            made = kv_cache.make_cache(h, self.attn.num_kv_heads, self.attn.head_dim, at + int(room))
            return made, at
        if cache is None:
            return None, at
        kv_cache.check_room(cache, at)
        if order is not None:
            kv_cache.reorder(cache, order, at - h.shape[1])
        return cache, at


class Head(nn.Module):
    """features [..., d] -> logits [..., v]."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.project = (
            nn.Linear(config.width, config.embed_dim, bias=False) if is_projected(config) else nn.Identity()
        )
        extra = config.extra_tokens
        self.out = Logits(config.embed_dim, config.vocab_size - extra)
        self.extra = Logits(config.embed_dim, extra) if extra else None

    def forward(self, state: State) -> dict[str, Tensor]:
        features = self.project(need(state, "features", READER))
        logits = self.out(features)
        return {"logits": logits if self.extra is None else torch.cat([logits, self.extra(features)], -1)}


def make_norm(config: DecoderConfig) -> nn.Module:
    """An RMS norm, or a layer norm."""
    return (nn.RMSNorm if config.norm == "rms" else nn.LayerNorm)(config.width, config.eps)


def initialise(model: Decoder, config: DecoderConfig) -> None:
    """Normal weights, those that end a residual branch smaller with depth. Source: Radford et al. 2019, section 2.3."""
    for name, parameter in model.named_parameters():
        if name.endswith(("attn.out.weight", "mlp.down.weight")):
            nn.init.normal_(parameter, std=0.02 * (2 * config.depth) ** -0.5)
        elif parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
