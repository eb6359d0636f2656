"""The parts of T5 as a language model, their paths, and how it may be shared, without torch."""

from __future__ import annotations

from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.registry import Part, Sharding
from mmm_t5.config import T5LMConfig
from mmm_t5.parts import TOKENS, block_cost

ANSWER = 64
"""Length of the answer that the decoder's work is counted for, as TOKENS is of the prompt. A step does one token."""


def lm_parts(config: T5LMConfig) -> tuple[Part, ...]:
    """What reads the prompt, what begins the answer or goes on with it, what makes logits.

    All paths run through them in this order, so that they can be cut anywhere; a cut between encoder and decoder, in
    front of the decoder's first block, leaves the token embedding with the encoder.
    """
    width, rows, norm = config.width, ANSWER * config.width, Cost(config.width)
    bias, table = cost.table(config.num_buckets, config.num_heads), cost.table(config.vocab_size, width)
    head = cost.linear(width, config.vocab_size, ANSWER, bias=False)
    first = {"h": rows, "bias": config.num_heads * ANSWER**2}
    made, one = ("h", "bias", "at", "cache.rows"), dict.fromkeys(("hidden", "features"), width)
    prompt = {"h": TOKENS * width}
    return (
        Part("enter", ("embeds", "mask", "positions"), ("h", "bias", "keys"), *bias.fields,
             {**prompt, "bias": config.num_heads * TOKENS**2}),
        *(encoder_block(config, name) for name in config.encoder_blocks),
        Part("memory", ("h", "targets"), ("memory", "ids"), *norm.fields, {"memory": TOKENS * width}),
        Part("embed", ("ids",), ("embeds",), *table.fields, {"embeds": rows}),
        Part("start", ("embeds", "keys", "room"), made, *bias.fields, first),
        Part("advance", ("embeds", "at", "order", "cache.rows"), (*made, "keys"), *bias.fields, first),
        *(decoder_block(config, name) for name in config.decoder_blocks),
        Part("norm", ("h",), ("hidden", "features"), *norm.fields, dict.fromkeys(one, rows)),
        Part("last", ("hidden",), ("hidden", "features"), *Cost().fields, one),
        Part("head", ("features",), ("logits",), *head.fields, {"logits": ANSWER * config.vocab_size},
             linear=head.linear, logits=head.linear),
    )  # fmt: skip


def encoder_block(config: T5LMConfig, name: str) -> Part:
    """Tokens of the prompt see each other."""
    found, sizes = block_cost(config), {"h": TOKENS * config.width}
    return Part(name, ("h", "bias"), ("h",), *found.fields, sizes, linear=found.linear)


def decoder_block(config: T5LMConfig, name: str) -> Part:
    """Tokens of the answer see those before them, and the prompt; both caches stay where the block is."""
    own, across = f"cache.{name}", f"cache.across{name.removeprefix('block')}"
    reads = ("h", "bias", "memory", "keys", "at", "room", "order", own, across)
    inner, found = config.num_heads * config.head_dim, decoder_cost(config)
    kept = {own: 2 * ANSWER * inner, across: 2 * TOKENS * inner}
    sizes = {"h": ANSWER * config.width, **kept}
    return Part(
        name,
        reads,
        ("h", own, across),
        *found.fields,
        sizes,
        kept=sum(kept.values()),
        linear=found.linear,
    )


def decoder_cost(config: T5LMConfig) -> Cost:
    """An encoder's block, of fewer tokens, and the attention over the prompt with its norm."""
    width, inner = config.width, config.num_heads * config.head_dim
    across = cost.linear(width, inner, ANSWER, bias=False) + cost.linear(inner, width, ANSWER, bias=False)
    across += cost.linear(width, inner, TOKENS, bias=False) * 2 + cost.pairs(inner, ANSWER, TOKENS)
    return block_cost(config, ANSWER) + across + Cost(width)


def lm_sharding(config: T5LMConfig) -> Sharding:
    """Heads; a text has no rows to share."""
    why = "a text has no rows that ranks could share"
    return Sharding(
        heads=config.num_heads, refused=dict.fromkeys(("patch", "ring", "ulysses", "patches"), why)
    )


def embed_path(config: T5LMConfig, call: object) -> tuple[str, ...]:
    """Ids to embeds."""
    return ("embed",)


def logits_path(config: T5LMConfig, call: object) -> tuple[str, ...]:
    """A prompt and its whole answer."""
    return (*_begun(config), "norm", "head")


def prefill_path(config: T5LMConfig, call: object) -> tuple[str, ...]:
    """A prompt, and the token that answers begin with."""
    return (*_begun(config), "norm", "last", "head")


def step_path(config: T5LMConfig, call: object) -> tuple[str, ...]:
    """One token more of an answer."""
    return ("embed", "advance", *config.decoder_blocks, "norm", "last", "head")


def _begun(config: T5LMConfig) -> tuple[str, ...]:
    return ("enter", *config.encoder_blocks, "memory", "embed", "start", *config.decoder_blocks)
