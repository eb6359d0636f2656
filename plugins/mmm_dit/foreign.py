"""diffusers' config.json of DiT <-> ours, and where the weights stand in their file and in the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_dit.config import DiTConfig
from mmm_dit.keys import DIFFUSERS, ORIGINAL
from mmm_graph.registry import Layout

CLASS, LEGACY = "DiTTransformer2DModel", "Transformer2DModel"

SIZES = {
    "in_channels": ("in_channels", 4),
    "sample_size": ("sample_size", 32),
    "patch_size": ("patch_size", 2),
    "depth": ("num_layers", 28),
    "num_heads": ("num_attention_heads", 16),
    "mlp_eps": ("norm_eps", 1e-5),
}
"""Our field -> theirs, and what it is when it is missing."""

DERIVED = {"attention_head_dim": 72, "num_embeds_ada_norm": 1000, "out_channels": None}
"""Theirs that several of ours follow from, and what they are when missing."""

FIXED = {
    "norm_type": "ada_norm_zero",
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "norm_elementwise_affine": False,
}
"""The only value that we compute with, which is also what a missing one is."""

OFF = {
    "attention_type": "default",
    **dict.fromkeys(
        (
            *("caption_channels", "cross_attention_dim", "double_self_attention", "interpolation_scale"),
            *("num_vector_embeds", "only_cross_attention", "use_additional_conditions"),
        )
    ),
}
"""What the legacy class can do besides -> how it says that it does not, if not by null or false."""

MEANINGLESS = ("dropout", "norm_num_groups", "upcast_attention", "use_linear_projection")
"""For training, for other models of the legacy class, or about rounding: the same prediction whatever they say."""

OURS = {"freq_dim": 256, "freq_shift": 1.0, "mlp_ratio": 4.0, "eps": 1e-6, "pooled": False, "cross": False}
"""What their class always does: our field -> its value."""


def read_diffusers(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a DiTTransformer2DModel.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
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
    sizes = {ours: theirs.get(field, default) for ours, (field, default) in SIZES.items()}
    derived = {field: theirs.get(field, default) for field, default in DERIVED.items()}
    return {
        **sizes,
        "width": sizes["num_heads"] * derived["attention_head_dim"],
        "num_classes": _read_classes(derived["num_embeds_ada_norm"]),
        "learned_sigma": _read_sigma(derived["out_channels"], sizes["in_channels"]),
        "freq_shift": OURS["freq_shift"],
    }


def read_legacy(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a Transformer2DModel: the class of the files on the hub, which diffusers tells by its norm_type.

    Raises:
        ValueError: as of `read_diffusers`, or it is another model.
    """
    return read_diffusers({"norm_type": None, **theirs})


def write_diffusers(ours: DiTConfig) -> dict[str, Any]:
    """Their config.json.

    Raises:
        ValueError: theirs cannot say it.
    """
    for field, wanted in OURS.items():
        if getattr(ours, field) != wanted:
            raise ValueError(f"{field}: {getattr(ours, field)} cannot be written: {CLASS} has {wanted}")
    if ours.num_classes is None:
        raise ValueError(f"num_classes: none cannot be written: {CLASS} always has classes")
    if ours.times != (1000.0 if ours.prediction == "flow" else 1.0):
        raise ValueError(f"time_scale: {ours.time_scale} cannot be written: {CLASS} takes times as they are")
    return {
        "_class_name": CLASS,
        **{field: getattr(ours, name) for name, (field, _) in SIZES.items()},
        "norm_eps": ours.mlp_eps or ours.eps,
        "attention_head_dim": ours.width // ours.num_heads,
        "num_embeds_ada_norm": ours.num_classes - 1,
        "out_channels": ours.in_channels * (1 + ours.learned_sigma),
        **FIXED,
    }


def patch_shapes(name: str) -> Any:
    """The projection of patches is a convolution in both files: config -> its shape by name."""

    def shapes(ours: DiTConfig) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (ours.width, ours.in_channels, ours.patch_size, ours.patch_size)}

    return shapes


def depth(ours: DiTConfig) -> int:
    """How many copies of the embedders there are."""
    return ours.depth


def _read_classes(classes: Any) -> int:
    if not isinstance(classes, int):
        raise ValueError(f"num_embeds_ada_norm: {classes!r} is not supported; expected a number of classes")
    return classes + 1  # theirs does not count the one that means "no class"


def _read_sigma(out: Any, channels: int) -> bool:
    if out not in (None, channels, 2 * channels):
        raise ValueError(f"out_channels: {out!r} is not supported; expected {channels} or {2 * channels}")
    return bool(out == 2 * channels)


LAYOUTS = (
    Layout(
        "diffusers",
        DIFFUSERS,
        (CLASS,),
        read_diffusers,
        write_diffusers,
        ignored=("pos_embed.pos_embed",),
        copies=depth,
        shapes=patch_shapes("pos_embed.proj"),
    ),
    Layout(
        "diffusers, legacy class",
        DIFFUSERS,
        (LEGACY,),
        read_legacy,
        write_diffusers,
        ignored=("pos_embed.pos_embed",),
        copies=depth,
        shapes=patch_shapes("pos_embed.proj"),
    ),
    Layout("original", ORIGINAL, ignored=("pos_embed",), shapes=patch_shapes("x_embedder.proj")),
)
"""The paper's code has no config.json; its models are those of our defaults, with freq_shift 0."""
