"""The parts table of the U-Net and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.nn.unet_layout import Level, Row, layout
from mmm_graph.registry import Part, Sharding
from mmm_unet.config import UNetConfig

COND_TOKENS = 77
"""Length of the condition that the work of cross-attention is counted for."""

REFUSED = {
    "patches": "its skips, convolutions and group norms need rows of patches that are not there yet; "
    "it pipelines over requests, batch elements and guidance branches",
    "tensor": "the channels of its convolutions and group norms are not shared; use patch, which shares rows",
}
DEEPER = {"block": 0, "middle": 0, "down": 1, "up": -1}
"""By how much the form of a row changes how often the input has been halved."""
NO_ATTENTION = "no level of it has self-attention to share; use patch, which shares rows"


def unet_parts(config: UNetConfig) -> tuple[Part, ...]:
    """Embedding, the rows of the layout, head."""
    return (embed_part(config), *(row_part(config, row) for row in layout(config)), head_part(config))


def unet_path(config: UNetConfig, call: object) -> tuple[str, ...]:
    """`predict` runs all parts."""
    return ("embed", *(row.name for row in layout(config)), "head")


def unet_sharding(config: UNetConfig) -> Sharding:
    """Rows in multiples of the total stride; the heads of the levels that attend."""
    levels = (*config.levels, config.middle)
    heads = min((level.num_heads for level in levels if level.attention != "none"), default=0)
    alone = {} if heads else dict.fromkeys(("ulysses", "ring"), NO_ATTENTION)
    return Sharding({"predict": config.stride}, heads, {**REFUSED, **alone})


def embed_part(config: UNetConfig) -> Part:
    """Time and what is added to it, and the first convolution."""
    total = cost.time_embedding(config.channels[0], config.time_dim)
    total += cost.linear(config.guidance_dim or 0, config.channels[0], bias=False)
    total += cost.table(config.num_classes or 0, config.time_dim)
    total += cost.linear(config.pooled_dim or 0, config.time_dim) * config.pooled_beside
    total += cost.conv(config.in_channels, config.channels[0], pixels(config, 0))
    if config.added_dim:
        total += cost.time_embedding(config.added_dim, config.time_dim)
    here = config.channels[0] * pixels(config, 0)
    sizes = {"h": here, "temb": config.temb_dim, "skip0": here}
    reads = ("x", "t", "cond.label", "cond.pooled", "cond.sizes", "cond.guidance")
    return Part("embed", reads, ("h", "temb", "skip0"), *total.fields, sizes)


def head_part(config: UNetConfig) -> Part:
    """The last norm and convolution."""
    width = config.channels[0]
    total = cost.norm(width) + cost.conv(width, config.out_channels, pixels(config, 0))
    return Part("head", ("h",), ("pred",), *total.fields, {"pred": config.out_channels * pixels(config, 0)})


def row_part(config: UNetConfig, row: Row) -> Part:
    """One row of the layout."""
    width, here = row.level.channels, pixels(config, row.depth)
    after = pixels(config, row.depth + DEEPER[row.form])
    writes = ("h", row.writes_skip) if row.writes_skip else ("h",)
    sizes = dict.fromkeys(writes, width * after)
    if row.form in ("down", "up"):
        return Part(row.name, ("h",), writes, *cost.conv(width, width, after).fields, sizes)
    total = cost.resnet(row.in_channels + row.skip_channels, width, here, config.temb_dim)
    if row.skip_channels:  # both are put together
        total = total.needs(total.work + (row.in_channels + row.skip_channels) * here)
    if row.form == "middle":
        total += cost.resnet(width, width, here, config.temb_dim)
    attend = attention(config, row.level, here)
    total += attend.needs(
        attend.work + 2 * width * here
    )  # beside it: what comes from the block, and its tokens
    reads: tuple[str, ...] = ("h", row.reads_skip, "temb") if row.reads_skip else ("h", "temb")
    if row.level.attention == "cross":
        reads += ("cond.embeds", "cond.mask")
    return Part(row.name, reads, writes, *total.fields, sizes)


def attention(config: UNetConfig, level: Level, tokens: int) -> Cost:
    """What the level attends to."""
    width, cond_dim = level.channels, None if level.attention == "twice" else config.cond_dim or 0
    if level.attention == "none":
        return Cost()
    if level.attention == "self":
        return cost.pixel_attention(width, tokens)
    return cost.pixel_transformer(width, tokens, cond_dim, COND_TOKENS, layers=level.transformer_layers)


def pixels(config: UNetConfig, depth: int) -> int:
    """Pixels of x after halving it `depth` times, odd sizes rounded up."""
    side: int = -(-config.sample_size // 2**depth)
    return side * side
