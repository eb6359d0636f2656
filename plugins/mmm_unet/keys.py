"""Names of the weights: ours -> theirs. `{i}` stands for a number; a row names a prefix."""

from __future__ import annotations

from mmm_graph.nn.diffusers_names import ATTENTION, RESNET, TRANSFORMER
from mmm_graph.nn.unet_layout import Level, Row, layout
from mmm_graph.registry import Cut, below
from mmm_unet.config import UNetConfig

Table = dict[str, str | Cut]

ORIGINAL_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "skip": "skip_connection",
}

OLD_ATTENTION = {"q": "query", "k": "key", "v": "value", "out": "proj_attn"}


def diffusers(pixels: dict[str, str]) -> Table:
    """UNet2DConditionModel and UNet2DModel, with their names of the projections of attention between pixels."""
    attend = {**TRANSFORMER, "pixels.norm": "group_norm", **below("pixels.attn", "", pixels)}
    return {
        "embed.time.up": "time_embedding.linear_1",
        "embed.time.down": "time_embedding.linear_2",
        "embed.time.guidance": "time_embedding.cond_proj",
        "embed.label": "class_embedding",
        "embed.beside": "class_embedding",
        "embed.added.up": "add_embedding.linear_1",
        "embed.added.down": "add_embedding.linear_2",
        "embed.conv": "conv_in",
        **below("down{i}_{j}.resnet", "down_blocks.{i}.resnets.{j}", RESNET),
        **below("down{i}_{j}.attn", "down_blocks.{i}.attentions.{j}", attend),
        "down{i}_half.down.conv": "down_blocks.{i}.downsamplers.0.conv",
        **below("mid.resnet1", "mid_block.resnets.0", RESNET),
        **below("mid.attn", "mid_block.attentions.0", attend),
        **below("mid.resnet2", "mid_block.resnets.1", RESNET),
        **below("up{i}_{j}.resnet", "up_blocks.{i}.resnets.{j}", RESNET),
        **below("up{i}_{j}.attn", "up_blocks.{i}.attentions.{j}", attend),
        "up{i}_double.up.conv": "up_blocks.{i}.upsamplers.0.conv",
        "head.norm": "conv_norm_out",
        "head.conv": "conv_out",
    }


DIFFUSERS = diffusers(ATTENTION)
OLD_DIFFUSERS = diffusers(OLD_ATTENTION)
"""Before diffusers 0.17."""


def original_rows(config: UNetConfig) -> Table:
    """CompVis/latent-diffusion and Stability-AI/generative-models, below `model.diffusion_model`.

    Attention between pixels has no rows: theirs fuses q, k and v head by head.
    """
    return {
        "embed.time.up": "time_embed.0",
        "embed.time.down": "time_embed.2",
        "embed.label": "label_emb",
        "embed.added.up": "label_emb.0.0",
        "embed.added.down": "label_emb.0.2",
        "embed.conv": "input_blocks.0.0",
        **_original_way(config),
        "head.norm": "out.0",
        "head.conv": "out.2",
    }


def _original_way(config: UNetConfig) -> Table:
    """The rows of the layout, which they count through: one number a row, but doubling belongs to the block before."""
    table: Table = {}
    down = up = 0
    for row in layout(config):
        if row.form == "middle":
            table |= _original_middle(row.level)
        elif row.form == "up":
            table[f"{row.name}.up.conv"] = f"output_blocks.{up - 1}.{1 + _attends(row.level)}.conv"
        elif row.form == "down":
            down += 1
            table[f"{row.name}.down.conv"] = f"input_blocks.{down}.0.op"
        elif row.writes_skip:
            down += 1
            table |= _original_block(row, f"input_blocks.{down}")
        else:
            table |= _original_block(row, f"output_blocks.{up}")
            up += 1
    return table


def _original_block(row: Row, name: str) -> Table:
    attend = below(f"{row.name}.attn", f"{name}.1", TRANSFORMER) if row.level.attention == "cross" else {}
    return {**below(f"{row.name}.resnet", f"{name}.0", ORIGINAL_RESNET), **attend}


def _original_middle(level: Level) -> Table:
    attend = below("mid.attn", "middle_block.1", TRANSFORMER) if level.attention == "cross" else {}
    last = f"middle_block.{1 + _attends(level)}"
    first = below("mid.resnet1", "middle_block.0", ORIGINAL_RESNET)
    return {**first, **attend, **below("mid.resnet2", last, ORIGINAL_RESNET)}


def _attends(level: Level) -> bool:
    return level.attention != "none"
