"""The parts table of the PixArt transformer and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_graph.nn import cost
from mmm_graph.registry import Part, Sharding
from mmm_pixart.config import PixArtConfig

COND_TOKENS = 300
"""Length of the text that the work is counted for, as PixArt-Sigma has it; PixArt-alpha has 120."""


def pixart_parts(config: PixArtConfig) -> tuple[Part, ...]:
    """Embedding, blocks, head."""
    return (embed_part(config), *(block_part(config, i) for i in range(config.depth)), head_part(config))


def pixart_path(config: PixArtConfig, call: object) -> tuple[str, ...]:
    """`predict` runs all parts."""
    return ("embed", *(f"block{i}" for i in range(config.depth)), "head")


def pixart_sharding(config: PixArtConfig) -> Sharding:
    """Rows in whole patches, heads evenly; every rank has the whole text."""
    return Sharding({"predict": config.patch_size}, config.num_heads)


def embed_part(config: PixArtConfig) -> Part:
    """Patches, time and size with the modulation that all blocks share, and the text for their cross-attention."""
    width, freq = config.width, config.freq_dim
    total = cost.linear(config.in_channels * config.patch_size**2, width, config.tokens)
    total += cost.time_embedding(freq, width) + cost.linear(width, 6 * width)
    total += cost.linear(config.cond_dim or 0, width, COND_TOKENS) + cost.linear(width, width, COND_TOKENS)
    if config.size_condition:
        third = width // 3
        total += cost.linear(freq, third, 2) + cost.linear(
            third, third, 2
        )  # height and width, by one embedding
        total += cost.time_embedding(freq, third)
    reads = ("x", "t", "cond.embeds", "cond.resolution", "cond.aspect")
    sizes = {"h": config.tokens * width, "time": width, "c": 6 * width, "text": COND_TOKENS * width}
    return Part("embed", reads, tuple(sizes), *total.fields, sizes)


def block_part(config: PixArtConfig, index: int) -> Part:
    """One block; its attention keeps keys and values of all tokens."""
    width, tokens = config.width, config.tokens
    total = cost.attention(width, tokens) + cost.cross_attention(width, tokens, width, COND_TOKENS)
    total += cost.mlp(width, config.hidden, tokens) + cost.table(6, width)
    numbers = tokens * width
    return Part(
        f"block{index}",
        ("h", "c", "text", "cond.mask"),
        ("h",),
        *total.fields,
        {"h": numbers},
        kept=2 * numbers,
    )


def head_part(config: PixArtConfig) -> Part:
    """The modulated norm and the pixels of the patches; x gives the shape of the grid."""
    width, channels = config.width, config.in_channels * (1 + config.learned_sigma)
    total = cost.table(2, width) + cost.linear(width, config.patch_size**2 * channels, config.tokens)
    writes = ("pred", "variance") if config.learned_sigma else ("pred",)
    sizes = dict.fromkeys(writes, config.in_channels * config.sample_size**2)
    return Part("head", ("h", "time", "x"), writes, *total.fields, sizes)
