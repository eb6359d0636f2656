"""The parts table of the diffusion transformer and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_dit.config import DiTConfig
from mmm_graph.nn import cost
from mmm_graph.registry import Part, Sharding

COND_TOKENS = 77
"""Length of the condition that the work of cross-attention is counted for."""


def dit_parts(config: DiTConfig) -> tuple[Part, ...]:
    """Embedding, blocks, head."""
    return (embed_part(config), *(block_part(config, i) for i in range(config.depth)), head_part(config))


def dit_path(config: DiTConfig, call: object) -> tuple[str, ...]:
    """`predict` runs all parts."""
    return ("embed", *(f"block{i}" for i in range(config.depth)), "head")


def dit_sharding(config: DiTConfig) -> Sharding:
    """Rows in whole patches, heads evenly."""
    return Sharding({"predict": config.patch_size}, config.num_heads)


def embed_part(config: DiTConfig) -> Part:
    """Patches, time, class and pooled condition."""
    width = config.width
    total = cost.linear(config.in_channels * config.patch_size**2, width, config.tokens)
    total += cost.time_embedding(config.freq_dim, width)
    total += cost.table(config.num_classes or 0, width)
    if config.pooled:
        total += cost.linear(config.pooled_dim or 0, width)
    pooled = ("cond.pooled",) if config.pooled else ()
    sizes = {"h": config.tokens * width, "c": width}
    return Part("embed", ("x", "t", "cond.label", *pooled), ("h", "c"), *total.fields, sizes)


def block_part(config: DiTConfig, index: int) -> Part:
    """One block; its attention keeps keys and values of all tokens."""
    width, tokens = config.width, config.tokens
    total = (
        cost.attention(width, tokens) + cost.mlp(width, config.hidden, tokens) + cost.linear(width, 6 * width)
    )
    if config.cross:
        total += cost.cross_attention(width, tokens, config.cond_dim or 0, COND_TOKENS)
    reads = ("h", "c", "cond.embeds", "cond.mask") if config.cross else ("h", "c")
    numbers = tokens * width
    return Part(f"block{index}", reads, ("h",), *total.fields, {"h": numbers}, kept=2 * numbers)


def head_part(config: DiTConfig) -> Part:
    """The modulated norm and the pixels of the patches; x gives the shape of the grid."""
    width, channels = config.width, config.in_channels * (1 + config.learned_sigma)
    total = cost.linear(width, 2 * width) + cost.linear(width, config.patch_size**2 * channels, config.tokens)
    writes = ("pred", "variance") if config.learned_sigma else ("pred",)
    sizes = dict.fromkeys(writes, config.in_channels * config.sample_size**2)
    return Part("head", ("h", "c", "x"), writes, *total.fields, sizes)
