"""transformers' config.json of SigLIP's text model <-> ours: every token sees all, and the last place is the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import GENERIC, Fields
from mmm_text.activations import ACTIVATIONS, read_activation
from mmm_text.config import TextEncoderConfig

SIGLIP_TEXT = "SiglipTextModel"
FIELDS = Fields(
    sizes={
        "vocab_size": ("vocab_size", 32000),
        "max_length": ("max_position_embeddings", 64),
        "width": ("hidden_size", 768),
        "depth": ("num_hidden_layers", 12),
        "num_heads": ("num_attention_heads", 12),
        "hidden": ("intermediate_size", 3072),
        "eps": ("layer_norm_eps", 1e-6),
    },
    others={"hidden_act": "gelu_pytorch_tanh", "projection_size": None},
    meaningless=GENERIC | {"eos_token_id"},
)
SAID = {"causal": False, "pool": "last", "projection": True, "projection_bias": True}
"""What no config of theirs says: it is so in all of them."""


def read_siglip(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a SiglipTextModel.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    sizes, others = FIELDS.read(theirs)
    pooled = others["projection_size"] or sizes["width"]
    return {**sizes, **SAID, "activation": read_activation(others["hidden_act"]), "pooled_dim": pooled}


def write_siglip(ours: TextEncoderConfig) -> dict[str, Any]:
    """Their config.json.

    Raises:
        ValueError: theirs cannot say it.
    """
    other = {name: getattr(ours, name) for name, value in SAID.items() if getattr(ours, name) != value}
    if other:
        found = ", ".join(f"{name}: {value}" for name, value in other.items())
        raise ValueError(f"{found} cannot be written: {SIGLIP_TEXT} always has {SAID}")
    acts = {activation: act for act, activation in ACTIVATIONS.items()}
    return {
        "architectures": [SIGLIP_TEXT],
        "model_type": "siglip_text_model",
        **FIELDS.write(ours),
        "hidden_act": acts[ours.activation],
        "projection_size": ours.pooled_dim,
    }
