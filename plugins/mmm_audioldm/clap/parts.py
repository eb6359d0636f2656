"""The parts of CLAP's text encoder and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_audioldm.clap.config import ClapTextConfig
from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.nn.encoder_path import layers_path
from mmm_graph.registry import Part, Sharding


def clap_parts(config: ClapTextConfig) -> tuple[Part, ...]:
    """Embedding, blocks, the two outputs; counted at `max_length` tokens."""
    width, tokens = config.width, config.max_length
    embed = cost.table(config.vocab_size + config.positions + config.kinds, width) + cost.norm(width)
    block = cost.encoder_block(width, config.hidden, tokens)
    pool = cost.linear(width, width) + cost.linear(width, config.pooled_dim)
    pool += cost.linear(config.pooled_dim, config.pooled_dim)
    h = {"h": tokens * width}
    return (
        Part("embed", ("ids",), ("h",), *embed.fields, h, table=config.vocab_size * width),
        *(Part(f"block{i}", ("h", "mask"), ("h",), *block.fields, h) for i in range(config.depth)),
        Part("tap", ("h",), ("embeds",), *Cost().fields, {"embeds": tokens * width}),
        Part("pool", ("h",), ("pooled",), *pool.fields, {"pooled": config.pooled_dim}),
    )


def clap_sharding(config: ClapTextConfig) -> Sharding:
    """Heads evenly; a text has no rows to share."""
    return Sharding(heads=config.num_heads)


def forward_path(config: ClapTextConfig, call: object = None) -> tuple[str, ...]:
    """All blocks, both outputs."""
    return (*layers_path(config.depth), "tap", "pool")


def pooled_path(config: ClapTextConfig, call: object = None) -> tuple[str, ...]:
    """All blocks, the vector."""
    return (*layers_path(config.depth), "pool")
