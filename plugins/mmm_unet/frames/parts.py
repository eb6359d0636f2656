"""The parts table of the U-Net over frames, without torch: that of the U-Net, times the frames, the middle in two."""

from __future__ import annotations

from dataclasses import replace

from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.nn.unet_layout import layout
from mmm_graph.registry import Part, Sharding
from mmm_unet.frames.config import FramesConfig
from mmm_unet.parts import attention, embed_part, head_part, pixels, row_part

REFUSED = dict.fromkeys(
    ("patch", "patches", "ulysses", "ring", "tensor"),
    "the work on one video is not shared; it shares guidance branches and the videos of a batch",
)


def frames_parts(config: FramesConfig) -> tuple[Part, ...]:
    """Embedding, the rows of the layout, head."""
    found = [embed_part(config)]
    for row in layout(config):
        found += middle_parts(config) if row.form == "middle" else (row_part(config, row),)
    embed, *rows, head = (_times(part, config.frames) for part in (*found, head_part(config)))
    sizes = {**embed.sizes, "frames": config.frames}
    embed = replace(embed, writes=(*embed.writes, "frames"), sizes=sizes)
    return embed, *rows, replace(head, reads=(*head.reads, "frames"))


def frames_path(config: FramesConfig, call: object) -> tuple[str, ...]:
    """`predict` runs all parts."""
    rows = (("mid", "mid_end") if row.form == "middle" else (row.name,) for row in layout(config))
    return ("embed", *(name for names in rows for name in names), "head")


def frames_sharding(config: FramesConfig) -> Sharding:
    """Nothing within a video."""
    return Sharding(refused=REFUSED)


def middle_parts(config: FramesConfig) -> tuple[Part, Part]:
    """Residual block with attention, and the residual block after it, for one frame."""
    row = config.middle_row
    width, here = row.level.channels, pixels(config, row.depth)
    block = cost.resnet(width, width, here, config.temb_dim)
    attend = attention(config, row.level, here)
    start: Cost = block + attend.needs(attend.work + 2 * width * here)
    reads, sizes = ("h", "temb"), {"h": width * here}
    told = ("cond.embeds", "cond.mask") if row.level.attention == "cross" else ()
    first = Part("mid", (*reads, *told), ("h",), *start.fields, sizes)
    return first, Part("mid_end", reads, ("h",), *block.fields, sizes)


def _times(part: Part, frames: int) -> Part:
    """A part for so many frames."""
    sizes = {key: frames * n for key, n in part.sizes.items()}
    return replace(part, flops=frames * part.flops, work=frames * part.work, sizes=sizes)
