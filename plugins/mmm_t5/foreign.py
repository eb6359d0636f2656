"""transformers' config.json of T5 <-> ours, and where its weights stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmm_graph.registry import GENERIC, Layout
from mmm_t5.config import T5Config
from mmm_t5.keys import COMMON, DECODER, GATED, PLAIN, SHARED, TIED

CLASSES = ("T5EncoderModel", "T5Model")
"""A T5ForConditionalGeneration is llm.t5's; the encoder in its file is read where `kind: encoder.t5` is written."""

SIZES = {
    "vocab_size": ("vocab_size", 32128),
    "width": ("d_model", 512),
    "depth": ("num_layers", 6),
    "num_heads": ("num_heads", 8),
    "head_dim": ("d_kv", 64),
    "hidden": ("d_ff", 2048),
    "num_buckets": ("relative_attention_num_buckets", 32),
    "max_distance": ("relative_attention_max_distance", 128),
    "eps": ("layer_norm_epsilon", 1e-6),
}
"""Our field -> theirs, and what it is when it is missing."""

FORWARD = {
    "gated-gelu": ("gelu_tanh", True, "gelu_new"),
    "relu": ("relu", False, "relu"),
    "gated-gelu_new": ("gelu_tanh", True, "gelu_new"),
    "gated-relu": ("relu", True, "relu"),
    "gelu_new": ("gelu_tanh", False, "gelu_new"),
    "gelu": ("gelu", False, "gelu"),
}
"""Their feed_forward_proj -> our activation and gated, and the dense_act_fn that they make of it."""
ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu": "gelu", "relu": "relu"}
"""Their dense_act_fn -> ours; a config that says it means it: that of BLIP-2 has gelu beside gated-gelu."""

FIXED = {"is_decoder": False, "model_type": "t5", "add_cross_attention": False, "pruned_heads": {}}
"""Fields that change the encoder, and the only value that we compute."""

MEANINGLESS = GENERIC | {
    *("dropout_rate", "classifier_dropout", "n_positions", "output_past", "eos_token_id"),
    *("num_decoder_layers", "scale_decoder_outputs"),
}
"""For training, for the decoder and what it generates, or the caller's business: the encoder is the same."""


def read_config(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    derived = {"feed_forward_proj", "dense_act_fn", "is_gated_act"}
    known = {field for field, _ in SIZES.values()} | derived | FIXED.keys()
    unknown = sorted(theirs.keys() - known - MEANINGLESS)
    if unknown:
        said = ", ".join(f"{field}: {theirs[field]!r}" for field in unknown)
        raise ValueError(f"{said} is not supported; known are {', '.join(sorted(known))}")
    for field, only in FIXED.items():
        if theirs.get(field, only) != only:
            raise ValueError(f"{field}: {theirs[field]!r} is not supported; expected {only!r}")
    sizes = {ours: theirs.get(field, default) for ours, (field, default) in SIZES.items()}
    return {**sizes, **_read_forward(theirs)}


def write_config(ours: T5Config) -> dict[str, Any]:
    """Their config.json of a T5EncoderModel."""
    return {
        "architectures": ["T5EncoderModel"],
        "model_type": "t5",
        "is_encoder_decoder": False,
        "use_cache": False,
        **{field: getattr(ours, name) for name, (field, _) in SIZES.items()},
        **_write_forward(ours),
    }


def _read_forward(theirs: Mapping[str, Any]) -> dict[str, Any]:
    name = theirs.get("feed_forward_proj", "relu")
    if name not in FORWARD:
        raise ValueError(
            f"feed_forward_proj: {name!r} is not supported; expected one of {', '.join(FORWARD)}"
        )
    _, gated, made = FORWARD[name]
    act = theirs.get("dense_act_fn", made)
    if act not in ACTIVATIONS:
        raise ValueError(f"dense_act_fn: {act!r} is not supported; expected one of {', '.join(ACTIVATIONS)}")
    if theirs.get("is_gated_act", gated) != gated:
        said = f"is_gated_act: {theirs['is_gated_act']!r} is not supported"
        raise ValueError(f"{said} with feed_forward_proj {name!r}; expected {gated!r}")
    return {"activation": ACTIVATIONS[act], "gated": gated}


def _write_forward(ours: T5Config) -> dict[str, Any]:
    for name, (activation, gated, _) in FORWARD.items():
        if (activation, gated) == (ours.activation, ours.gated):
            return {"feed_forward_proj": name}
    return {"feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu"}


def _rows(token: str) -> Callable[[T5Config], Mapping[str, str]]:
    """The table, with the token embedding under one of its names."""
    return lambda config: {"embed.token": token, **COMMON, **(GATED if config.gated else PLAIN)}


FILE = "model.safetensors"
LAYOUTS = (
    Layout(
        *("transformers", _rows(SHARED), CLASSES, read_config, write_config, (TIED, *DECODER)),
        file=FILE,
        holders=("T5ForConditionalGeneration",),
    ),
    Layout("transformers, embedding in the encoder", _rows(TIED), ignored=DECODER, file=FILE),
)
