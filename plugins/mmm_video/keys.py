"""Names of the weights: ours -> diffusers' UNet3DConditionModel. `{i}` stands for a number; a row names a prefix."""

from __future__ import annotations

from mmm_graph.nn.diffusers_names import RESNET, TEMPORAL, TRANSFORMER
from mmm_graph.registry import Cut, below

CONV = {f"norms.{i}": f"conv{i + 1}.0" for i in range(4)}
CONV |= {"convs.0": "conv1.2", **{f"convs.{i}": f"conv{i + 1}.3" for i in (1, 2, 3)}}
"""Where they drop out, before the last three convolutions, a place is counted."""


def _convs(ours: str, level: str, number: str) -> dict[str, str | Cut]:
    spatial = below(f"{ours}.resnet", f"{level}.resnets.{number}", RESNET)
    return {**spatial, **below(f"{ours}.temporal", f"{level}.temp_convs.{number}", CONV)}


def _attends(ours: str, level: str, number: str) -> dict[str, str | Cut]:
    spatial = below(f"{ours}.spatial", f"{level}.attentions.{number}", TRANSFORMER)
    return {**spatial, **below(f"{ours}.temporal", f"{level}.temp_attentions.{number}", TEMPORAL)}


DIFFUSERS = {
    "embed.time.up": "time_embedding.linear_1",
    "embed.time.down": "time_embedding.linear_2",
    "embed.conv": "conv_in",
    **below("embed.temporal", "transformer_in", TEMPORAL),
    **_convs("down{i}_{j}.conv", "down_blocks.{i}", "{j}"),
    **_attends("down{i}_{j}.attn", "down_blocks.{i}", "{j}"),
    "down{i}_half.down.conv": "down_blocks.{i}.downsamplers.0.conv",
    **_convs("mid.conv1", "mid_block", "0"),
    **_attends("mid.attn", "mid_block", "0"),
    **_convs("mid.conv2", "mid_block", "1"),
    **_convs("up{i}_{j}.conv", "up_blocks.{i}", "{j}"),
    **_attends("up{i}_{j}.attn", "up_blocks.{i}", "{j}"),
    "up{i}_double.up.conv": "up_blocks.{i}.upsamplers.0.conv",
    "head.norm": "conv_norm_out",
    "head.conv": "conv_out",
}
