"""diffusers' config.json of PixArt <-> ours, and where the weights stand in their file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Layout
from mmm_pixart.config import PixArtConfig
from mmm_pixart.keys import DIFFUSERS, IGNORED

CLASS, LEGACY = "PixArtTransformer2DModel", "Transformer2DModel"

SIZES = {
    "in_channels": ("in_channels", 4),
    "sample_size": ("sample_size", 128),
    "patch_size": ("patch_size", 2),
    "depth": ("num_layers", 28),
    "num_heads": ("num_attention_heads", 16),
    "cond_dim": ("caption_channels", None),
    "eps": ("norm_eps", 1e-6),
}
"""Our field -> theirs, and what it is when it is missing."""

DERIVED = {
    "attention_head_dim": 72,
    "cross_attention_dim": 1152,
    "out_channels": 8,
    "interpolation_scale": None,
    "use_additional_conditions": None,
}
"""Theirs that ours follow from, or that must agree, and what they are when missing."""

FIXED = {
    "norm_type": "ada_norm_single",
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "norm_elementwise_affine": False,
}
"""The only value that we compute with, which is also what a missing one is."""

OFF = {
    "attention_type": "default",
    **dict.fromkeys(("double_self_attention", "num_vector_embeds", "only_cross_attention")),
}
"""What can be done besides -> how it is said that it is not, if not by null or false."""

MEANINGLESS = (
    "dropout",
    "norm_num_groups",
    "num_embeds_ada_norm",
    "upcast_attention",
    "use_linear_projection",
)
"""For training, for other models of the legacy class, or about rounding: the same prediction whatever they say."""

OURS = {"freq_dim": 256, "mlp_ratio": 4.0, "head_eps": 1e-6}
"""What their class always does: our field -> its value."""

WITH_SIZES = 128
"""The sample_size whose models read the size of the picture when use_additional_conditions is not said."""


def read_diffusers(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a PixArtTransformer2DModel.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    _check(theirs)
    sizes = {ours: theirs.get(field, default) for ours, (field, default) in SIZES.items()}
    derived = {field: theirs.get(field, default) for field, default in DERIVED.items()}
    width, side = sizes["num_heads"] * derived["attention_head_dim"], sizes["sample_size"]
    if sizes["cond_dim"] is None:
        raise ValueError("caption_channels: None is not supported; expected the width of the text")
    if derived["cross_attention_dim"] != width:
        found = derived["cross_attention_dim"]
        raise ValueError(f"cross_attention_dim: {found!r} is not supported; expected the width, {width}")
    scale, told = derived["interpolation_scale"], derived["use_additional_conditions"]
    return {
        **sizes,
        "width": width,
        "learned_sigma": _read_sigma(derived["out_channels"], sizes["in_channels"]),
        "interpolation_scale": max(side // 64, 1) if scale is None else scale,
        "size_condition": side == WITH_SIZES if told is None else told,
    }


def read_legacy(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a Transformer2DModel: the class of the files on the hub, which diffusers tells by its norm_type.

    Raises:
        ValueError: as of `read_diffusers`, or it is another model.
    """
    return read_diffusers({"norm_type": None, **theirs})


def write_diffusers(ours: PixArtConfig) -> dict[str, Any]:
    """Their config.json.

    Raises:
        ValueError: theirs cannot say it.
    """
    for field, wanted in OURS.items():
        if getattr(ours, field) != wanted:
            raise ValueError(f"{field}: {getattr(ours, field)} cannot be written: {CLASS} has {wanted}")
    if ours.cond_dim is None:
        raise ValueError("cond_dim: none cannot be written: it must be known")
    if ours.times != (1000.0 if ours.prediction == "flow" else 1.0):
        raise ValueError(f"time_scale: {ours.time_scale} cannot be written: {CLASS} takes times as they are")
    return {
        "_class_name": CLASS,
        **{field: getattr(ours, name) for name, (field, _) in SIZES.items()},
        "attention_head_dim": ours.width // ours.num_heads,
        "cross_attention_dim": ours.width,
        "out_channels": ours.in_channels * (1 + ours.learned_sigma),
        "interpolation_scale": ours.interpolation_scale,
        "use_additional_conditions": ours.size_condition,
        **FIXED,
    }


def patch_shapes(ours: PixArtConfig) -> dict[str, tuple[int, ...]]:
    """The projection of patches is a convolution in their file."""
    return {"pos_embed.proj.weight": (ours.width, ours.in_channels, ours.patch_size, ours.patch_size)}


def _check(theirs: Mapping[str, Any]) -> None:
    known = {field for field, _ in SIZES.values()} | DERIVED.keys() | FIXED.keys()
    for field, value in theirs.items():
        if field in known or field in MEANINGLESS or field.startswith("_"):
            continue
        if field not in OFF:
            raise ValueError(f"{field}: {value!r} is not supported; known are {', '.join(sorted(known))}")
        if value and value != OFF[field]:
            raise ValueError(f"{field}: {value!r} is not supported; expected {OFF[field]!r}")
    for field, wanted in FIXED.items():
        if theirs.get(field, wanted) != wanted:
            raise ValueError(f"{field}: {theirs[field]!r} is not supported; expected {wanted!r}")


def _read_sigma(out: Any, channels: int) -> bool:
    if out not in (None, channels, 2 * channels):
        raise ValueError(f"out_channels: {out!r} is not supported; expected {channels} or {2 * channels}")
    return bool(out == 2 * channels)


LAYOUTS = tuple(
    Layout(name, DIFFUSERS, (kind,), read, write_diffusers, ignored=IGNORED, shapes=patch_shapes)
    for name, kind, read in (
        ("diffusers", CLASS, read_diffusers),
        ("diffusers, legacy class", LEGACY, read_legacy),
    )
)
