"""diffusers' files of U-Nets -> the U-Net over frames: those for pictures, and those with motion modules in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Layout
from mmm_unet.config import UNetConfig
from mmm_unet.foreign import CLASS, read_diffusers, write_diffusers
from mmm_unet.keys import DIFFUSERS, Table, original_rows

MOTION = "UNetMotionModel"
RENAMED = {"embed": "embed.frame", "head": "head.frame", "mid.attn": "mid.attn"}
RENAMED |= {"mid.resnet1": "mid.resnet", "mid.resnet2": "mid_end.resnet"}
"""Names of the U-Net's weights begin so -> ours do so."""
MAX_LEVELS = 8
ALSO_MOTION = (
    "mid_block.motion_modules.*",
    *(f"{way}_blocks.{i}.motion_modules.*" for way in ("down", "up") for i in range(MAX_LEVELS)),
)
"""Another model in the same file."""
OF_MOTION = (
    *("motion_max_seq_length", "motion_num_attention_heads", "reverse_motion_num_attention_heads"),
    *("use_motion_mid_block", "temporal_transformer_layers_per_block"),
    *("reverse_temporal_transformer_layers_per_block", "temporal_transformer_layers_per_mid_block"),
)


def read_motion_unet(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a UNetMotionModel, without its motion modules.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    said = {key: value for key, value in theirs.items() if key not in OF_MOTION}
    for key, expected in (("mid_block_layers", 1), ("transformer_layers_per_mid_block", None)):
        found = said.pop(key, expected)
        if found != expected:
            raise ValueError(f"{key}: {found!r} is not supported; expected {expected!r}")
    for key in ("down_block_types", "up_block_types"):
        if key in said:
            said[key] = [name.replace("Motion", "2D") for name in said[key]]
    if "num_attention_heads" in said:
        said["attention_head_dim"] = said.pop("num_attention_heads")
    return read_diffusers({**said, "_class_name": CLASS})


def frames_rows(rows: Table) -> Table:
    """A table of the U-Net's names for ours."""
    return {_renamed(name): row for name, row in rows.items()}


def original_frames_rows(config: UNetConfig) -> Table:
    """As of `original_rows`."""
    return frames_rows(original_rows(config))


def _renamed(name: str) -> str:
    for old, new in RENAMED.items():
        if name.startswith(f"{old}.") or name == old:
            return new + name.removeprefix(old)
    return name


ROWS = frames_rows(DIFFUSERS)
LAYOUTS = (
    Layout("diffusers", ROWS, (CLASS,), read_diffusers, write_diffusers),
    Layout("diffusers, with motion modules", ROWS, (MOTION,), read_motion_unet, ignored=ALSO_MOTION),
    Layout("original", original_frames_rows),
)
