"""The parts of the vision transformer and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_graph.nn import cost, encoder_path
from mmm_graph.nn.cost import Cost
from mmm_graph.nn.encoder_path import HiddenConfig, layers_path
from mmm_graph.registry import Part, Sharding
from mmm_vit.config import ViTConfig

WHOLE = "what it makes are tokens of the whole image, which whoever reads them needs in one place; use data or tensor"
REFUSED = dict.fromkeys(("patch", "ring", "ulysses", "patches"), WHOLE)


def vit_parts(config: ViTConfig) -> tuple[Part, ...]:
    """Embedding, blocks, final norm, the outputs; counted for an image of `size`."""
    width, tokens = config.width, config.positions
    block = cost.encoder_block(width, config.hidden, tokens, qkv_bias=config.qkv_bias)
    h, patches = {"h": tokens * width}, {"embeds": config.side**2 * width}
    pool = (pool_part(config), _out("vector", "pooled", {"embeds": config.pooled_dim}))
    return (
        Part("embed", ("image",), ("h",), *embed_cost(config).fields, h),
        *(Part(f"block{i}", ("h",), ("h",), *block.fields, h) for i in range(config.depth)),
        Part("norm", ("h",), ("h",), *cost.norm(width).fields, h),
        _out("tap", "h", {"embeds": tokens * width}),
        _out("patches", "h", patches),
        *(pool if config.pool != "none" else ()),
    )


def _out(name: str, reads: str, sizes: dict[str, int]) -> Part:
    """A part that only names or selects what is there."""
    return Part(name, (reads,), tuple(sizes), *Cost().fields, sizes)


def embed_cost(config: ViTConfig) -> Cost:
    """Patches, class token, positions, the norm before the first block."""
    width, inputs = config.width, config.in_channels * config.patch**2
    total = cost.linear(inputs, width, config.side**2, bias=config.patch_bias)
    total += cost.table(config.positions + config.class_token, width)
    return total + cost.norm(width) * config.pre_norm


def pool_part(config: ViTConfig) -> Part:
    """One vector of the image."""
    width = config.width
    total = Cost()
    if config.pool == "probe":
        total += cost.table(1, width) + cost.cross_attention(width, 1, width, config.positions)
        total += cost.norm(width) + cost.mlp(width, config.hidden, 1)
    if config.out_dim is not None:
        total += cost.linear(width, config.out_dim, bias=False)
    return Part("pool", ("h",), ("pooled",), *total.fields, {"pooled": config.pooled_dim})


def vit_sharding(config: ViTConfig) -> Sharding:
    """Heads evenly; rows not."""
    return Sharding(heads=config.num_heads, refused=REFUSED)


def hidden_path(config: ViTConfig, call: HiddenConfig) -> tuple[str, ...]:
    """Parts up to the layer that is asked for.

    Raises:
        ValueError: there is no such layer.
    """
    return encoder_path.hidden_path(config.depth, call)


def forward_path(config: ViTConfig, call: object = None) -> tuple[str, ...]:
    """All blocks, the final norm, both outputs.

    Raises:
        ValueError: the model does not pool.
    """
    return (*layers_path(config.depth), "norm", "tap", *_pool(config))


def pooled_path(config: ViTConfig, call: object = None) -> tuple[str, ...]:
    """All blocks, the final norm, the vector.

    Raises:
        ValueError: the model does not pool.
    """
    return (*layers_path(config.depth), "norm", *_pool(config), "vector")


def _pool(config: ViTConfig) -> tuple[str, ...]:
    if config.pool == "none":
        raise ValueError(
            "this vision transformer has pool: none, so it makes no vector of an image; use `hidden`"
        )
    return ("norm", "pool") if config.pool == "class_normed_twice" else ("pool",)
