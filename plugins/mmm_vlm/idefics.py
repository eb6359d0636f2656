"""IDEFICS -> a graph that answers questions about images, at which it looks between its blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import GENERIC, Fields, Foreign
from mmm_vlm import common
from mmm_vlm.common import Tree
from mmm_vlm.places import link_to

TEXT = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
    "rope_parameters": None,
}
"""What its language model has in common with Llama, and what it is where the config does not say it."""
FIELDS = Fields(
    sizes={},
    others={
        **TEXT,
        **dict.fromkeys(("vision_config", "perceiver_config")),
        **{"additional_vocab_size": 0, "cross_layer_interval": 1, "use_resampler": False},
        **{"qk_layer_norms": False, "alpha_type": "float"},
    },
    meaningless=(GENERIC - {"tie_word_embeddings"})
    | {
        *("alpha_initializer", "alphas_initializer_range", "freeze_text_layers", "freeze_vision_layers"),
        *("freeze_text_module_exceptions", "freeze_vision_module_exceptions", "freeze_lm_head"),
        *("eos_token_id", "word_embed_proj_dim", "num_key_value_heads", "cross_layer_activation_function"),
        *("ffn_dim", "max_new_tokens", "image_token_id"),
    },
)
GATED = ("width", "media_dim")
"""Widths that follow from the links."""
END = "<end_of_utterance>"
"""A token that only models have which were trained on conversations."""


def import_idefics(foreign: Foreign) -> Tree:
    """IDEFICS: a token looks at the last image before it.

    Raises:
        ValueError: a field that is not known, or a value that is not supported.
    Source: transformers, models/idefics/modeling_idefics.py; Laurencon et al. 2023 (arXiv:2306.16527); Alayrac et al.
    2022 (arXiv:2204.14198).
    """
    said = FIELDS.read(foreign.config)[1]
    seen: Tree = {
        "pixels": {**common.pictures(foreign, "image.preprocess"), "in": {"image": "chat.images"}},
        "features": {
            "call": "vision.hidden",
            "config": {"norm": False},
            "in": {"image": "pixels"},
        },
    }
    if said["use_resampler"]:
        seen["soft"] = {"call": "bridge", "in": {"features": "features"}}
    links = {"ids": "chat", "mask": "chat.mask", "media": [*seen][-1], "media_index": "chat.media_index"}
    return {
        "description": f"Answers questions about images (imported from: {foreign.class_name}).",
        "params": common.params(foreign),
        "inputs": {"chat": "Chat[b]"},
        "models": {
            "tok": common.tokenizer(foreign, media_tokens={"image": "<image>"}),
            **_models(foreign, said),
        },
        "nodes": {
            "chat": {"call": "tok.chat", "config": _template(foreign), "in": {"chat": "$in.chat"}},
            **seen,
            "answer": common.answer(links, common.end_ids(foreign)),
        },
        "outputs": common.OUTPUTS,
    }


def _models(foreign: Foreign, said: Mapping[str, Any]) -> Tree:
    vision = said["vision_config"] or {}
    found = {
        "vision": common.part(
            foreign, "IdeficsVisionTransformer", link_to(foreign, "model.vision_model"), vision
        )
    }
    if said["use_resampler"]:
        link = link_to(foreign, "model.perceiver_resampler")
        found["bridge"] = common.part(foreign, "IdeficsPerceiverResampler", link, foreign.config)
    link = link_to(foreign, "model.gated_cross_attn_layers")
    found["xattn"] = common.part(foreign, "IdeficsGatedCrossAttentionLayer", link, foreign.config, GATED)
    text = {key: said[key] for key in TEXT if said[key] is not None}
    llm = common.decoder(foreign, foreign.link, {"model_type": "llama", **text})
    extra = said["additional_vocab_size"]
    if extra:
        own = {"vocab_size": said["vocab_size"] + extra, "extra_tokens": extra}
        llm["config"] = {**llm.get("config", {}), **own}
    every = said["cross_layer_interval"]
    return {**found, "llm": {**llm, "attach": [{"model": "xattn", "at": "blocks", "every": every}]}}


def _template(foreign: Foreign) -> Tree:
    if common.has_template(foreign):
        return {"start": True}
    return {"template": "idefics_instruct" if END in common.added_tokens(foreign) else "idefics"}
