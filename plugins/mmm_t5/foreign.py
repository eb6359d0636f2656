"""transformers' config.json of T5 <-> ours, and where its weights stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmm_graph.registry import Layout
from mmm_t5.config import T5Config
from mmm_t5.keys import COMMON, DECODER, GATED, PLAIN, SHARED, TIED

CLASSES = ("T5EncoderModel", "T5ForConditionalGeneration", "T5Model")

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
}
"""Their feed_forward_proj -> our activation and gated, and the dense_act_fn that they make of it."""

FIXED = {"is_decoder": False, "model_type": "t5", "add_cross_attention": False, "pruned_heads": {}}
"""Fields that change the encoder, and the only value that we compute."""

MEANINGLESS = frozenset(
    (
        *(
            "architectures",
            "transformers_version",
            "torch_dtype",
            "dtype",
            "_name_or_path",
            "tokenizer_class",
        ),
        *(
            "dropout_rate",
            "classifier_dropout",
            "initializer_factor",
            "gradient_checkpointing",
            "n_positions",
        ),
        *("num_decoder_layers", "decoder_start_token_id", "scale_decoder_outputs", "tie_word_embeddings"),
        *("bos_token_id", "pad_token_id", "eos_token_id", "use_cache", "output_past", "task_specific_params"),
        *("problem_type", "id2label", "label2id", "return_dict", "output_hidden_states", "output_attentions"),
        *("chunk_size_feed_forward", "is_encoder_decoder", "torchscript", "use_bfloat16"),
    )
)
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
    forward = next(
        name for name, (act, gated, _) in FORWARD.items() if (act, gated) == (ours.activation, ours.gated)
    )
    return {
        "architectures": ["T5EncoderModel"],
        "model_type": "t5",
        "is_encoder_decoder": False,
        "use_cache": False,
        **{field: getattr(ours, name) for name, (field, _) in SIZES.items()},
        "feed_forward_proj": forward,
    }


def _read_forward(theirs: Mapping[str, Any]) -> dict[str, Any]:
    name = theirs.get("feed_forward_proj", "relu")
    if name not in FORWARD:
        raise ValueError(
            f"feed_forward_proj: {name!r} is not supported; expected one of {', '.join(FORWARD)}"
        )
    activation, gated, act = FORWARD[name]
    for field, made in (("dense_act_fn", act), ("is_gated_act", gated)):
        if theirs.get(field, made) != made:
            raise ValueError(
                f"{field}: {theirs[field]!r} is not supported with feed_forward_proj {name!r}; expected {made!r}"
            )
    return {"activation": activation, "gated": gated}


def _rows(token: str) -> Callable[[T5Config], Mapping[str, str]]:
    """The table, with the token embedding under one of its names."""
    return lambda config: {"embed.token": token, **COMMON, **(GATED if config.gated else PLAIN)}


FILE = "model.safetensors"
LAYOUTS = (
    Layout("transformers", _rows(SHARED), CLASSES, read_config, write_config, (TIED, *DECODER), file=FILE),
    Layout("transformers, embedding in the encoder", _rows(TIED), ignored=DECODER, file=FILE),
)
