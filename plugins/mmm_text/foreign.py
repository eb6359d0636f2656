"""transformers' config.json of CLIP text models <-> ours, and where their weights stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import GENERIC, Layout
from mmm_text import keys
from mmm_text.activations import ACTIVATIONS, read_activation
from mmm_text.config import TextEncoderConfig
from mmm_text.siglip import SIGLIP_TEXT, read_siglip, write_siglip

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


def read_plain(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a CLIPTextModel.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    known = {field for field, _ in SIZES.values()} | {"hidden_act", "eos_token_id", "projection_dim"}
    unknown = sorted(theirs.keys() - known - GENERIC)
    if unknown:
        said = ", ".join(f"{field}: {theirs[field]!r}" for field in unknown)
        raise ValueError(f"{said} is not supported; known are {', '.join(sorted(known))}")
    activation = read_activation(theirs.get("hidden_act", "quick_gelu"))
    sizes = {ours: theirs.get(field, default) for ours, (field, default) in SIZES.items()}
    return {**sizes, "activation": activation, **_read_eos(theirs.get("eos_token_id", 49407))}


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
    if ours.projection_bias:
        raise ValueError("projection_bias: true cannot be written: CLIP's projection has none")
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
POSITIONS, HUB_POSITIONS = (keys.POSITIONS,), (f"text_model.{keys.POSITIONS}",)
HALF = (*HUB_POSITIONS, *keys.OTHER_HALF)
LAYOUTS = (
    Layout("transformers", keys.HUB, (PLAIN,), read_plain, write_text_config, HUB_POSITIONS, file=FILE),
    Layout(
        "transformers, with projection",
        keys.HUB,
        (PROJECTED,),
        read_projected,
        write_text_config,
        HUB_POSITIONS,
        file=FILE,
    ),
    Layout("transformers 5", keys.CLIP, ignored=POSITIONS, file=FILE),
    Layout("half of CLIPModel", keys.HUB, ignored=HALF, file=FILE),
    Layout("SigLIP", keys.SIGLIP_HUB, (SIGLIP_TEXT,), read_siglip, write_siglip, HUB_POSITIONS, file=FILE),
    Layout("SigLIP, transformers 5", keys.SIGLIP, ignored=POSITIONS, file=FILE),
    Layout("half of SiglipModel", keys.SIGLIP_HUB, ignored=HALF, file=FILE),
    Layout("OpenCLIP", keys.OPEN_CLIP, ignored=keys.OPEN_CLIP_UNREAD),
    Layout("OpenCLIP, with a bias", keys.OPEN_CLIP_BIAS, ignored=keys.OPEN_CLIP_UNREAD),
)
"""Each first one is read by every version; "transformers 5" is what version 5 itself writes of a text model."""
