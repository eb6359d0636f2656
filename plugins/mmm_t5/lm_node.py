"""The node type llm.t5."""

from __future__ import annotations

from mmm_graph.registry import method, model_type
from mmm_t5.config import T5LMConfig
from mmm_t5.lm_foreign import LAYOUTS
from mmm_t5.lm_parts import (
    embed_path,
    encode_path,
    lm_parts,
    lm_sharding,
    logits_path,
    prefill_path,
    recall_path,
    step_path,
)

ONE = {
    "logits": "Logits[b,$vocab_size]",
    "hidden": "Embeds[b,1,$width]",
    "at": "Scalar",
    "cache": "State",
}
"""Of the last token only."""

T5_LM = model_type(
    "llm.t5",
    T5LMConfig,
    "mmm_t5.lm_model:T5LM",
    methods={
        "logits": method(
            embeds="Embeds[b,t,$width]",
            mask="Mask[b,t]?",
            positions="Ids[b,t]?",
            targets="Ids[b,u]",
            returns={"logits": "Logits[b,u,$vocab_size]", "hidden": "Embeds[b,u,$width]"},
            path=logits_path,
            doc="What each token of an answer may be, after a prompt and the tokens of `targets` before it: the labels "
            "of these logits are the targets, not shifted. The prompt may be padded on either side, targets on the "
            "right, with any token or -100.",
        ),
        "embed": method(
            ids="Ids[b,t]",
            returns={"embeds": "Embeds[b,t,$width]"},
            path=embed_path,
            doc="Tokens to what the encoder's blocks read.",
        ),
        "prefill": method(
            embeds="Embeds[b,t,$width]",
            mask="Mask[b,t]?",
            positions="Ids[b,t]?",
            room="Scalar",
            returns=ONE,
            path=prefill_path,
            doc="A prompt, padded on either side, through the encoder: what an answer may begin with, and a cache with "
            "room for so many tokens of it.",
        ),
        "encode": method(
            embeds="Embeds[b,t,$width]",
            mask="Mask[b,t]?",
            positions="Ids[b,t]?",
            returns={"memory": "Embeds[b,t,$width]"},
            path=encode_path,
            doc="A prompt, padded on either side, through the encoder: what the decoder sees of it.",
        ),
        "prefill_encoded": method(
            memory="Embeds[b,t,$width]",
            mask="Mask[b,t]?",
            room="Scalar",
            returns=ONE,
            path=recall_path,
            doc="As prefill, of prompts that `encode` has read: so several answers to one prompt need it once.",
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
    parts=lm_parts,
    sharding=lm_sharding,
    state={"h": "Embeds[b,t,$width]"},
    doc="T5 and FLAN-T5 as a language model: an encoder reads the prompt, a decoder answers; with the defaults, "
    "FLAN-T5-XL. The methods are those of llm.decoder, and so llm.generate answers with it.",
    source="Raffel et al. 2019 (arXiv:1910.10683); Chung et al. 2022 (arXiv:2210.11416)",
    layouts=LAYOUTS,
)
