"""diffusers' config.json of SD3Transformer2DModel <-> ours, and where the weights stand in its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Fields, Layout
from mmm_mmdit.config import MMDiTConfig
from mmm_mmdit.keys import DIFFUSERS, ORIGINAL_POSITIONS, POSITIONS, original_rows

CLASS = "SD3Transformer2DModel"

FIELDS = Fields(
    sizes={
        "in_channels": ("in_channels", 16),
        "sample_size": ("sample_size", 128),
        "patch_size": ("patch_size", 2),
        "depth": ("num_layers", 18),
        "num_heads": ("num_attention_heads", 18),
        "head_dim": ("attention_head_dim", 64),
        "cond_dim": ("joint_attention_dim", 4096),
        "pooled_dim": ("pooled_projection_dim", 2048),
        "pos_embed_max_size": ("pos_embed_max_size", 96),
        "qk_norm": ("qk_norm", None),
        "dual_blocks": ("dual_attention_layers", ()),
    },
    others={"caption_projection_dim": 1152, "out_channels": 16},
)


def read_diffusers(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of an SD3Transformer2DModel.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    sizes, others = FIELDS.read(theirs)
    width = sizes["num_heads"] * sizes["head_dim"]
    if others["caption_projection_dim"] != width:
        said = others["caption_projection_dim"]
        raise ValueError(f"caption_projection_dim: {said} is not supported; expected the width {width}")
    if sizes["qk_norm"] not in (None, "rms_norm"):
        raise ValueError(f"qk_norm: {sizes['qk_norm']!r} is not supported; expected 'rms_norm' or none")
    return {**sizes, "out_channels": others["out_channels"] or sizes["in_channels"]}


def write_diffusers(ours: MMDiTConfig) -> dict[str, Any]:
    """Their config.json.

    Raises:
        ValueError: theirs cannot say it.
    """
    for field, wanted in (("mlp_ratio", 4.0), ("freq_dim", 256), ("eps", 1e-6)):
        if getattr(ours, field) != wanted:
            raise ValueError(f"{field}: {getattr(ours, field)} cannot be written: {CLASS} has {wanted}")
    if ours.times != (1000.0 if ours.prediction == "flow" else 1.0):
        raise ValueError(f"time_scale: {ours.time_scale} cannot be written: {CLASS} takes times as they are")
    return {
        "_class_name": CLASS,
        **FIELDS.write(ours),
        "out_channels": ours.out_channels,
        "caption_projection_dim": ours.width,
    }


def shapes(ours: MMDiTConfig, name: str = "pos_embed.proj.weight") -> dict[str, tuple[int, ...]]:
    """The projection of patches is a convolution there."""
    return {name: (ours.width, ours.in_channels, ours.patch_size, ours.patch_size)}


def original_shapes(ours: MMDiTConfig) -> dict[str, tuple[int, ...]]:
    """As `shapes`."""
    return shapes(ours, "x_embedder.proj.weight")


LAYOUTS = (
    Layout(
        "diffusers", DIFFUSERS, (CLASS,), read_diffusers, write_diffusers, ignored=(POSITIONS,), shapes=shapes
    ),
    Layout("original", original_rows, ignored=(ORIGINAL_POSITIONS,), shapes=original_shapes),
)
