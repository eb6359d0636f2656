"""The parts of the T5 encoder and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.registry import Part, Sharding
from mmm_t5.config import T5Config

TOKENS = 256
"""Length of the text that the work is counted for: the model has none of its own. Stable Diffusion 3 reads as many."""


def t5_parts(config: T5Config) -> tuple[Part, ...]:
    """Embedding, bias of the pairs, blocks, final norm."""
    embed, bias = (
        cost.table(config.vocab_size, config.width),
        cost.table(config.num_buckets, config.num_heads),
    )
    block, h = block_cost(config), {"h": TOKENS * config.width}
    return (
        Part("embed", ("ids",), ("h",), *embed.fields, h, table=embed.params),
        Part("bias", ("ids", "mask"), ("bias",), *bias.fields, {"bias": config.num_heads * TOKENS**2}),
        *(Part(f"block{i}", ("h", "bias"), ("h",), *block.fields, h) for i in range(config.depth)),
        Part("norm", ("h",), ("embeds",), *Cost(config.width).fields, {"embeds": TOKENS * config.width}),
    )


def t5_path(config: T5Config, call: object) -> tuple[str, ...]:
    """A call runs all parts."""
    return ("embed", "bias", *(f"block{i}" for i in range(config.depth)), "norm")


def t5_sharding(config: T5Config) -> Sharding:
    """Heads evenly; a text has no rows to share."""
    return Sharding(heads=config.num_heads)


def block_cost(config: T5Config, tokens: int = TOKENS) -> Cost:
    """Attention, MLP and their norms, which have no shift."""
    width, inner = config.width, config.num_heads * config.head_dim
    total = cost.linear(width, inner, tokens, bias=False) * 3 + cost.linear(inner, width, tokens, bias=False)
    total += cost.pairs(inner, tokens, tokens) + Cost(2 * width)
    up = cost.linear(width, config.hidden, tokens, bias=False)
    return total + up * (2 if config.gated else 1) + cost.linear(config.hidden, width, tokens, bias=False)
