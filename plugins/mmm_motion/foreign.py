"""diffusers' motion adapters, and motion modules in the file of a whole U-Net: names of weights, and configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.nn.diffusers_names import TEMPORAL
from mmm_graph.registry import Fields, Layout, below
from mmm_motion.config import MotionConfig

CLASS, WHOLE = "MotionAdapter", "UNetMotionModel"
PLACES = {
    "down{i}_{j}": "down_blocks.{i}.motion_modules.{j}",
    "mid": "mid_block.motion_modules.0",
    "up{i}_{j}": "up_blocks.{i}.motion_modules.{j}",
}
ROWS = {ours: row for a, b in PLACES.items() for ours, row in below(f"{a}.along", b, TEMPORAL).items()}
POSITIONS = tuple(f"{b}.transformer_blocks.{{k}}.pos_embed.pe" for b in PLACES.values())
"""They are computed."""
MAX_LEVELS = 8
OF_UNET = (
    *("conv_in.*", "time_embedding.*", "add_embedding.*", "conv_norm_out.*", "conv_out.*"),
    *("mid_block.resnets.*", "mid_block.attentions.*"),
    *(
        f"{way}_blocks.{i}.{part}.*"
        for way in ("down", "up")
        for i in range(MAX_LEVELS)
        for part in ("resnets", "attentions", f"{way}samplers")
    ),
)
"""Another model in the same file."""

FIELDS = Fields(
    sizes={
        "channels": ("block_out_channels", (320, 640, 1280, 1280)),
        "layers_per_block": ("motion_layers_per_block", 2),
        "transformer_layers": ("motion_transformer_layers_per_block", 1),
        "mid": ("use_motion_mid_block", True),
        "mid_layers": ("motion_transformer_layers_per_mid_block", 1),
        "num_heads": ("motion_num_attention_heads", 8),
        "groups": ("motion_norm_num_groups", 32),
        "max_frames": ("motion_max_seq_length", 32),
    },
    others={},
    fixed={"motion_mid_block_layers_per_block": 1, "conv_in_channels": None},
    meaningless=(),
)
OF_WHOLE = {
    "block_out_channels": "block_out_channels",
    "layers_per_block": "motion_layers_per_block",
    "temporal_transformer_layers_per_block": "motion_transformer_layers_per_block",
    "use_motion_mid_block": "use_motion_mid_block",
    "temporal_transformer_layers_per_mid_block": "motion_transformer_layers_per_mid_block",
    "motion_num_attention_heads": "motion_num_attention_heads",
    "norm_num_groups": "motion_norm_num_groups",
    "motion_max_seq_length": "motion_max_seq_length",
}
"""What a whole U-Net calls it -> what an adapter does."""


def read_adapter(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a MotionAdapter.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    sizes, _ = FIELDS.read(theirs)
    one = {name: _one(name, sizes[name]) for name in ("layers_per_block", "mid_layers")}
    return {**sizes, **one}


def read_whole(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of the motion modules of a UNetMotionModel.

    Raises:
        ValueError: as of `read_adapter`, or the way up has modules of other sizes than the way down.
    """
    for name in ("reverse_temporal_transformer_layers_per_block", "reverse_motion_num_attention_heads"):
        if theirs.get(name) is not None:
            raise ValueError(f"{name}: {theirs[name]!r} is not supported; expected none")
    return read_adapter({OF_WHOLE[name]: value for name, value in theirs.items() if name in OF_WHOLE})


def write_adapter(ours: MotionConfig) -> dict[str, Any]:
    """The config.json of a MotionAdapter."""
    return {"_class_name": CLASS, **FIELDS.write(ours), "motion_mid_block_layers_per_block": 1}


def _one(name: str, said: Any) -> int:
    """One number, which may be said once for each level."""
    numbers = set(said) if isinstance(said, list | tuple) else {said}
    if len(numbers) != 1 or not isinstance(found := numbers.pop(), int):
        raise ValueError(f"{name}: {said!r} is not supported; expected one number")
    return found


LAYOUTS = (
    Layout("diffusers", ROWS, (CLASS,), read_adapter, write_adapter, ignored=POSITIONS),
    Layout("diffusers, in a U-Net", ROWS, (WHOLE,), read_whole, ignored=(*POSITIONS, *OF_UNET)),
)
