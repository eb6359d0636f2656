"""The parts of the audio spectrogram transformer and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_audio.ast.config import AstConfig
from mmm_graph.nn import cost, encoder_path
from mmm_graph.nn.cost import Cost
from mmm_graph.nn.encoder_path import HiddenConfig, layers_path
from mmm_graph.registry import Part, Sharding

WHOLE = "what it makes are tokens of the whole sound, which whoever reads them needs in one place; use data or tensor"
REFUSED = dict.fromkeys(("patch", "ring", "ulysses", "patches"), WHOLE)


def ast_parts(config: AstConfig) -> tuple[Part, ...]:
    """Embedding, blocks, final norm, the outputs."""
    width, tokens = config.width, config.tokens
    embed = cost.linear(config.patch**2, width, config.patches) + cost.table(tokens + 2, width)
    block = cost.encoder_block(width, config.hidden, tokens, qkv_bias=config.qkv_bias)
    h, none = {"h": tokens * width}, Cost().fields
    return (
        Part("embed", ("mel",), ("h",), *embed.fields, h),
        *(Part(f"block{i}", ("h",), ("h",), *block.fields, h) for i in range(config.depth)),
        Part("norm", ("h",), ("h",), *cost.norm(width).fields, h),
        Part("tap", ("h",), ("embeds",), *none, {"embeds": tokens * width}),
        Part("patches", ("h",), ("embeds",), *none, {"embeds": config.patches * width}),
        Part("pool", ("h",), ("pooled",), *none, {"pooled": width}),
        Part("vector", ("pooled",), ("embeds",), *none, {"embeds": width}),
        *_classifier(config),
    )


def _classifier(config: AstConfig) -> tuple[Part, ...]:
    if config.labels is None:
        return ()
    total = cost.norm(config.width) + cost.linear(config.width, config.labels)
    return (Part("classifier", ("pooled",), ("logits",), *total.fields, {"logits": config.labels}),)


def ast_sharding(config: AstConfig) -> Sharding:
    """Heads evenly; tokens not."""
    return Sharding(heads=config.num_heads, refused=REFUSED)


def hidden_path(config: AstConfig, call: HiddenConfig) -> tuple[str, ...]:
    """Parts up to the layer that is asked for.

    Raises:
        ValueError: there is no such layer.
    """
    return encoder_path.hidden_path(config.depth, call)


def forward_path(config: AstConfig, call: object = None) -> tuple[str, ...]:
    """All blocks, the final norm, both outputs."""
    return (*layers_path(config.depth), "norm", "tap", "pool")


def pooled_path(config: AstConfig, call: object = None) -> tuple[str, ...]:
    """All blocks, the final norm, the vector."""
    return (*layers_path(config.depth), "norm", "pool", "vector")


def classify_path(config: AstConfig, call: object = None) -> tuple[str, ...]:
    """All blocks, the final norm, the vector's class.

    Raises:
        ValueError: the model has no classifier.
    """
    if config.labels is None:
        raise ValueError("this audio spectrogram transformer has no classifier; set labels, or use `pooled`")
    return (*layers_path(config.depth), "norm", "pool", "classifier")
