"""The node type llm.decoder."""

from __future__ import annotations

from mmm_graph.registry import ModelType, method, model_type
from mmm_llm.config import DecoderConfig
from mmm_llm.gguf import LAYOUTS as GGUF
from mmm_llm.layouts import LAYOUTS
from mmm_llm.parts import (
    decoder_parts,
    decoder_sharding,
    embed_path,
    logits_at_path,
    logits_path,
    prefill_path,
    step_path,
)

ONE = {
    "logits": "Logits[b,$vocab_size]",
    "hidden": "Embeds[b,1,$width]",
    "at": "Scalar",
    "cache": "State",
}
"""Of the last token only."""

DECODER = model_type(
    "llm.decoder",
    DecoderConfig,
    "mmm_llm.model:Decoder",
    methods={
        "logits": method(
            embeds="Embeds[b,t,$width]",
            mask="Mask[b,t]?",
            positions="Ids[b,t]?",
            returns={"logits": "Logits[b,t,$vocab_size]", "hidden": "Embeds[b,t,$width]"},
            path=logits_path,
            doc="What may follow each token of a text, and the hidden states after the last norm. Padding may be on "
            "either side; positions do not count it.",
        ),
        "logits_at": method(
            embeds="Embeds[b,t,$width]",
            mask="Mask[b,t]?",
            positions="Ids[b,t]?",
            places="Ids[b,m]",
            returns={"logits": "Logits[b,m,$vocab_size]", "hidden": "Embeds[b,m,$width]"},
            path=logits_at_path,
            doc="The same of some tokens of each text, named by where they stand in it: a large vocabulary costs only "
            "where it is asked for. `llm.learn` asks so.",
        ),
        "embed": method(
            ids="Ids[b,t]",
            returns={"embeds": "Embeds[b,t,$width]"},
            path=embed_path,
            doc="Tokens to what the blocks read.",
        ),
        "prefill": method(
            embeds="Embeds[b,t,$width]",
            mask="Mask[b,t]?",
            positions="Ids[b,t]?",
            room="Scalar",
            prefix_cache="Scalar?",
            returns=ONE,
            path=prefill_path,
            alone=("prefix_cache",),
            doc="A prompt, padded on the left: what may follow it, and a cache with room for so many tokens more. With "
            "`prefix_cache` keys and values of prompts are kept, in so many MiB, and a prompt that begins like an "
            "earlier one is computed from where they differ: where it is a batch by itself, without padding and "
            "positions.",
        ),
        "step": method(
            ids="Ids[b,1]",
            at="Scalar",
            cache="State",
            order="Ids[b]?",
            returns={name: port for name, port in ONE.items() if name != "cache"},
            path=step_path,
            doc="One token more, at the place `at` of a cache, which is written in place: what may follow it. With "
            "`order` each row goes on from what row order[i] was.",
        ),
    },
    parts=decoder_parts,
    sharding=decoder_sharding,
    state={"h": "Embeds[b,t,$width]"},
    doc="A language model in which each token sees those before it: Llama, Mistral, Qwen, SmolLM, OPT and GPT-2 by its "
    "config; with the defaults, Llama-2-7B.",
    source="Radford et al. 2019; Touvron et al. 2023 (arXiv:2307.09288)",
    layouts=(*LAYOUTS, *GGUF),
)


def llm_nodes() -> list[ModelType]:
    """llm.decoder."""
    return [DECODER]
