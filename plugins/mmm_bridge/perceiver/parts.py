"""The parts of the perceiver resampler and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_bridge.perceiver.config import PerceiverConfig
from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.registry import Part, Sharding

TOKENS = 256
"""Features that the work is counted for: it takes any number. CLIP ViT-L/14 makes as many at 224 px."""


def perceiver_parts(config: PerceiverConfig) -> tuple[Part, ...]:
    """Latents, layers, final norm with the projection."""
    width, out_dim, count = config.in_dim or 0, config.out_dim or 0, config.num_latents
    layer, h = layer_cost(config, width), {"h": count * width}
    end = cost.norm(width) + cost.linear(width, out_dim, count) * config.projects
    return (
        Part("latents", ("features",), ("h",), *cost.table(count, width).fields, h),
        *(Part(f"layer{i}", ("h", "features"), ("h",), *layer.fields, h) for i in range(config.depth)),
        Part("end", ("h",), ("embeds",), *end.fields, {"embeds": count * out_dim}),
    )


def layer_cost(config: PerceiverConfig, width: int) -> Cost:
    """Attention of the latents over the features and themselves, MLP, three norms."""
    inner, count = config.num_heads * config.head_dim, config.num_latents
    keys = TOKENS + count
    attn = cost.linear(width, inner, count, bias=False) + cost.linear(width, inner, keys, bias=False) * 2
    attn += cost.linear(inner, width, count, bias=False) + cost.pairs(inner, count, keys)
    attn += cost.norm(width) * 2 + cost.norm(config.head_dim) * (2 * config.qk_norm)
    attn = attn.needs(2 * keys * width + 2 * keys * inner)  # normed and joined, keys, values
    return attn + cost.norm(width) + cost.mlp(width, config.expand * width, count, bias=False)


def perceiver_path(config: PerceiverConfig, call: object) -> tuple[str, ...]:
    """A call runs all parts."""
    return ("latents", *(f"layer{i}" for i in range(config.depth)), "end")


def perceiver_sharding(config: PerceiverConfig) -> Sharding:
    """Heads evenly; latents have no rows to share."""
    return Sharding(heads=config.num_heads)
