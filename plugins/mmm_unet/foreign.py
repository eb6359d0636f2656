"""diffusers' config.json of U-Nets <-> ours, and where the weights stand in their files and in others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Fields, Layout
from mmm_unet.config import UNetConfig
from mmm_unet.keys import DIFFUSERS, OLD_DIFFUSERS, original_rows
from mmm_unet.levels import read_attention, read_heads, read_levels, read_one, write_attention, write_heads

CLASS, MIDDLE = "UNet2DConditionModel", "UNetMidBlock2DCrossAttn"
PLAIN, PLAIN_MIDDLE = "UNet2DModel", "UNetMidBlock2D"
SIDE = 64
"""Of x, for the cost table, where theirs does not say it."""

SIZES = {
    "groups": ("norm_num_groups", 32),
    "eps": ("norm_eps", 1e-5),
    "cos_first": ("flip_sin_to_cos", True),
    "freq_shift": ("freq_shift", 0),
    "num_classes": ("num_class_embeds", None),
}
OTHERS = {
    "sample_size": None,
    "layers_per_block": 2,
    "downsample_padding": 1,
    "time_embedding_dim": None,
    "act_fn": "silu",
    "attention_head_dim": 8,
}
FIXED = {
    "center_input_sample": False,
    "mid_block_scale_factor": 1,
    "class_embed_type": None,
    "resnet_time_scale_shift": "default",
    "time_embedding_type": "positional",
}

FIELDS = Fields(
    sizes={
        **SIZES,
        "in_channels": ("in_channels", 4),
        "out_channels": ("out_channels", 4),
        "channels": ("block_out_channels", (320, 640, 1280, 1280)),
        "linear_projection": ("use_linear_projection", False),
        "guidance_dim": ("time_cond_proj_dim", None),
    },
    others={
        **OTHERS,
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        "transformer_layers_per_block": 1,
        "reverse_transformer_layers_per_block": None,
        "cross_attention_dim": 1280,
        "addition_embed_type": None,
        "addition_time_embed_dim": None,
        "class_embed_type": None,
        "class_embeddings_concat": False,
        "projection_class_embeddings_input_dim": None,
        "only_cross_attention": False,
        "mid_block_only_cross_attention": None,
    },
    fixed={
        **{name: value for name, value in FIXED.items() if name != "class_embed_type"},
        "mid_block_type": MIDDLE,
        "num_attention_heads": None,
        "encoder_hid_dim": None,
        "encoder_hid_dim_type": None,
        "dual_cross_attention": False,
        "resnet_skip_time_act": False,
        "resnet_out_scale_factor": 1.0,
        "time_embedding_act_fn": None,
        "timestep_post_act": None,
        "conv_in_kernel": 3,
        "conv_out_kernel": 3,
        "attention_type": "default",
        "cross_attention_norm": None,
    },
    meaningless=("dropout", "upcast_attention", "addition_embed_type_num_heads"),
)
"""`upcast_attention` is about half precision, where our attention adds up in float32 as well."""

PLAIN_FIELDS = Fields(
    sizes={
        **SIZES,
        "in_channels": ("in_channels", 3),
        "out_channels": ("out_channels", 3),
        "channels": ("block_out_channels", (224, 448, 672, 896)),
    },
    others={
        **OTHERS,
        "down_block_types": ("DownBlock2D",) + ("AttnDownBlock2D",) * 3,
        "up_block_types": ("AttnUpBlock2D",) * 3 + ("UpBlock2D",),
        "attn_norm_num_groups": None,
        "add_attention": True,
    },
    fixed={**FIXED, "mid_block_type": PLAIN_MIDDLE, "downsample_type": "conv", "upsample_type": "conv"},
    meaningless=("dropout", "num_train_timesteps"),
)


def read_diffusers(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a UNet2DConditionModel.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    sizes, others = FIELDS.read(theirs)
    for name in ("only_cross_attention", "mid_block_only_cross_attention"):
        said = others[name]
        if any(said) if isinstance(said, tuple) else said:
            raise ValueError(f"{name}: {said!r} is not supported; expected false")
    ours = _read_both(sizes, others)
    levels = len(sizes["channels"])
    depths = read_levels("transformer_layers_per_block", others["transformer_layers_per_block"], levels)
    back = others["reverse_transformer_layers_per_block"]
    if back is not None and back != depths[::-1]:
        expected = list(depths[::-1])
        raise ValueError(
            f"reverse_transformer_layers_per_block: {back!r} is not supported; expected {expected}"
        )
    found = {
        **ours,
        "mid_attention": "cross",
        "num_heads": read_heads(ours["attention"], sizes["channels"], others["attention_head_dim"]),
        "transformer_layers": depths,
        **_read_addition(others),
        **_read_beside(sizes, others),
    }
    if found.get("pooled_beside") and others["cross_attention_dim"] == sizes["channels"]:
        # No condition is as wide as all levels: nothing is read there.
        kinds = tuple("twice" if kind == "cross" else kind for kind in ours["attention"])
        return {**found, "attention": kinds, "mid_attention": "twice"}
    return {**found, "cond_dim": read_one("cross_attention_dim", others["cross_attention_dim"])}


def read_plain(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a UNet2DModel, which reads no text.

    Raises:
        ValueError: as of `read_diffusers`.
    """
    sizes, others = PLAIN_FIELDS.read(theirs)
    ours = _read_both(sizes, others)
    if "cross" in ours["attention"]:
        found = list(others["down_block_types"])
        raise ValueError(f"down_block_types: {found} is not supported; {PLAIN} reads no text")
    groups, head = others["attn_norm_num_groups"], others["attention_head_dim"]
    if groups not in (None, sizes["groups"]):
        raise ValueError(f"attn_norm_num_groups: {groups!r} is not supported; expected {sizes['groups']}")
    middle = "self" if others["add_attention"] else "none"
    kinds, widths = (*ours["attention"], middle), (*sizes["channels"], sizes["channels"][-1])
    for kind, width in zip(kinds, widths, strict=True):
        if kind == "self" and head is not None and width % head:
            raise ValueError(
                f"attention_head_dim: {head} is not supported; {width} channels do not divide by it"
            )
    return {**ours, "mid_attention": middle, "num_heads": 1, "head_dim": head}


def write_diffusers(ours: UNetConfig) -> dict[str, Any]:
    """Their config.json: of a UNet2DConditionModel if the middle reads a text, else of a UNet2DModel.

    Raises:
        ValueError: theirs cannot say it.
    """
    if ours.times != (1000.0 if ours.prediction == "flow" else 1.0):
        raise ValueError(
            f"time_scale: {ours.time_scale} cannot be written: diffusers takes times as they are"
        )
    conditional = ours.mid_attention in ("cross", "twice")
    more = _write_conditional(ours) if conditional else _write_plain(ours)
    down, up = write_attention(ours)
    return {
        **more,
        "sample_size": ours.sample_size,
        "down_block_types": down,
        "up_block_types": up,
        "layers_per_block": ours.layers_per_block,
        "downsample_padding": 1 if ours.down_padding == "both" else 0,
        "act_fn": "silu",
    }


def _read_both(sizes: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """What both classes say alike."""
    if others["act_fn"] not in ("silu", "swish"):
        raise ValueError(f"act_fn: {others['act_fn']!r} is not supported; expected 'silu'")
    if others["time_embedding_dim"] not in (None, 4 * sizes["channels"][0]):
        raise ValueError(
            f"time_embedding_dim: {others['time_embedding_dim']} is not supported; expected none"
        )
    if others["downsample_padding"] not in (0, 1):
        raise ValueError(
            f"downsample_padding: {others['downsample_padding']} is not supported; expected 0 or 1"
        )
    side = others["sample_size"]
    return {
        **sizes,
        "sample_size": max(side) if isinstance(side, tuple) else side or SIDE,
        "attention": read_attention(others["down_block_types"], others["up_block_types"]),
        "layers_per_block": read_one("layers_per_block", others["layers_per_block"]),
        "down_padding": "both" if others["downsample_padding"] == 1 else "after",
    }


def _read_addition(others: Mapping[str, Any]) -> dict[str, Any]:
    """Pooled text and six sizes, which theirs counts together."""
    kind, size_dim = others["addition_embed_type"], others["addition_time_embed_dim"]
    if kind is None:
        return {}
    if kind != "text_time":
        raise ValueError(f"addition_embed_type: {kind!r} is not supported; expected 'text_time' or none")
    both = others["projection_class_embeddings_input_dim"]
    if not isinstance(size_dim, int) or not isinstance(both, int) or both <= 6 * size_dim:
        said = f"addition_time_embed_dim: {size_dim!r} with projection_class_embeddings_input_dim: {both!r}"
        raise ValueError(f"{said} is not supported; expected six sinusoids and a pooled text")
    return {"size_dim": size_dim, "pooled_dim": both - 6 * size_dim}


def _read_beside(sizes: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """A vector that stands beside the time, which theirs calls a class."""
    kind, beside = others["class_embed_type"], others["class_embeddings_concat"]
    if kind is None and not beside:
        return {}
    if kind != "simple_projection" or not beside:
        said = f"class_embed_type: {kind!r} with class_embeddings_concat: {beside!r}"
        raise ValueError(f"{said} is not supported; expected 'simple_projection' and true, or neither")
    width = others["projection_class_embeddings_input_dim"]
    if not isinstance(width, int) or sizes["num_classes"] is not None or others["addition_embed_type"]:
        said = f"class_embed_type: {kind!r} with projection_class_embeddings_input_dim: {width!r}"
        raise ValueError(
            f"{said} is not supported; expected its width, and no num_class_embeds or addition_embed_type"
        )
    return {"pooled_beside": True, "pooled_dim": width}


def _write_conditional(ours: UNetConfig) -> dict[str, Any]:
    kinds = {*ours.attention, ours.mid_attention}
    if "twice" in kinds and ("cross" in kinds or not ours.pooled_beside):
        raise ValueError("attention: twice cannot be written: it goes with pooled_beside, and not with cross")
    reads = (ours.is_cross, ours.cond_dim), (ours.size_dim or ours.pooled_beside, ours.pooled_dim)
    if any(wanted and width is None for wanted, width in reads):
        raise ValueError("cond_dim, pooled_dim: none cannot be written: they must be known")
    found = {
        "_class_name": CLASS,
        **FIELDS.write(ours),
        "attention_head_dim": write_heads(ours),
        "transformer_layers_per_block": [level.transformer_layers for level in ours.levels],
        "cross_attention_dim": ours.cond_dim if ours.is_cross else list(ours.channels),
    }
    if ours.pooled_beside:
        found |= {"class_embed_type": "simple_projection", "class_embeddings_concat": True}
        return found | {"projection_class_embeddings_input_dim": ours.pooled_dim}
    if ours.size_dim is None:
        return found
    return found | {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": ours.size_dim,
        "projection_class_embeddings_input_dim": ours.added_dim,
    }


def _write_plain(ours: UNetConfig) -> dict[str, Any]:
    if ours.pooled_beside:
        raise ValueError(f"pooled_beside: true cannot be written: {PLAIN} does not read it")
    if ours.is_cross:
        raise ValueError(f"mid_attention: {ours.mid_attention} cannot be written: {CLASS} has `cross` there")
    if "twice" in ours.attention:
        raise ValueError(f"attention: twice cannot be written: {PLAIN} has no transformers")
    for field in ("size_dim", "guidance_dim"):
        if getattr(ours, field) is not None:
            raise ValueError(f"{field}: {getattr(ours, field)} cannot be written: {PLAIN} does not read it")
    attending = [level for level in (*ours.levels, ours.middle) if level.attention == "self"]
    widths = {level.channels // level.num_heads for level in attending}
    if len(widths) > 1 and any(level.num_heads > 1 for level in attending):
        raise ValueError(f"num_heads: {ours.num_heads} cannot be written: {PLAIN} has heads of one width")
    return {
        "_class_name": PLAIN,
        **PLAIN_FIELDS.write(ours),
        "attention_head_dim": widths.pop() if len(widths) == 1 else None,
        "add_attention": ours.mid_attention == "self",
    }


LAYOUTS = (
    Layout("diffusers", DIFFUSERS, (CLASS,), read_diffusers, write_diffusers),
    Layout("original", original_rows),
    Layout("diffusers, without text", DIFFUSERS, (PLAIN,), read_plain, write_diffusers),
    Layout("diffusers, old names of attention", OLD_DIFFUSERS),
)
"""The original files have no config.json; those of Stable Diffusion hold this model below `model.diffusion_model`."""
