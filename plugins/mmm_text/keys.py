"""Names of the weights: ours -> transformers' CLIPTextModel. `{i}` stands for a number; a row names a prefix."""

from mmm_graph.registry import below

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

POSITIONS = "embeddings.position_ids"
"""The numbers 0, 1, 2, ...: older versions saved them as a buffer."""
