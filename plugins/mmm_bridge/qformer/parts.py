"""The parts of the querying transformer, the ways through them, and how it may be sharded; without torch."""

from __future__ import annotations

from collections.abc import Callable

from mmm_bridge.qformer.config import QFormerConfig
from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.registry import Part, Sharding

FEATURES = 257
"""Features that the work is counted for: EVA-CLIP g/14 makes as many at 224 px, with its class token."""
TOKENS = 32
"""Tokens of the texts that BLIP-2's first stage is trained with."""

Path = tuple[str, ...]


def qformer_parts(config: QFormerConfig) -> tuple[Part, ...]:
    """Queries, words, first norm, masks, blocks, what comes out. The blocks are counted for a call without text."""
    width, count, out_dim = config.width, config.num_queries, config.out_dim or 0
    h = {"h": count * width}
    project = cost.linear(width, out_dim, count) * config.projection
    before, after = text_parts(config) if config.text else ((), ())
    return (
        Part("queries", ("features",), ("h",), *cost.table(count, width).fields, h),
        *before,
        Part("norm", ("h",), ("h",), *cost.norm(width).fields, h),
        *(
            Part(f"block{i}", block_reads(config, i), ("h",), *block_cost(config, i).fields, h)
            for i in range(config.depth)
        ),
        Part("project", ("h",), ("embeds",), *project.fields, {"embeds": count * out_dim}),
        *after,
    )


def text_parts(config: QFormerConfig) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Those before the blocks and those after them that only the methods for text run."""
    width, count = config.width, config.num_queries
    both = count + TOKENS
    words = cost.table(config.vocab_size, width) + cost.table(config.max_length, width)
    made = {"queries": count * width, "embeds": TOKENS * width, "pooled": width}
    seen = ("ids", "mask", "features")
    before = (
        Part("words", ("h", "ids"), ("h",), *words.fields, {"h": both * width}),
        Part("all", seen, ("pairs",), *Cost().fields, {"pairs": both}),
        Part("causal", seen, ("pairs",), *Cost().fields, {"pairs": both * both}),
    )
    split = Part("split", ("h", "ids"), tuple(made), *Cost().fields, made)
    head = (
        cost.linear(width, width, TOKENS) + cost.norm(width) + cost.linear(width, config.vocab_size, TOKENS)
    )
    sizes = {"logits": TOKENS * config.vocab_size}
    words_out = Part("head", ("embeds",), ("logits",), *head.fields, sizes)
    return before, (split, words_out) if config.head else (split,)


def block_reads(config: QFormerConfig, index: int) -> tuple[str, ...]:
    """Where there is text, features tell that there are queries before it."""
    if config.text:
        return ("h", "features", "pairs")
    return ("h", "features") if config.looks(index) else ("h",)


def block_cost(config: QFormerConfig, index: int) -> Cost:
    """Self-attention, maybe cross-attention, MLP, each with its norm; the MLP for text is not run."""
    width, count = config.width, config.num_queries
    total = cost.attention(width, count) + cost.norm(width)
    if config.looks(index):
        total += cost.cross_attention(width, count, config.in_dim or 0, FEATURES) + cost.norm(width)
    mlp = cost.mlp(width, config.hidden, count) + cost.norm(width)
    return total + mlp + Cost(mlp.params * config.text)


def queries_path(config: QFormerConfig, call: object) -> Path:
    """Features to embeds."""
    return (*bare_path(config, call), "project")


def bare_path(config: QFormerConfig, call: object) -> Path:
    """Features to queries that are not projected."""
    return ("queries", "norm", *blocks(config))


def text_path(*start: str) -> Callable[[QFormerConfig, object], Path]:
    """Ways that read a text: what runs before the first norm, the mask last.

    Raises:
        ValueError: of the way, the model has no branch for text.
    """

    def path(config: QFormerConfig, call: object) -> Path:
        if not config.text:
            raise ValueError("this querying transformer reads no text; set `text: true`")
        return (*start[:-1], "norm", start[-1], *blocks(config), "split")

    return path


def head_path(config: QFormerConfig, call: object) -> Path:
    """Hidden states of tokens to words.

    Raises:
        ValueError: the model has no head.
    """
    if not config.head:
        raise ValueError("this querying transformer predicts no words; set `head: true`")
    return ("head",)


def blocks(config: QFormerConfig) -> Path:
    """Names of the blocks."""
    return tuple(f"block{i}" for i in range(config.depth))


def qformer_sharding(config: QFormerConfig) -> Sharding:
    """Heads evenly; queries have no rows to share."""
    return Sharding(heads=config.num_heads)
