"""diffusers' config.json of UNet3DConditionModel <-> ours, and where the weights stand in its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Fields, Layout
from mmm_video.config import UNet3dConfig
from mmm_video.keys import CONV, DIFFUSERS

CLASS = "UNet3DConditionModel"
SIDE = 32
"""Of x, for the cost table, where theirs does not say it."""
BLOCKS = {"cross": "CrossAttnDownBlock3D", "none": "DownBlock3D"}
"""What a level attends to -> their name on the way down; on the way up it has Up in place of Down."""

FIELDS = Fields(
    sizes={
        "in_channels": ("in_channels", 4),
        "out_channels": ("out_channels", 4),
        "channels": ("block_out_channels", (320, 640, 1280, 1280)),
        "layers_per_block": ("layers_per_block", 2),
        "head_dim": ("attention_head_dim", 64),
        "cond_dim": ("cross_attention_dim", 1024),
        "groups": ("norm_num_groups", 32),
        "eps": ("norm_eps", 1e-5),
    },
    others={
        "sample_size": None,
        "act_fn": "silu",
        "down_block_types": (*(BLOCKS["cross"],) * 3, BLOCKS["none"]),
        "up_block_types": ("UpBlock3D", *("CrossAttnUpBlock3D",) * 3),
    },
    fixed={
        "downsample_padding": 1,
        "mid_block_scale_factor": 1,
        "num_attention_heads": None,
        "time_cond_proj_dim": None,
    },
)


def read_diffusers(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a UNet3DConditionModel.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    sizes, others = FIELDS.read(theirs)
    for name in ("attention_head_dim", "cross_attention_dim", "layers_per_block"):
        said = theirs.get(name, 1)
        if not isinstance(said, int):
            raise ValueError(f"{name}: {said!r} is not supported; expected one number")
    if others["act_fn"] not in ("silu", "swish"):
        raise ValueError(f"act_fn: {others['act_fn']!r} is not supported; expected 'silu'")
    side = others["sample_size"]
    return {
        **sizes,
        "sample_size": max(side) if isinstance(side, list | tuple) else side or SIDE,
        "attention": _read_attention(others["down_block_types"], others["up_block_types"]),
    }


def write_diffusers(ours: UNet3dConfig) -> dict[str, Any]:
    """Their config.json.

    Raises:
        ValueError: theirs cannot say it.
    """
    if ours.cond_dim is None:
        raise ValueError("cond_dim: none cannot be written: it must be known")
    if ours.prediction == "flow":
        raise ValueError("prediction: flow cannot be written: diffusers takes times as they are")
    down = [BLOCKS[kind] for kind in ours.attention]
    return {
        "_class_name": CLASS,
        **FIELDS.write(ours),
        "sample_size": ours.sample_size,
        "act_fn": "silu",
        "down_block_types": down,
        "up_block_types": _mirrored(down),
    }


def _read_attention(down: Any, up: Any) -> tuple[str, ...]:
    known = {name: kind for kind, name in BLOCKS.items()}
    if any(name not in known for name in down):
        raise ValueError(f"down_block_types: {list(down)} is not supported; expected {', '.join(known)}")
    if list(up) != _mirrored(down):
        raise ValueError(f"up_block_types: {list(up)} is not supported; expected {_mirrored(down)}")
    return tuple(known[name] for name in down)


def _mirrored(down: Any) -> list[str]:
    return [name.replace("Down", "Up") for name in reversed(down)]


def their_shapes(config: UNet3dConfig) -> dict[str, tuple[int, ...]]:
    """Convolutions along the frames, which theirs has with axes of height and width."""
    widths = {"mid_block.temp_convs.0": config.channels[-1], "mid_block.temp_convs.1": config.channels[-1]}
    for way, levels, count in (("down", config.channels, 0), ("up", config.channels[::-1], 1)):
        for i, width in enumerate(levels):
            for j in range(config.layers_per_block + count):
                widths[f"{way}_blocks.{i}.temp_convs.{j}"] = width
    places = [name for ours, name in CONV.items() if ours.startswith("convs")]
    return {f"{n}.{place}.weight": (w, w, 3, 1, 1) for n, w in widths.items() for place in places}


LAYOUTS = (Layout("diffusers", DIFFUSERS, (CLASS,), read_diffusers, write_diffusers, shapes=their_shapes),)
