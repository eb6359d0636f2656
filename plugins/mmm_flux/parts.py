"""The parts table of the FLUX transformer and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_flux.config import FluxConfig
from mmm_graph.nn import cost
from mmm_graph.registry import Part, Sharding

COND_TOKENS = 512
"""Length of the text that the work is counted for: tokens of T5, as FLUX.1 [dev] has it."""


def flux_parts(config: FluxConfig) -> tuple[Part, ...]:
    """Embedding, blocks of two streams, blocks of one stream, head."""
    return (
        embed_part(config),
        *(double_part(config, i) for i in range(config.double_depth)),
        *(single_part(config, i) for i in range(config.single_depth)),
        head_part(config),
    )


def flux_path(config: FluxConfig, call: object) -> tuple[str, ...]:
    """`predict` runs all parts."""
    double = (f"double{i}" for i in range(config.double_depth))
    single = (f"single{i}" for i in range(config.single_depth))
    return ("embed", *double, *single, "head")


def flux_sharding(config: FluxConfig) -> Sharding:
    """Rows in whole patches, heads evenly; the text stays with the first rows."""
    return Sharding({"predict": config.patch_size}, config.num_heads, joint=("text",))


def embed_part(config: FluxConfig) -> Part:
    """Patches, text, time, guidance and pooled condition."""
    width = config.width
    total = cost.linear(config.in_channels * config.patch_size**2, width, config.tokens)
    total += cost.time_embedding(config.freq_dim, width) * (1 + config.guidance)
    total += cost.linear(config.pooled_dim or 0, width) + cost.linear(width, width)
    total += cost.linear(config.cond_dim or 0, width, COND_TOKENS)
    reads = ("x", "t", "cond.embeds", "cond.pooled", "cond.guidance")
    return Part("embed", reads, ("h", "c", "text"), *total.fields, {**token_sizes(config), "c": width})


def double_part(config: FluxConfig, index: int) -> Part:
    """A block of two streams."""
    width, tokens = config.width, config.tokens
    total = cost.joint_attention(width, tokens, COND_TOKENS, norm_dim=config.head_dim)
    total += cost.mlp(width, config.hidden, tokens) + cost.mlp(width, config.hidden, COND_TOKENS)
    total += cost.linear(width, 6 * width) * 2
    return block_part(f"double{index}", config, total)


def single_part(config: FluxConfig, index: int) -> Part:
    """A block of one stream."""
    width, both = config.width, config.tokens + COND_TOKENS
    total = cost.linear(width, width, both) * 3 + cost.pairs(width, both, both)
    total += cost.Cost(2 * config.head_dim)
    total += cost.linear(width, config.hidden, both) + cost.linear(width + config.hidden, width, both)
    total += cost.linear(width, 3 * width)
    beside = (
        5 * width + 2 * config.hidden
    )  # queries, keys, values, what they give, and the other half of the block
    total = total.needs(both * (beside + width + config.hidden))  # and all of it put together
    return block_part(f"single{index}", config, total)


def block_part(name: str, config: FluxConfig, total: cost.Cost) -> Part:
    """One block; its attention keeps keys and values of all tokens, and x gives the shape of the grid."""
    kept = 2 * (config.tokens + COND_TOKENS) * config.width
    return Part(name, ("h", "text", "c", "x"), ("h", "text"), *total.fields, token_sizes(config), kept)


def head_part(config: FluxConfig) -> Part:
    """The modulated norm and the pixels of the patches; x gives the shape of the grid."""
    width = config.width
    total = cost.linear(width, 2 * width)
    total += cost.linear(width, config.patch_size**2 * config.out_channels, config.tokens)
    sizes = {"pred": config.out_channels * config.sample_size**2}
    return Part("head", ("h", "c", "x"), ("pred",), *total.fields, sizes)


def token_sizes(config: FluxConfig) -> dict[str, int]:
    """Numbers of image and text tokens."""
    return {"h": config.tokens * config.width, "text": COND_TOKENS * config.width}
