"""Names of the weights: ours -> transformers', OpenCLIP's. `{i}` is a number; a row names a prefix."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_graph.registry import Cut, below, turned

Rows = Mapping[str, str | Cut]

LAYER = "encoder.layers.{i}"


def packed(ours: str, theirs: str) -> dict[str, str | Cut]:
    """Queries, keys and values of ours that are one tensor of theirs."""
    ends = (("weight", f"{theirs}_weight"), ("bias", f"{theirs}_bias"))
    return {f"{ours}.{n}.{end}": Cut(name, i, 3) for i, n in enumerate("qkv") for end, name in ends}


SEPARATE = {
    "block{i}.attn.q": f"{LAYER}.self_attn.q_proj",
    "block{i}.attn.k": f"{LAYER}.self_attn.k_proj",
    "block{i}.attn.v": f"{LAYER}.self_attn.v_proj",
    "block{i}.attn.out": f"{LAYER}.self_attn.out_proj",
}
COMMON = {
    "embed.class_token": "embeddings.class_embedding",
    "embed.patch": "embeddings.patch_embedding",
    "block{i}.norm1": f"{LAYER}.layer_norm1",
    "block{i}.norm2": f"{LAYER}.layer_norm2",
    "block{i}.mlp.up": f"{LAYER}.mlp.fc1",
    "block{i}.mlp.down": f"{LAYER}.mlp.fc2",
    "norm.norm": "post_layernorm",
}

CLIP: Rows = {
    **COMMON,
    **SEPARATE,
    "embed.position": "embeddings.position_embedding",
    "embed.norm": "pre_layrnorm",
}
"""CLIPVisionModel as transformers 5 saves it, and IDEFICS's."""

SIGLIP: Rows = {
    **COMMON,
    **SEPARATE,
    "embed.position": "embeddings.position_embedding",
    "pool.probe": "head.probe",
    **packed("pool.attn", "head.attention.in_proj"),
    "pool.attn.out": "head.attention.out_proj",
    "pool.norm": "head.layernorm",
    "pool.mlp.up": "head.mlp.fc1",
    "pool.mlp.down": "head.mlp.fc2",
}
"""SiglipVisionModel as transformers 5 saves it."""

BLIP2: Rows = {
    **COMMON,
    "embed.position.weight": "embeddings.position_embedding",
    **{f"block{{i}}.attn.{n}": Cut(f"{LAYER}.self_attn.qkv", i, 3) for i, n in enumerate("qkv")},
    "block{i}.attn.out": f"{LAYER}.self_attn.projection",
}
"""Blip2VisionModel."""

PREFIX = "vision_model"
CLIP_HUB: Rows = {**below("", PREFIX, CLIP), "pool.projection": "visual_projection"}
"""CLIPVisionModel as older versions save it, CLIPVisionModelWithProjection and CLIPModel as all do."""

SIGLIP_HUB: Rows = below("", PREFIX, SIGLIP)
"""SiglipVisionModel as older versions save it, and SiglipModel."""

POSITIONS = "embeddings.position_ids"
"""The numbers 0, 1, 2, ...: older versions saved them as a buffer."""

OTHER_HALF = ("text_model.*", "text_projection", "visual_projection", "logit_scale", "logit_bias")
"""What else CLIPModel and SiglipModel hold; a tower without projection does not read CLIPModel's."""

RESBLOCK = "transformer.resblocks.{i}"
OPEN_CLIP: Rows = {
    "embed.class_token": "class_embedding",
    "embed.patch": "conv1",
    "embed.position.weight": "positional_embedding",
    "embed.norm": "ln_pre",
    "block{i}.norm1": f"{RESBLOCK}.ln_1",
    **packed("block{i}.attn", f"{RESBLOCK}.attn.in_proj"),
    "block{i}.attn.out": f"{RESBLOCK}.attn.out_proj",
    "block{i}.norm2": f"{RESBLOCK}.ln_2",
    "block{i}.mlp.up": f"{RESBLOCK}.mlp.c_fc",
    "block{i}.mlp.down": f"{RESBLOCK}.mlp.c_proj",
    "norm.norm": "ln_post",
    "pool.projection.weight": turned("proj"),
}
"""The vision half of OpenCLIP, below `visual` in its files."""

TIMM: Rows = {
    "embed.patch": "patch_embed.proj",
    "embed.position.weight": "pos_embed",
    "block{i}.norm1": "blocks.{i}.norm1",
    **{f"block{{i}}.attn.{n}": Cut("blocks.{i}.attn.qkv", i, 3) for i, n in enumerate("qkv")},
    "block{i}.attn.out": "blocks.{i}.attn.proj",
    "block{i}.norm2": "blocks.{i}.norm2",
    "block{i}.mlp.up": "blocks.{i}.mlp.fc1",
    "block{i}.mlp.down": "blocks.{i}.mlp.fc2",
    "norm.norm": "norm",
    "pool.probe": "attn_pool.latent",
    "pool.attn.q": "attn_pool.q",
    "pool.attn.k": Cut("attn_pool.kv", 0, 2),
    "pool.attn.v": Cut("attn_pool.kv", 1, 2),
    "pool.attn.out": "attn_pool.proj",
    "pool.norm": "attn_pool.norm",
    "pool.mlp.up": "attn_pool.mlp.fc1",
    "pool.mlp.down": "attn_pool.mlp.fc2",
}
"""SigLIP as OpenCLIP keeps it, below `visual.trunk`."""
