"""The parts table of the joint-attention transformer and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_graph.nn import cost
from mmm_graph.registry import Part, Sharding
from mmm_mmdit.config import MMDiTConfig

COND_TOKENS = 333
"""Length of the text that the work is counted for: 77 tokens of CLIP and 256 of T5, as Stable Diffusion 3 has it."""


def mmdit_parts(config: MMDiTConfig) -> tuple[Part, ...]:
    """Embedding, blocks, head."""
    return (embed_part(config), *(block_part(config, i) for i in range(config.depth)), head_part(config))


def mmdit_path(config: MMDiTConfig, call: object) -> tuple[str, ...]:
    """`predict` runs all parts."""
    return ("embed", *(f"block{i}" for i in range(config.depth)), "head")


def mmdit_sharding(config: MMDiTConfig) -> Sharding:
    """Rows in whole patches, heads evenly; the text stays with the first rows."""
    return Sharding({"predict": config.patch_size}, config.num_heads, joint=("text",))


def embed_part(config: MMDiTConfig) -> Part:
    """Patches, text, time and pooled condition."""
    width = config.width
    total = cost.linear(config.in_channels * config.patch_size**2, width, config.tokens)
    total += cost.time_embedding(config.freq_dim, width)
    total += cost.linear(config.pooled_dim or 0, width) + cost.linear(width, width)
    total += cost.linear(config.cond_dim or 0, width, COND_TOKENS)
    sizes = {"h": config.tokens * width, "c": width, "text": COND_TOKENS * width}
    return Part("embed", ("x", "t", "cond.embeds", "cond.pooled"), ("h", "c", "text"), *total.fields, sizes)


def block_part(config: MMDiTConfig, index: int) -> Part:
    """One block; its attention keeps keys and values of all tokens, and the last one leaves no text behind."""
    width, tokens, last = config.width, config.tokens, index == config.depth - 1
    norm_dim = config.head_dim if config.qk_norm else 0
    total = cost.joint_attention(width, tokens, COND_TOKENS, norm_dim=norm_dim, last=last)
    dual = index in config.dual_blocks
    total += cost.linear(width, (9 if dual else 6) * width) + cost.mlp(width, config.hidden, tokens)
    if dual:
        total += cost.attention(width, tokens) + cost.norm(norm_dim)  # two norms without shift
    if last:
        total += cost.linear(width, 2 * width)
    else:
        total += cost.linear(width, 6 * width) + cost.mlp(width, config.hidden, COND_TOKENS)
    sizes = {"h": tokens * width} | ({} if last else {"text": COND_TOKENS * width})
    kept = 2 * (tokens * (1 + dual) + COND_TOKENS) * width
    return Part(f"block{index}", ("h", "text", "c"), tuple(sizes), *total.fields, sizes, kept)


def head_part(config: MMDiTConfig) -> Part:
    """The modulated norm and the pixels of the patches; x gives the shape of the grid."""
    width = config.width
    total = cost.linear(width, 2 * width)
    total += cost.linear(width, config.patch_size**2 * config.out_channels, config.tokens)
    sizes = {"pred": config.out_channels * config.sample_size**2}
    return Part("head", ("h", "c", "x"), ("pred",), *total.fields, sizes)
