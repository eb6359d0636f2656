"""diffusers' config.json of AutoencoderKL <-> ours, and where the weights stand in its files and in others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Fields, Layout
from mmm_vae.config import VaeConfig
from mmm_vae.keys import DIFFUSERS, OLD, original_rows

CLASS, DOWN, UP = "AutoencoderKL", "DownEncoderBlock2D", "UpDecoderBlock2D"

FIELDS = Fields(
    sizes={
        "image_channels": ("in_channels", 3),
        "latent_channels": ("latent_channels", 4),
        "sample_size": ("sample_size", 32),
        "channels": ("block_out_channels", (64,)),
        "layers_per_block": ("layers_per_block", 1),
        "groups": ("norm_num_groups", 32),
        "mid_attention": ("mid_block_add_attention", True),
        "quant_conv": ("use_quant_conv", True),
        "post_quant_conv": ("use_post_quant_conv", True),
        "scaling_factor": ("scaling_factor", 0.18215),
    },
    others={
        "out_channels": 3,
        "shift_factor": None,
        "down_block_types": (DOWN,),
        "up_block_types": (UP,),
    },
    fixed={"act_fn": "silu", "latents_mean": None, "latents_std": None},
    meaningless=("force_upcast",),
)
"""`force_upcast` is about half precision: the importer of SDXL sets `dtype: f32` where diffusers upcasts."""


def read_diffusers(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of an AutoencoderKL.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    sizes, others = FIELDS.read(theirs)
    for name, kind in (("down_block_types", DOWN), ("up_block_types", UP)):
        if set(others[name]) != {kind}:
            raise ValueError(f"{name}: {list(others[name])} is not supported; expected only {kind}")
    if others["out_channels"] != sizes["image_channels"]:
        raise ValueError(f"out_channels: {others['out_channels']} is not supported; expected in_channels")
    return {**sizes, "shift_factor": others["shift_factor"] or 0.0}


def write_diffusers(ours: VaeConfig) -> dict[str, Any]:
    """Their config.json."""
    levels = len(ours.channels)
    return {
        "_class_name": CLASS,
        **FIELDS.write(ours),
        "out_channels": ours.image_channels,
        "shift_factor": ours.shift_factor or None,
        "down_block_types": [DOWN] * levels,
        "up_block_types": [UP] * levels,
    }


def original_shapes(ours: VaeConfig) -> dict[str, tuple[int, ...]]:
    """Attention projects by 1x1 convolutions in the original files."""
    width = ours.channels[-1]
    names = (
        f"{way}.mid.attn_1.{name}.weight"
        for way in ("encoder", "decoder")
        for name in ("q", "k", "v", "proj_out")
    )
    return dict.fromkeys(names, (width, width, 1, 1))


LAYOUTS = (
    Layout("diffusers", DIFFUSERS, (CLASS,), read_diffusers, write_diffusers),
    Layout("diffusers, old names of attention", OLD),
    Layout("original", original_rows, shapes=original_shapes),
)
