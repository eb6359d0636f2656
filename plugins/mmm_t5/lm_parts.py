"""The parts of T5 as a language model, their paths, and how it may be shared, without torch."""

from __future__ import annotations

from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.registry import Part, Sharding, TextWork
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
    answer = TextWork(ANSWER)
    made, one = ("h", "bias", "at", "cache.rows"), dict.fromkeys(("hidden", "features"), width)
    prompt = {"h": TOKENS * width}
    return (
        Part("enter", ("embeds", "mask", "positions"), ("h", "bias", "keys"), *bias.fields,
             {**prompt, "bias": config.num_heads * TOKENS**2}, text=TextWork(TOKENS)),
        *(encoder_block(config, name) for name in config.encoder_blocks),
        Part("memory", ("h", "targets"), ("memory", "ids"), *norm.fields, {"memory": TOKENS * width},
             text=TextWork(TOKENS, last=True)),
        Part("recall", ("memory", "mask"), ("ids", "keys"), *Cost().fields, {}, text=TextWork(TOKENS, last=True)),
        Part("embed", ("ids",), ("embeds",), *table.fields, {"embeds": rows}, table=table.params, text=answer),
        Part("start", ("embeds", "keys", "room"), made, *bias.fields, first, text=answer),
        Part("advance", ("embeds", "at", "order", "cache.rows"), (*made, "keys"), *bias.fields, first,
             tied=bias.params, text=answer),
        *(decoder_block(config, name) for name in config.decoder_blocks),
        Part("norm", ("h",), ("hidden", "features"), *norm.fields, dict.fromkeys(one, rows), text=answer),
        Part("last", ("hidden",), ("hidden", "features"), *Cost().fields, one),
        Part("head", ("features",), ("logits",), *head.fields, {"logits": ANSWER * config.vocab_size},
             linear=head.linear, logits=head.linear, tied=head.params * config.tied, text=answer),
    )  # fmt: skip


def encoder_block(config: T5LMConfig, name: str) -> Part:
    """Tokens of the prompt see each other."""
    found, sizes = block_cost(config), {"h": TOKENS * config.width}
    text = TextWork(TOKENS, found.pairs, TOKENS)
    return Part(name, ("h", "bias"), ("h",), *found.fields, sizes, linear=found.linear, text=text)


def decoder_block(config: T5LMConfig, name: str) -> Part:
    """Tokens of the answer see those before them, and the prompt; both caches stay where the block is."""
    own, across = f"cache.{name}", f"cache.across{name.removeprefix('block')}"
    reads = ("h", "bias", "memory", "keys", "at", "room", "order", own, across)
    inner, found = config.num_heads * config.head_dim, decoder_cost(config)
    keys = prompt_keys(config)
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
        text=TextWork(ANSWER, found.pairs, ANSWER + TOKENS, once_flops=keys.flops, once_params=keys.params),
    )


def decoder_cost(config: T5LMConfig) -> Cost:
    """An encoder's block, of fewer tokens, and the attention over the prompt with its norm."""
    width, inner = config.width, config.num_heads * config.head_dim
    across = cost.linear(width, inner, ANSWER, bias=False) + cost.linear(inner, width, ANSWER, bias=False)
    across += prompt_keys(config) + cost.pairs(inner, ANSWER, TOKENS)
    return block_cost(config, ANSWER) + across + Cost(width)


def prompt_keys(config: T5LMConfig) -> Cost:
    """Keys and values of the prompt, which are made once."""
    return cost.linear(config.width, config.num_heads * config.head_dim, TOKENS, bias=False) * 2


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


def encode_path(config: T5LMConfig, call: object) -> tuple[str, ...]:
    """A prompt as the decoder sees it."""
    return ("enter", *config.encoder_blocks, "memory")


def recall_path(config: T5LMConfig, call: object) -> tuple[str, ...]:
    """Such a prompt, and the token that answers begin with."""
    return ("recall", "embed", "start", *config.decoder_blocks, "norm", "last", "head")


def step_path(config: T5LMConfig, call: object) -> tuple[str, ...]:
    """One token more of an answer."""
    return ("embed", "advance", *config.decoder_blocks, "norm", "last", "head")


def _begun(config: T5LMConfig) -> tuple[str, ...]:
    return (*encode_path(config, None), "embed", "start", *config.decoder_blocks)
