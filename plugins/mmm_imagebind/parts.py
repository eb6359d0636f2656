"""The parts of ImageBind's encoders and how they may be sharded, without torch."""

from __future__ import annotations

from mmm_graph.nn import cost, encoder_path
from mmm_graph.nn.cost import Cost
from mmm_graph.nn.encoder_path import HiddenConfig, layers_path
from mmm_graph.registry import Part, Sharding
from mmm_imagebind.config import SoundConfig, TrunkConfig, VisionConfig

WHOLE = (
    "what it makes are tokens of the whole, which whoever reads them needs in one place; use data or tensor"
)
REFUSED = dict.fromkeys(("patch", "ring", "ulysses", "patches"), WHOLE)


def vision_parts(config: VisionConfig) -> tuple[Part, ...]:
    """Embedding, blocks, final norm, the outputs."""
    size, patches = 3 * config.frames * config.patch**2, config.patches
    embed = cost.linear(size, config.width, patches, bias=False) + cost.norm(config.width)
    return _parts(config, ("image", "video"), embed, Cost(), 0)


def sound_parts(config: SoundConfig) -> tuple[Part, ...]:
    """As `vision_parts`; the scale of the vector is one weight more, and each block has one key and value more."""
    embed = cost.linear(config.patch**2, config.width, config.patches, bias=False) + cost.norm(config.width)
    more = cost.pairs(config.width, config.tokens, 1) + Cost(2 * config.width)
    return _parts(config, ("mel",), embed, more, 1)


def _parts(
    config: TrunkConfig, reads: tuple[str, ...], embed: Cost, more: Cost, scale: int
) -> tuple[Part, ...]:
    width, tokens = config.width, config.tokens
    embed += cost.table(tokens + 1, width)  # and the class token
    block = cost.encoder_block(width, config.hidden, tokens) + more
    pool = cost.linear(width, config.out_dim, bias=False) + Cost(scale)
    h, none = {"h": tokens * width}, Cost().fields
    return (
        Part("embed", reads, ("h",), *embed.fields, h),
        *(Part(f"block{i}", ("h",), ("h",), *block.fields, h) for i in range(config.depth)),
        Part("norm", ("h",), ("h",), *cost.norm(width).fields, h),
        Part("tap", ("h",), ("embeds",), *none, {"embeds": tokens * width}),
        Part("patches", ("h",), ("embeds",), *none, {"embeds": config.patches * width}),
        Part("pool", ("h",), ("pooled",), *pool.fields, {"pooled": config.out_dim}),
        Part("vector", ("pooled",), ("embeds",), *none, {"embeds": config.out_dim}),
    )


def hidden_path(config: TrunkConfig, call: HiddenConfig) -> tuple[str, ...]:
    """Parts up to the layer that is asked for.

    Raises:
        ValueError: there is no such layer.
    """
    return encoder_path.hidden_path(config.depth, call)


def forward_path(config: TrunkConfig, call: object = None) -> tuple[str, ...]:
    """All blocks, the final norm, both outputs."""
    return (*layers_path(config.depth), "norm", "tap", "pool")


def pooled_path(config: TrunkConfig, call: object = None) -> tuple[str, ...]:
    """All blocks, the final norm, the vector."""
    return (*layers_path(config.depth), "norm", "pool", "vector")


def vision_sharding(config: VisionConfig) -> Sharding:
    """Heads evenly; tokens not."""
    return Sharding(heads=config.num_heads, refused=REFUSED)


def sound_sharding(config: SoundConfig) -> Sharding:
    """Batches only."""
    why = "its attention has a key that belongs to no token, and the model is small; use data"
    return Sharding(refused=dict.fromkeys((*REFUSED, "tensor"), why))
