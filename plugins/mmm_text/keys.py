"""Weights by name: ours -> transformers (CLIP, SigLIP) and OpenCLIP. `{i}` is a number; a row of a table, a prefix."""

from __future__ import annotations

from mmm_graph.registry import Cut, below, turned

LAYER = "encoder.layers.{i}"

CLIP = {
    "embed.token": "embeddings.token_embedding",
    "embed.position": "embeddings.position_embedding",
    "block{i}.norm1": f"{LAYER}.layer_norm1",
    "block{i}.attn.q": f"{LAYER}.self_attn.q_proj",
    "block{i}.attn.k": f"{LAYER}.self_attn.k_proj",
    "block{i}.attn.v": f"{LAYER}.self_attn.v_proj",
    "block{i}.attn.out": f"{LAYER}.self_attn.out_proj",
    "block{i}.norm2": f"{LAYER}.layer_norm2",
    "block{i}.mlp.up": f"{LAYER}.mlp.fc1",
    "block{i}.mlp.down": f"{LAYER}.mlp.fc2",
    "norm.norm": "final_layer_norm",
}
"""CLIPTextModel as transformers 5 saves it."""

HUB = {**below("", "text_model", CLIP), "pool.projection": "text_projection"}
"""CLIPTextModel as older versions save it, and CLIPTextModelWithProjection as all do."""

SIGLIP = {**CLIP, "pool.projection": "head"}
"""SiglipTextModel as transformers 5 saves it."""

SIGLIP_HUB = below("", "text_model", SIGLIP)
"""SiglipTextModel as older versions save it, and the text half of SiglipModel."""

OTHER_HALF = ("vision_model.*", "visual_projection", "text_projection", "logit_scale", "logit_bias")
"""What else CLIPModel and SiglipModel hold; a text model without projection does not read CLIPModel's."""

RESBLOCK = "transformer.resblocks.{i}"

OPEN_CLIP: dict[str, str | Cut] = {
    "embed.token": "token_embedding",
    "embed.position.weight": "positional_embedding",
    "block{i}.norm1": f"{RESBLOCK}.ln_1",
    **{
        f"block{{i}}.attn.{ours}.{end}": Cut(f"{RESBLOCK}.attn.in_proj_{end}", index, 3)
        for index, ours in enumerate("qkv")
        for end in ("weight", "bias")
    },
    "block{i}.attn.out": f"{RESBLOCK}.attn.out_proj",
    "block{i}.norm2": f"{RESBLOCK}.ln_2",
    "block{i}.mlp.up": f"{RESBLOCK}.mlp.c_fc",
    "block{i}.mlp.down": f"{RESBLOCK}.mlp.c_proj",
    "norm.norm": "ln_final",
    "pool.projection.weight": turned("text_projection"),
}
"""The text half of OpenCLIP: at the root of its files, below `text` in some of them, below prefixes of their own in the
original files of Stable Diffusion 2 and XL."""

OPEN_CLIP_BIAS = {
    **{name: row for name, row in OPEN_CLIP.items() if not name.startswith("pool")},
    "pool.projection": "text_projection",
}
"""Where the projection has a bias, it is a linear layer."""

OPEN_CLIP_UNREAD = ("visual.*", "logit_scale", "logit_bias", "attn_mask")
"""The other tower; the temperature of the contrastive loss; the causal mask, which old versions saved."""

POSITIONS = "embeddings.position_ids"
"""The numbers 0, 1, 2, ...: older versions saved them as a buffer."""
