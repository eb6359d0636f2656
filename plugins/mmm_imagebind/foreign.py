"""Where ImageBind keeps the weights of its encoders, in one file with those of all modalities."""

from __future__ import annotations

from mmm_graph.registry import Cut, Layout
from mmm_imagebind.config import SoundConfig, VisionConfig

MODALITIES = ("vision", "text", "audio", "depth", "thermal", "imu")
GROUPS = ("preprocessors", "trunks", "heads", "postprocessors")


def rows(modality: str) -> dict[str, str | Cut]:
    """What both encoders have."""
    start, block = f"modality_preprocessors.{modality}", f"modality_trunks.{modality}.blocks.{{i}}"
    found: dict[str, str | Cut] = {
        "embed.class_token": f"{start}.cls_token",
        "embed.position.weight": f"{start}.pos_embedding_helper.pos_embed",
        "block{i}.norm1": f"{block}.norm_1",
        "block{i}.norm2": f"{block}.norm_2",
        "block{i}.mlp.up": f"{block}.mlp.fc1",
        "block{i}.mlp.down": f"{block}.mlp.fc2",
        "block{i}.attn.out": f"{block}.attn.out_proj",
        "norm.norm": f"modality_heads.{modality}.0",
        "pool.projection": f"modality_heads.{modality}.2",
    }
    for kind in ("weight", "bias"):
        theirs = f"{block}.attn.in_proj_{kind}"
        found |= {f"block{{i}}.attn.{n}.{kind}": Cut(theirs, i, 3) for i, n in enumerate("qkv")}
    return found


VISION = {
    **rows("vision"),
    "embed.patch": "modality_preprocessors.vision.rgbt_stem.proj.1",
    "embed.norm": "modality_trunks.vision.pre_transformer_layer.0",
}
SOUND = {
    **rows("audio"),
    "embed.patch": "modality_preprocessors.audio.rgbt_stem.proj",
    "embed.norm": "modality_preprocessors.audio.rgbt_stem.norm_layer",
    "block{i}.attn.more_k": "modality_trunks.audio.blocks.{i}.attn.bias_k",
    "block{i}.attn.more_v": "modality_trunks.audio.blocks.{i}.attn.bias_v",
    "pool.scale": "modality_postprocessors.audio.1.log_logit_scale",
}


def others(own: str) -> tuple[str, ...]:
    """What stands in the file for other modalities."""
    return tuple(f"modality_{group}.{name}.*" for group in GROUPS for name in MODALITIES if name != own)


def vision_shapes(config: VisionConfig) -> dict[str, tuple[int, ...]]:
    """Tensors that have other axes there, by name."""
    start = "modality_preprocessors.vision"
    return {
        f"{start}.cls_token": (1, 1, config.width),
        f"{start}.pos_embedding_helper.pos_embed": (1, config.tokens, config.width),
        f"{start}.rgbt_stem.proj.1.weight": (config.width, 3, config.frames, config.patch, config.patch),
    }


def sound_shapes(config: SoundConfig) -> dict[str, tuple[int, ...]]:
    """As `vision_shapes`."""
    start, one = "modality_preprocessors.audio", (1, 1, config.width)
    blocks = [f"modality_trunks.audio.blocks.{i}.attn" for i in range(config.depth)]
    return {
        f"{start}.cls_token": one,
        f"{start}.pos_embedding_helper.pos_embed": (1, config.tokens, config.width),
        f"{start}.rgbt_stem.proj.weight": (config.width, 1, config.patch, config.patch),
        **{f"{block}.bias_{x}": one for block in blocks for x in "kv"},
        "modality_postprocessors.audio.1.log_logit_scale": (),
    }


FILE = "model.safetensors"
VISION_LAYOUTS = (Layout("ImageBind", VISION, ignored=others("vision"), shapes=vision_shapes, file=FILE),)
SOUND_LAYOUTS = (Layout("ImageBind", SOUND, ignored=others("audio"), shapes=sound_shapes, file=FILE),)
