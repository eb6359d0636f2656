"""The parts table of the U-Net of clips and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.nn.unet_layout import Level, Row, layout
from mmm_graph.registry import Part, Sharding
from mmm_video.config import EMBED_HEADS, UNet3dConfig

COND_TOKENS = 77
"""Length of the condition that the work of cross-attention is counted for."""

ALONE = (
    "its norms are of all frames at once, and nothing of it is shared yet; it pipelines over requests, batch \
elements and guidance branches"
)
REFUSED = dict.fromkeys(("patches", "tensor", "ulysses", "ring"), ALONE)
DEEPER = {"block": 0, "middle": 0, "down": 1, "up": -1}
"""By how much the form of a row changes how often the input has been halved."""


def unet_parts(config: UNet3dConfig) -> tuple[Part, ...]:
    """Embedding, the rows of the layout, head."""
    return (embed_part(config), *(row_part(config, row) for row in layout(config)), head_part(config))


def unet_path(config: UNet3dConfig, call: object) -> tuple[str, ...]:
    """`predict` runs all parts."""
    return ("embed", *(row.name for row in layout(config)), "head")


def unet_sharding(config: UNet3dConfig) -> Sharding:
    """Nothing of one call is shared."""
    return Sharding(refused=REFUSED)


def embed_part(config: UNet3dConfig) -> Part:
    """Time, the first convolution, and the first transformer along the frames."""
    width, here = config.channels[0], pixels(config, 0)
    total = cost.time_embedding(width, config.time_dim)
    total += cost.conv(config.in_channels, width, here).each(config.num_frames)
    total += cost.temporal_transformer(width, here, config.num_frames, EMBED_HEADS * config.head_dim)
    size = width * here * config.num_frames
    sizes = {"h": size, "temb": config.time_dim, "skip0": size}
    return Part("embed", ("x", "t"), ("h", "temb", "skip0"), *total.fields, sizes)


def head_part(config: UNet3dConfig) -> Part:
    """The last norm and convolution."""
    width, here = config.channels[0], pixels(config, 0)
    total = cost.norm(width) + cost.conv(width, config.out_channels, here).each(config.num_frames)
    sizes = {"pred": config.out_channels * here * config.num_frames}
    return Part("head", ("h",), ("pred",), *total.fields, sizes)


def row_part(config: UNet3dConfig, row: Row) -> Part:
    """One row of the layout."""
    width, here = row.level.channels, pixels(config, row.depth)
    after = pixels(config, row.depth + DEEPER[row.form])
    writes = ("h", row.writes_skip) if row.writes_skip else ("h",)
    sizes = dict.fromkeys(writes, width * after * config.num_frames)
    if row.form in ("down", "up"):
        total = cost.conv(width, width, after).each(config.num_frames)
        return Part(row.name, ("h",), writes, *total.fields, sizes)
    together = row.in_channels + row.skip_channels
    total = resnet(config, together, width, here)
    if row.skip_channels:  # both are put together
        total = total.needs(total.work + together * here * config.num_frames)
    if row.form == "middle":
        total += resnet(config, width, width, here)
    reads: tuple[str, ...] = ("h", row.reads_skip, "temb") if row.reads_skip else ("h", "temb")
    if row.level.attention == "cross":
        total += attention(config, row.level, here)
        reads += ("cond.embeds", "cond.mask")
    return Part(row.name, reads, writes, *total.fields, sizes)


def resnet(config: UNet3dConfig, in_channels: int, out_channels: int, here: int) -> Cost:
    """A residual block in each frame, and one along them."""
    total = cost.resnet(in_channels, out_channels, here, config.time_dim).each(config.num_frames)
    return total + cost.temporal_conv(out_channels, here * config.num_frames)


def attention(config: UNet3dConfig, level: Level, here: int) -> Cost:
    """Over the pixels of each frame, and over the frames of each pixel."""
    width, frames = level.channels, config.num_frames
    spatial = cost.pixel_transformer(width, here, config.cond_dim or 0, COND_TOKENS, frames=frames)
    total = spatial + cost.temporal_transformer(width, here, frames, level.num_heads * config.head_dim)
    return total.needs(
        total.work + 2 * width * here * frames
    )  # beside it: what comes from the block, its tokens


def pixels(config: UNet3dConfig, depth: int) -> int:
    """Pixels of a frame after halving it `depth` times, odd sizes rounded up."""
    side: int = -(-config.sample_size // 2**depth)
    return side * side
