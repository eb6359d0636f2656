"""The parts of the decoder, their paths, and how it may be shared, without torch."""

from __future__ import annotations

from dataclasses import replace

from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.registry import Part, Sharding, TextWork
from mmm_llm.config import DecoderConfig

TOKENS = 512
"""Length of the text that the work is counted for, where the context is not shorter: a prompt. A step does a token."""


def decoder_parts(config: DecoderConfig) -> tuple[Part, ...]:
    """Embedding, what goes before the blocks (of a prompt, of one token more), blocks, norm, the last token,
    logits."""
    tokens, width = counted_tokens(config), config.width
    h, made = {"h": tokens * width}, ("h", *turns(config), *masks(config), "at", "cache.rows")
    first = h | dict.fromkeys(turns(config), 2 * tokens * config.head_dim)
    positions = Cost(0 if config.rope is not None else (config.max_length + config.position_offset) * width)
    out, one = (
        dict.fromkeys(("hidden", "features"), tokens * width),
        dict.fromkeys(("hidden", "features"), width),
    )
    logits = {"logits": tokens * config.vocab_size}
    embed, head, text = embed_cost(config), head_cost(config), text_work(config)
    table = config.vocab_size * config.embed_dim
    return (
        Part(
            "embed",
            ("ids",),
            ("embeds",),
            *embed.fields,
            {"embeds": tokens * width},
            linear=embed.linear,
            table=table,
            text=text,
        ),
        Part(
            "enter",
            ("embeds", "mask", "positions", "room", "prefix_cache"),
            (*made, "prefix"),
            *positions.fields,
            first,
            table=positions.params,
            text=text,
        ),
        Part(
            "advance",
            ("embeds", "at", "order", "cache.rows"),
            made,
            *positions.fields,
            first,
            table=positions.params,
            tied=positions.params,
            text=text,
        ),
        *(block(config, i) for i in range(config.depth)),
        Part("norm", ("h",), ("hidden", "features"), *norm_cost(config).fields, out, text=text),
        Part("last", ("hidden",), ("hidden", "features"), *Cost().fields, one, text=replace(text, last=True)),
        Part(
            "head",
            ("features",),
            ("logits",),
            *head.fields,
            logits,
            linear=head.linear,
            logits=table,
            tied=table * config.tied,
            text=text,
        ),
    )


def block(config: DecoderConfig, i: int) -> Part:
    """One block; `cache.block{i}` stays where the block is. The last one is asked for some places only by logits_at."""
    mask = "near" if config.windows(i) else "mask"
    own = f"cache.block{i}"
    reads = ("h", *turns(config), mask, "at", "room", "order", "prefix", own)
    reads += ("places",) if i == config.depth - 1 else ()
    keys = 2 * counted_tokens(config) * config.num_kv_heads * config.head_dim
    sizes = {"h": counted_tokens(config) * config.width, own: keys}
    found = block_cost(config)
    text = replace(text_work(config), pairs=found.pairs, seen=counted_tokens(config))
    text = replace(text, window=(config.window or 0) * config.windows(i))
    return Part(
        f"block{i}", reads, ("h", own), *found.fields, sizes, kept=keys, linear=found.linear, text=text
    )


def turns(config: DecoderConfig) -> tuple[str, ...]:
    """The state key of rotary positions, if there are any."""
    return () if config.rope is None else ("rope",)


def masks(config: DecoderConfig) -> tuple[str, ...]:
    """State keys of what is added to scores: of blocks that see all, and of those that have a window."""
    return ("mask",) if config.window is None else ("mask", "near")


def text_work(config: DecoderConfig) -> TextWork:
    """Of a part whose work is that of each token by itself."""
    return TextWork(counted_tokens(config), most=config.context)


def counted_tokens(config: DecoderConfig) -> int:
    """Tokens that the parts are counted for."""
    return min(TOKENS, config.context)


def block_cost(config: DecoderConfig) -> Cost:
    """Norms, attention, MLP."""
    width, tokens, hidden = config.width, counted_tokens(config), config.hidden
    inner, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    attention = cost.linear(width, inner, tokens, bias=config.qkv_bias)
    attention += cost.linear(width, keys, tokens, bias=config.qkv_bias) * 2
    attention += cost.pairs(inner, tokens, tokens) + Cost(2 * config.head_dim * config.qk_norm)
    attention += cost.linear(inner, width, tokens, bias=config.out_bias)
    up = cost.linear(width, hidden, tokens, bias=config.mlp_bias) * (2 if config.mlp == "gated" else 1)
    mlp = up + cost.linear(hidden, width, tokens, bias=config.mlp_bias)
    work = max(width + 2 * inner + 2 * keys, width + (4 if config.mlp == "gated" else 2) * hidden)
    return (attention + mlp + one_norm(config) * 2).needs(tokens * work)


def one_norm(config: DecoderConfig) -> Cost:
    """Layer norms have a shift."""
    return Cost(config.width * (2 if config.norm == "layer" else 1))


def norm_cost(config: DecoderConfig) -> Cost:
    """The last norm, where there is one."""
    return one_norm(config) * config.final_norm


def embed_cost(config: DecoderConfig) -> Cost:
    """The table, and what makes its rows as wide as the tokens."""
    table = cost.table(config.vocab_size, config.embed_dim)
    return table + cost.linear(
        config.embed_dim, config.width, counted_tokens(config), bias=False
    ) * is_projected(config)


def head_cost(config: DecoderConfig) -> Cost:
    """The way back to the width of the embedding, and the products with the table or a matrix like it."""
    tokens = counted_tokens(config)
    logits = cost.linear(config.embed_dim, config.vocab_size, tokens, bias=False)
    return logits + cost.linear(config.width, config.embed_dim, tokens, bias=False) * is_projected(config)


def is_projected(config: DecoderConfig) -> bool:
    """Whether tokens are embedded in another width than the blocks have."""
    return config.embed_dim != config.width


def decoder_sharding(config: DecoderConfig) -> Sharding:
    """Heads of keys and values, with the heads of queries that they serve; a text has no rows to share."""
    causal = "a token sees those before it, wherever they are"
    refused = dict.fromkeys(("patch", "ring", "ulysses", "patches"), causal)
    return Sharding(heads=config.num_kv_heads, refused=refused)


def embed_path(config: DecoderConfig, call: object) -> tuple[str, ...]:
    """Ids to embeds."""
    return ("embed",)


def logits_path(config: DecoderConfig, call: object) -> tuple[str, ...]:
    """All tokens."""
    return ("enter", *block_names(config), "norm", "head")


def logits_at_path(config: DecoderConfig, call: object) -> tuple[str, ...]:
    """All tokens, of which the logits of some are wanted: the last block leaves out the others."""
    return logits_path(config, call)


def prefill_path(config: DecoderConfig, call: object) -> tuple[str, ...]:
    """All tokens, of which only the last one's logits are wanted."""
    return ("enter", *block_names(config), "norm", "last", "head")


def step_path(config: DecoderConfig, call: object) -> tuple[str, ...]:
    """One token more."""
    return ("embed", "advance", *block_names(config), "norm", "last", "head")


def block_names(config: DecoderConfig) -> tuple[str, ...]:
    """Of all blocks, in order."""
    return tuple(f"block{i}" for i in range(config.depth))
