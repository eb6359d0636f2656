"""diffusers' config.json of FLUX <-> ours, and where the weights stand in their file and in the original one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_flux.config import FluxConfig
from mmm_flux.keys import DIFFUSERS, original_rows
from mmm_graph.registry import Fields, Layout

CLASS = "FluxTransformer2DModel"

AXES = (16, 56, 56)

FIELDS = Fields(
    sizes={
        "double_depth": ("num_layers", 19),
        "single_depth": ("num_single_layers", 38),
        "num_heads": ("num_attention_heads", 24),
        "head_dim": ("attention_head_dim", 128),
        "cond_dim": ("joint_attention_dim", 4096),
        "pooled_dim": ("pooled_projection_dim", 768),
        "guidance": ("guidance_embeds", False),
    },
    others={"in_channels": 64, "out_channels": None, "axes_dims_rope": AXES},
    fixed={"patch_size": 1},
)
"""`patch_size` is that of packed latents."""

OURS = {"patch_size": 2, "mlp_ratio": 4, "freq_dim": 256, "eps": 1e-6, "prediction": "flow", "times": 1000.0}
"""What their class and its pipeline always do: our field -> its value."""

PACKED = 4
"""Their latents are packed, 2 x 2 pixels into one, before the model sees them: so many times the channels."""


def read_diffusers(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a FluxTransformer2DModel.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    sizes, others = FIELDS.read(theirs)
    return {
        **sizes,
        "in_channels": _unpacked("in_channels", others["in_channels"]),
        "out_channels": _unpacked("out_channels", others["out_channels"] or others["in_channels"]),
        "rope_dims": _read_axes(others["axes_dims_rope"], sizes["head_dim"]),
    }


def write_diffusers(ours: FluxConfig) -> dict[str, Any]:
    """Their config.json.

    Raises:
        ValueError: theirs cannot say it.
    """
    for field, wanted in OURS.items():
        if getattr(ours, field) != wanted:
            raise ValueError(f"{field}: {getattr(ours, field)} cannot be written: {CLASS} has {wanted}")
    return {
        "_class_name": CLASS,
        **FIELDS.write(ours),
        "in_channels": ours.in_channels * PACKED,
        "out_channels": ours.out_channels * PACKED,
        "axes_dims_rope": list(ours.rope_dims),
    }


def _read_axes(axes: tuple[int, ...], head_dim: int) -> tuple[int, ...]:
    if len(axes) != len(AXES) or sum(axes) != head_dim or any(dim % 2 for dim in axes):
        wanted = f"{len(AXES)} even numbers that sum up to attention_head_dim {head_dim}"
        raise ValueError(f"axes_dims_rope: {list(axes)} is not supported; expected {wanted}")
    return axes


def _unpacked(field: str, channels: Any) -> int:
    if not isinstance(channels, int) or channels % PACKED:
        raise ValueError(f"{field}: {channels!r} is not supported; expected a multiple of {PACKED}")
    return channels // PACKED


LAYOUTS = (
    Layout("diffusers", DIFFUSERS, (CLASS,), read_diffusers, write_diffusers),
    Layout("original", original_rows),
)
