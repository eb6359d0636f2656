"""diffusers' config.json of UNet2DConditionModel <-> ours, and where the weights stand in its files and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Fields, Layout
from mmm_unet.config import UNetConfig
from mmm_unet.keys import DIFFUSERS, original_rows

CLASS, MIDDLE = "UNet2DConditionModel", "UNetMidBlock2DCrossAttn"
BLOCKS = {"none": "DownBlock2D", "cross": "CrossAttnDownBlock2D"}
"""What a level attends to -> their name on the way down; on the way up it has Up in place of Down."""

FIELDS = Fields(
    sizes={
        "in_channels": ("in_channels", 4),
        "out_channels": ("out_channels", 4),
        "channels": ("block_out_channels", (320, 640, 1280, 1280)),
        "layers_per_block": ("layers_per_block", 2),
        "transformer_layers": ("transformer_layers_per_block", 1),
        "cond_dim": ("cross_attention_dim", 1280),
        "linear_projection": ("use_linear_projection", False),
        "num_classes": ("num_class_embeds", None),
        "groups": ("norm_num_groups", 32),
        "eps": ("norm_eps", 1e-5),
        "cos_first": ("flip_sin_to_cos", True),
        "freq_shift": ("freq_shift", 0),
    },
    others={
        "sample_size": None,
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        "downsample_padding": 1,
        "attention_head_dim": 8,
        "num_attention_heads": None,
        "addition_embed_type": None,
        "addition_time_embed_dim": None,
        "projection_class_embeddings_input_dim": None,
        "only_cross_attention": False,
    },
    fixed={
        "center_input_sample": False,
        "mid_block_type": MIDDLE,
        "mid_block_scale_factor": 1,
        "act_fn": "silu",
        "reverse_transformer_layers_per_block": None,
        "encoder_hid_dim": None,
        "encoder_hid_dim_type": None,
        "dual_cross_attention": False,
        "class_embed_type": None,
        "resnet_time_scale_shift": "default",
        "resnet_skip_time_act": False,
        "resnet_out_scale_factor": 1.0,
        "time_embedding_type": "positional",
        "time_embedding_dim": None,
        "time_embedding_act_fn": None,
        "timestep_post_act": None,
        "time_cond_proj_dim": None,
        "conv_in_kernel": 3,
        "conv_out_kernel": 3,
        "attention_type": "default",
        "class_embeddings_concat": False,
        "mid_block_only_cross_attention": None,
        "cross_attention_norm": None,
    },
    meaningless=("dropout", "upcast_attention", "addition_embed_type_num_heads"),
)
"""`upcast_attention` is about half precision, where our attention adds up in float32 as well."""


def read_diffusers(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a UNet2DConditionModel.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    sizes, others = FIELDS.read(theirs)
    for name in ("layers_per_block", "cond_dim"):
        if not isinstance(sizes[name], int):
            raise ValueError(f"{FIELDS.sizes[name][0]}: {sizes[name]} is not supported; expected one number")
    only = others["only_cross_attention"]
    if any(only) if isinstance(only, tuple) else only:
        raise ValueError(f"only_cross_attention: {only} is not supported; expected false")
    side = others["sample_size"]
    return {
        **sizes,
        "sample_size": max(side) if isinstance(side, tuple) else side or 64,
        "attention": _read_levels(others["down_block_types"], others["up_block_types"]),
        "mid_attention": "cross",
        # diffusers calls the number of heads attention_head_dim here, for the sake of old files
        "num_heads": others["num_attention_heads"] or others["attention_head_dim"],
        "down_padding": _read_padding(others["downsample_padding"]),
        **_read_addition(others),
    }


def write_diffusers(ours: UNetConfig) -> dict[str, Any]:
    """Their config.json.

    Raises:
        ValueError: theirs cannot say it.
    """
    if "self" in (*ours.attention, ours.mid_attention) or ours.mid_attention != "cross":
        raise ValueError(
            f"attention: {CLASS} has only levels with a condition or none, and one in the middle"
        )
    if ours.head_dim is not None:
        raise ValueError(f"head_dim: {ours.head_dim} cannot be written: {CLASS} counts heads")
    down = [BLOCKS[level] for level in ours.attention]
    found = {
        "_class_name": CLASS,
        **FIELDS.write(ours),
        "sample_size": ours.sample_size,
        "down_block_types": down,
        "up_block_types": [name.replace("Down", "Up") for name in reversed(down)],
        "downsample_padding": 1 if ours.down_padding == "both" else 0,
        "attention_head_dim": ours.num_heads,
    }
    if ours.size_dim is not None:
        found["addition_embed_type"] = "text_time"
        found["addition_time_embed_dim"] = ours.size_dim
        found["projection_class_embeddings_input_dim"] = ours.added_dim
    return found


def _read_levels(down: tuple[str, ...], up: tuple[str, ...]) -> tuple[str, ...]:
    known = {name: level for level, name in BLOCKS.items()}
    if any(name not in known for name in down):
        raise ValueError(f"down_block_types: {list(down)} is not supported; expected {', '.join(known)}")
    mirrored = tuple(name.replace("Down", "Up") for name in reversed(down))
    if up != mirrored:
        raise ValueError(f"up_block_types: {list(up)} is not supported; expected {list(mirrored)}")
    return tuple(known[name] for name in down)


def _read_padding(padding: Any) -> str:
    if padding not in (0, 1):
        raise ValueError(f"downsample_padding: {padding} is not supported; expected 0 or 1")
    return "both" if padding == 1 else "after"


def _read_addition(others: Mapping[str, Any]) -> dict[str, Any]:
    kind, size_dim = others["addition_embed_type"], others["addition_time_embed_dim"]
    if kind is None:
        return {}
    if kind != "text_time":
        raise ValueError(f"addition_embed_type: {kind!r} is not supported; expected 'text_time' or none")
    return {
        "size_dim": size_dim,
        "pooled_dim": others["projection_class_embeddings_input_dim"] - 6 * size_dim,
    }


LAYOUTS = (
    Layout("diffusers", DIFFUSERS, (CLASS,), read_diffusers, write_diffusers),
    Layout("original", original_rows),
)
