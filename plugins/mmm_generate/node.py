"""Declarations: the decoding loop, its ops, and what changes logits."""

from __future__ import annotations

from mmm_generate import config as c
from mmm_generate.expand import expand
from mmm_graph.config import Config
from mmm_graph.registry import CompositeType, NodeType, OpType, composite_type, op_type

LOGITS = "Logits[b,v]"

PROCESSORS: tuple[tuple[str, type[Config], str], ...] = (
    ("temperature", c.TemperatureConfig, "Logits divided by a temperature."),
    ("top_k", c.TopKConfig, "Only the k likeliest tokens."),
    ("top_p", c.TopPConfig, "Only the likeliest tokens that together have probability p."),
    ("min_p", c.MinPConfig, "Only tokens at least p times as likely as the likeliest."),
    ("repetition_penalty", c.PenaltyConfig, "Tokens that are there already become rarer."),
    ("no_repeat_ngram", c.NgramConfig, "No sequence of `size` tokens comes twice."),
    ("suppress", c.SuppressConfig, "Some tokens are never picked."),
)
"""Name, config, what it does."""


def processors() -> list[OpType]:
    """What changes logits: any op with these ports can be named under `processors:` of llm.generate."""
    plain = [
        op_type(
            f"logits.{name}",
            f"mmm_generate.processors:{name}",
            logits=LOGITS,
            ids="Ids[b,t]",
            returns={"logits": LOGITS},
            config=config,
            doc=doc,
        )
        for name, config, doc in PROCESSORS
    ]
    least = op_type(
        "logits.min_tokens",
        "mmm_generate.processors:min_tokens",
        logits=LOGITS,
        ids="Ids[b,t]",
        prompt="Scalar",
        returns={"logits": LOGITS},
        config=c.MinTokensConfig,
        uses={"tokenizer": "tokenizer?"},
        doc="No answer ends before it has so many tokens.",
    )
    return [*plain, least]


def sizes() -> list[OpType]:
    """What a prompt is told of memory."""
    return [
        op_type(
            "llm.room",
            "mmm_generate.ops:room",
            returns={"room": "Scalar"},
            config=c.RoomConfig,
            doc="How many tokens may follow a prompt: what caches have room for.",
        ),
        op_type(
            "llm.prefix_cache",
            "mmm_generate.ops:prefix_cache",
            returns={"mib": "Scalar"},
            config=c.PrefixConfig,
            doc="MiB for keys and values of prompts that are kept for prompts that begin alike.",
        ),
    ]


def ops() -> list[OpType]:
    """The ops of the loop itself."""
    return [
        op_type(
            "llm.next",
            "mmm_generate.ops:next_place",
            at="Scalar",
            returns={"at": "Scalar"},
            doc="The place after the one where a token is written.",
        ),
        op_type(
            "llm.begin",
            "mmm_generate.ops:begin",
            logits=LOGITS,
            ids="Ids[b,t]?",
            returns={"done": "Bool[b]", "ids": "Ids", "length": "Scalar"},
            doc="What a decoding loop begins with.",
        ),
        op_type(
            "logits.pick",
            "mmm_generate.ops:pick",
            logits=LOGITS,
            returns={"id": "Ids[b,1]", "logprob": "Logits[b,1]"},
            config=c.PickConfig,
            noise=True,
            doc="The likeliest token, or one drawn by the probabilities; its log-probability.",
        ),
        op_type(
            "llm.stop",
            "mmm_generate.ops:stop",
            id="Ids[b,1]",
            done="Bool[b]",
            left="Scalar",
            ids="Ids",
            returns={
                "id": "Ids[b,1]",
                "mask": "Mask[b,1]",
                "ids": "Ids",
                "done": "Bool[b]",
                "left": "Scalar",
                "more": "Bool",
                "over": "Bool",
            },
            config=c.StopConfig,
            uses={"tokenizer": "tokenizer?"},
            doc="Answers that end with this token are done; what follows in them is padding.",
        ),
        op_type(
            "llm.stop_text",
            "mmm_generate.ops:stop_text",
            ids="Ids",
            done="Bool[b]",
            left="Scalar",
            prompt="Scalar",
            returns={"done": "Bool[b]", "more": "Bool", "over": "Bool"},
            config=c.StopTextConfig,
            uses={"tokenizer": "tokenizer"},
            doc="Answers that contain a stop text are done.",
        ),
    ]


def beam_ops() -> list[OpType]:
    """The ops of a beam search."""
    tokenizer = {"tokenizer": "tokenizer?"}
    return [
        op_type(
            "beams.spread",
            "mmm_generate.beams:spread",
            x="Any",
            returns={"x": "Any"},
            config=c.BeamsConfig,
            doc="Each row of a batch once for each beam.",
        ),
        op_type(
            "beams.begin",
            "mmm_generate.beams:begin",
            logits=LOGITS,
            returns={"state": "State"},
            config=c.BeamsConfig,
            doc="No answers yet, and beams that are all alike.",
        ),
        op_type(
            "beams.log_softmax",
            "mmm_generate.beams:log_softmax",
            logits=LOGITS,
            ids="Ids[b,t]",
            returns={"logits": LOGITS},
            doc="Log-probabilities, which scores of beams are sums of.",
        ),
        op_type(
            "beams.advance",
            "mmm_generate.beams:advance",
            logits=LOGITS,
            state="State",
            left="Scalar",
            ids="Ids",
            returns={
                "state": "State",
                "id": "Ids[b,1]",
                "order": "Ids[b]",
                "ids": "Ids",
                "left": "Scalar",
                "more": "Bool",
                "over": "Bool",
            },
            config=c.BeamsConfig,
            uses=tokenizer,
            doc="One token more for each beam; those that end take the places of worse answers.",
        ),
        op_type(
            "beams.best",
            "mmm_generate.beams:best",
            state="State",
            returns={"ids": "Ids[b,n]", "mask": "Mask[b,n]", "score": "Scalar[b]"},
            config=c.PadConfig,
            uses=tokenizer,
            doc="The best answer of each prompt.",
        ),
    ]


def composites() -> list[CompositeType]:
    """The decoding loop."""
    return [
        composite_type(
            "llm.generate",
            expand,
            embeds="Embeds[b,t,d]?",
            ids="Ids[b,t]?",
            mask="Mask[b,t]?",
            positions="Ids[b,t]?",
            media="Any?",
            media_index="Ids[b,t]?",
            config=c.GenerateConfig,
            uses={"llm": "llm", "tokenizer": "tokenizer?"},
            doc="An answer to a prompt, token by token: ids [b,n], mask [b,n] (True up to the end of each answer), "
            "logprobs [b,n], and text with `use: {tokenizer: ...}`. The prompt is `embeds`, or `ids`, padded on the "
            "left; ids linked beside embeds count for the repetition penalty.",
        )
    ]


def node_types() -> list[NodeType]:
    """Everything that this plugin offers."""
    return [*processors(), *sizes(), *ops(), *beam_ops(), *composites()]
