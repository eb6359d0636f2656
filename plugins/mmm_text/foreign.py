"""transformers' config.json of CLIP text models <-> ours, and where their weights stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Layout
from mmm_text.config import TextEncoderConfig
from mmm_text.keys import CLIP, HUB, OPEN_CLIP, OPEN_CLIP_UNREAD, POSITIONS

PLAIN, PROJECTED = "CLIPTextModel", "CLIPTextModelWithProjection"
LEGACY_EOS = 2
"""Old configs say this whatever the vocabulary; transformers then pools at the largest id."""

SIZES = {
    "vocab_size": ("vocab_size", 49408),
    "max_length": ("max_position_embeddings", 77),
    "width": ("hidden_size", 512),
    "depth": ("num_hidden_layers", 12),
    "num_heads": ("num_attention_heads", 8),
    "hidden": ("intermediate_size", 2048),
    "eps": ("layer_norm_eps", 1e-5),
}
"""Our field -> theirs, and what it is when it is missing."""

ACTIVATIONS = {
    "quick_gelu": "quick_gelu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}

MEANINGLESS = frozenset(
    (
        *("architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "_name_or_path"),
        *(
            "attention_dropout",
            "dropout",
            "initializer_factor",
            "initializer_range",
            "gradient_checkpointing",
        ),
        *("bos_token_id", "pad_token_id", "use_cache", "problem_type", "id2label", "label2id"),
        *("return_dict", "output_hidden_states", "output_attentions", "chunk_size_feed_forward"),
        *("torchscript", "use_bfloat16", "tie_word_embeddings", "is_encoder_decoder"),
    )
)
"""For training, for other kinds of models, or the caller's business: the same hidden states whatever they say."""


def read_plain(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a CLIPTextModel.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    known = {field for field, _ in SIZES.values()} | {"hidden_act", "eos_token_id", "projection_dim"}
    unknown = sorted(theirs.keys() - known - MEANINGLESS)
    if unknown:
        said = ", ".join(f"{field}: {theirs[field]!r}" for field in unknown)
        raise ValueError(f"{said} is not supported; known are {', '.join(sorted(known))}")
    act = theirs.get("hidden_act", "quick_gelu")
    if act not in ACTIVATIONS:
        raise ValueError(f"hidden_act: {act!r} is not supported; expected one of {', '.join(ACTIVATIONS)}")
    sizes = {ours: theirs.get(field, default) for ours, (field, default) in SIZES.items()}
    return {**sizes, "activation": ACTIVATIONS[act], **_read_eos(theirs.get("eos_token_id", 49407))}


def read_projected(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a CLIPTextModelWithProjection.

    Raises:
        ValueError: as of `read_plain`.
    """
    return {**read_plain(theirs), "projection": True, "pooled_dim": theirs.get("projection_dim", 512)}


def write_text_config(ours: TextEncoderConfig) -> dict[str, Any]:
    """Their config.json.

    Raises:
        ValueError: theirs cannot say it.
    """
    if not ours.causal:
        raise ValueError("causal: false cannot be written: CLIPTextModel always is causal")
    acts = {activation: act for act, activation in reversed(ACTIVATIONS.items())}
    return {
        "architectures": [PROJECTED if ours.projection else PLAIN],
        "model_type": "clip_text_model",
        **{field: getattr(ours, name) for name, (field, _) in SIZES.items()},
        "hidden_act": acts[ours.activation],
        "eos_token_id": _write_eos(ours),
        "projection_dim": ours.pooled_dim,
    }


def _read_eos(eos: Any) -> dict[str, Any]:
    if eos == LEGACY_EOS:
        return {"pool": "argmax"}
    if not isinstance(eos, int):
        raise ValueError(f"eos_token_id: {eos!r} is not supported; expected one id")
    return {"pool": "eos", "eos_id": eos}


def _write_eos(ours: TextEncoderConfig) -> int:
    if ours.pool == "argmax":
        return LEGACY_EOS
    if ours.pool != "eos" or ours.eos_id == LEGACY_EOS:
        what = f"pool: {ours.pool} with eos_id {ours.eos_id}"
        raise ValueError(
            f"{what} cannot be written: CLIPTextModel pools at the largest id or at an eos_id other than {LEGACY_EOS}"
        )
    return ours.eos_id


FILE = "model.safetensors"
HUB_POSITIONS = (f"text_model.{POSITIONS}",)
LAYOUTS = (
    Layout("transformers", HUB, (PLAIN,), read_plain, write_text_config, HUB_POSITIONS, file=FILE),
    Layout(
        "transformers, with projection",
        HUB,
        (PROJECTED,),
        read_projected,
        write_text_config,
        HUB_POSITIONS,
        file=FILE,
    ),
    Layout("transformers 5", CLIP, ignored=(POSITIONS,), file=FILE),
    Layout("OpenCLIP", OPEN_CLIP, ignored=OPEN_CLIP_UNREAD),
)
"""The first is read by every version; "transformers 5" is what version 5 itself writes of a CLIPTextModel."""
