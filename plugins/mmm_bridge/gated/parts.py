"""The part of gated cross-attention and how it may be shared, without torch."""

from __future__ import annotations

from mmm_bridge.gated.config import GatedConfig
from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.registry import Part, Sharding, TextWork

TOKENS, EMBEDS = 512, 64
"""Tokens and embeds of media that the work is counted for; between blocks there are as many tokens as in these."""


def gated_parts(config: GatedConfig) -> tuple[Part, ...]:
    """One part; `cache.xattn` stays where it is."""
    reads = ("h", "media", "media_index", "media_rows", "room", "order", "cache.xattn")
    writes = ("h", "cache.xattn", "media_rows")
    sizes = {"h": TOKENS * (config.width or 0), "cache.xattn": 2 * EMBEDS * config.inner}
    keys = media_keys(config)
    text = TextWork(TOKENS, once_flops=keys.flops, once_params=keys.params)
    return (Part("xattn", reads, writes, *gated_cost(config).fields, sizes, text=text),)


def gated_cost(config: GatedConfig) -> Cost:
    """Two norms, attention, MLP, gates."""
    width, inner = config.width or 0, config.inner
    hidden, twice = config.hidden or 4 * width, config.mlp == "gated"
    attn = cost.linear(width, inner, TOKENS, bias=False) + media_keys(config)
    attn += cost.pairs(inner, TOKENS, EMBEDS) + cost.linear(inner, width, TOKENS, bias=False)
    mlp = cost.linear(width, hidden, TOKENS, bias=False) * (1 + twice) + cost.linear(
        hidden, width, TOKENS, bias=False
    )
    others = 2 * width * (2 if config.norm == "layer" else 1) + 2 * config.head_dim * config.qk_norm
    others += 2 * (width if config.gate == "vector" else 1)
    work = max(2 * inner + width, width + (2 + 2 * twice) * hidden)
    return (attn + mlp + Cost(others)).needs(TOKENS * work)


def media_keys(config: GatedConfig) -> Cost:
    """Keys and values of the media, which are made once."""
    return cost.linear(config.media_dim or 0, config.inner, EMBEDS, bias=False) * 2


def gated_path(config: GatedConfig, call: object) -> tuple[str, ...]:
    """A call runs the part."""
    return ("xattn",)


def gated_sharding(config: GatedConfig) -> Sharding:
    """Heads evenly; tokens have no rows to share."""
    return Sharding(heads=config.num_heads)
