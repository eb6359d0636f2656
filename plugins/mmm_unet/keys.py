"""Names of the weights: ours -> diffusers' UNet2DConditionModel. `{i}` stands for a number; a row names a prefix."""

from __future__ import annotations

RESNET = {
    "norm1": "norm1",
    "conv1": "conv1",
    "time": "time_emb_proj",
    "norm2": "norm2",
    "conv2": "conv2",
    "skip": "conv_shortcut",
}

ATTENTION = {"q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"}

TRANSFORMER = {
    "norm": "norm",
    "proj_in": "proj_in",
    "layers.{k}.norm1": "transformer_blocks.{k}.norm1",
    "layers.{k}.norm2": "transformer_blocks.{k}.norm2",
    "layers.{k}.norm3": "transformer_blocks.{k}.norm3",
    **{
        f"layers.{{k}}.attn.{ours}": f"transformer_blocks.{{k}}.attn1.{theirs}"
        for ours, theirs in ATTENTION.items()
    },
    **{
        f"layers.{{k}}.cross.{ours}": f"transformer_blocks.{{k}}.attn2.{theirs}"
        for ours, theirs in ATTENTION.items()
    },
    "layers.{k}.mlp.up": "transformer_blocks.{k}.ff.net.0.proj",
    "layers.{k}.mlp.down": "transformer_blocks.{k}.ff.net.2",
    "proj_out": "proj_out",
}

PIXELS = {
    "pixels.norm": "group_norm",
    **{f"pixels.attn.{ours}": theirs for ours, theirs in ATTENTION.items()},
}

ATTEND = TRANSFORMER | PIXELS


def below(ours: str, theirs: str, table: dict[str, str]) -> dict[str, str]:
    """The rows of a table under a prefix on either side."""
    return {f"{ours}.{a}": f"{theirs}.{b}" for a, b in table.items()}


DIFFUSERS = {
    "embed.time.up": "time_embedding.linear_1",
    "embed.time.down": "time_embedding.linear_2",
    "embed.label": "class_embedding",
    "embed.conv": "conv_in",
    **below("down{i}_{j}.resnet", "down_blocks.{i}.resnets.{j}", RESNET),
    **below("down{i}_{j}.attn", "down_blocks.{i}.attentions.{j}", ATTEND),
    "down{i}_half.down.conv": "down_blocks.{i}.downsamplers.0.conv",
    **below("mid.resnet1", "mid_block.resnets.0", RESNET),
    **below("mid.attn", "mid_block.attentions.0", ATTEND),
    **below("mid.resnet2", "mid_block.resnets.1", RESNET),
    **below("up{i}_{j}.resnet", "up_blocks.{i}.resnets.{j}", RESNET),
    **below("up{i}_{j}.attn", "up_blocks.{i}.attentions.{j}", ATTEND),
    "up{i}_double.up.conv": "up_blocks.{i}.upsamplers.0.conv",
    "head.norm": "conv_norm_out",
    "head.conv": "conv_out",
}
