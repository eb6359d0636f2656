"""transformers' config.json of CLAP's text model <-> ours, and where its weights stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_audioldm.clap.config import ClapTextConfig
from mmm_graph.nn.activation_names import ACTIVATIONS
from mmm_graph.registry import GENERIC, Fields, Layout

CLASS = "ClapTextModelWithProjection"
FILE = "model.safetensors"

FIELDS = Fields(
    sizes={
        "vocab_size": ("vocab_size", 50265),
        "positions": ("max_position_embeddings", 514),
        "kinds": ("type_vocab_size", 1),
        "pad_id": ("pad_token_id", 1),
        "width": ("hidden_size", 768),
        "depth": ("num_hidden_layers", 12),
        "num_heads": ("num_attention_heads", 12),
        "hidden": ("intermediate_size", 3072),
        "pooled_dim": ("projection_dim", 512),
        "eps": ("layer_norm_eps", 1e-12),
    },
    others={"hidden_act": "gelu", "projection_hidden_act": "relu"},
    fixed={"position_embedding_type": "absolute"},
    meaningless=GENERIC
    | {"hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "eos_token_id"}
    | {"fusion_hidden_size", "fusion_num_hidden_layers"},
)
"""`fusion_*` is about the other tower."""

LAYER = "text_model.encoder.layer.{i}"
KEYS = {
    "embed.token": "text_model.embeddings.word_embeddings",
    "embed.position": "text_model.embeddings.position_embeddings",
    "embed.kind": "text_model.embeddings.token_type_embeddings",
    "embed.norm": "text_model.embeddings.LayerNorm",
    "block{i}.attn.q": f"{LAYER}.attention.self.query",
    "block{i}.attn.k": f"{LAYER}.attention.self.key",
    "block{i}.attn.v": f"{LAYER}.attention.self.value",
    "block{i}.attn.out": f"{LAYER}.attention.output.dense",
    "block{i}.norm1": f"{LAYER}.attention.output.LayerNorm",
    "block{i}.mlp.up": f"{LAYER}.intermediate.dense",
    "block{i}.mlp.down": f"{LAYER}.output.dense",
    "block{i}.norm2": f"{LAYER}.output.LayerNorm",
    "pool.first": "text_model.pooler.dense",
    "pool.up": "text_projection.linear1",
    "pool.down": "text_projection.linear2",
}
UNREAD = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")
"""The numbers 0, 1, 2, ..., and zeros."""
OTHER_HALF = ("audio_model.*", "audio_projection.*", "logit_scale_a", "logit_scale_t")
"""What else ClapModel holds."""


def read(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a ClapTextModelWithProjection.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    sizes, others = FIELDS.read(theirs)
    for field, act in others.items():
        if act not in ACTIVATIONS:
            raise ValueError(f"{field}: {act!r} is not supported; expected one of {', '.join(ACTIVATIONS)}")
    return {
        **sizes,
        "activation": ACTIVATIONS[others["hidden_act"]],
        "pooled_activation": ACTIVATIONS[others["projection_hidden_act"]],
    }


def write(ours: ClapTextConfig) -> dict[str, Any]:
    """Their config.json."""
    acts = {activation: act for act, activation in reversed(ACTIVATIONS.items())}
    return {
        "architectures": [CLASS],
        "model_type": "clap_text_model",
        **FIELDS.write(ours),
        "hidden_act": acts[ours.activation],
        "projection_hidden_act": acts[ours.pooled_activation],
    }


LAYOUTS = (
    Layout("transformers", KEYS, (CLASS,), read, write, UNREAD, file=FILE),
    Layout("half of ClapModel", KEYS, ignored=(*UNREAD, *OTHER_HALF), file=FILE),
)
