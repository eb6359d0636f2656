"""The parts of the text encoder and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_graph.config import Empty
from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.registry import Part, Sharding
from mmm_text.config import EncodeConfig, TextEncoderConfig


def encoder_parts(config: TextEncoderConfig) -> tuple[Part, ...]:
    """Windows, embedding, blocks, final norm, the two outputs; counted at `max_length` tokens."""
    width, tokens = config.width, config.max_length
    embed = cost.table(config.vocab_size, width) + cost.table(tokens, width)
    block = cost.norm(width) * 2 + cost.attention(width, tokens) + cost.mlp(width, config.hidden, tokens)
    pool = cost.linear(width, config.pooled_dim, bias=config.projection_bias) * config.projection
    h = {"h": tokens * width}
    return (
        Part("window", ("ids",), ("windows",), *Cost().fields, {"windows": 1}),
        Part("embed", ("ids", "windows"), ("h",), *embed.fields, h, table=config.vocab_size * width),
        *(Part(f"block{i}", ("h", "mask", "windows"), ("h",), *block.fields, h) for i in range(config.depth)),
        Part("norm", ("h",), ("h",), *cost.norm(width).fields, h),
        Part("tap", ("h",), ("embeds",), *Cost().fields, {"embeds": tokens * width}),
        Part(
            "pool", ("h", "ids", "mask", "windows"), ("pooled",), *pool.fields, {"pooled": config.pooled_dim}
        ),
    )


def encoder_sharding(config: TextEncoderConfig) -> Sharding:
    """Heads evenly; a text has no rows to share."""
    return Sharding(heads=config.num_heads)


def encoder_path(config: TextEncoderConfig, call: EncodeConfig) -> tuple[str, ...]:
    """Parts a call runs, in order; `tap` stands where the wanted hidden state is.

    Raises:
        ValueError: there is no such layer, or windows are not as long as the model has positions.
    """
    if call.window not in (None, config.max_length):
        raise ValueError(
            f"window {call.window} is not the max_length {config.max_length} of this text encoder"
        )
    layer = call.layer if call.layer >= 0 else config.depth + 1 + call.layer
    if not 0 <= layer <= config.depth:
        raise ValueError(
            f"layer {call.layer} is not one of the {config.depth + 1} hidden states of this text encoder"
        )
    blocks = [f"block{i}" for i in range(config.depth)]
    start = ("embed",) if call.window is None else ("window", "embed")
    if call.norm:
        return (*start, *blocks[:layer], "norm", "tap", "pool")
    return (*start, *blocks[:layer], "tap", *blocks[layer:], "norm", "pool")


def pooled_path(config: TextEncoderConfig, call: Empty) -> tuple[str, ...]:
    """Parts that make the vector of a text, in order."""
    return ("embed", *(f"block{i}" for i in range(config.depth)), "norm", "pool")
