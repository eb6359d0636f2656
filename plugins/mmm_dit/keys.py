"""Names of the weights: ours -> theirs. `{i}` stands for a number; a row names a prefix.

Both keep the channels of a patch as we do: outermost in the projection of patches, innermost in that of the head.
"""

from mmm_graph.registry import Cut

EMBED = "transformer_blocks.{*}.norm1.emb"
BLOCK = "transformer_blocks.{i}"

DIFFUSERS = {
    "embed.patch": "pos_embed.proj",
    "embed.time.up": f"{EMBED}.timestep_embedder.linear_1",
    "embed.time.down": f"{EMBED}.timestep_embedder.linear_2",
    "embed.label": f"{EMBED}.class_embedder.embedding_table",
    "block{i}.modulation": f"{BLOCK}.norm1.linear",
    "block{i}.attn.q": f"{BLOCK}.attn1.to_q",
    "block{i}.attn.k": f"{BLOCK}.attn1.to_k",
    "block{i}.attn.v": f"{BLOCK}.attn1.to_v",
    "block{i}.attn.out": f"{BLOCK}.attn1.to_out.0",
    "block{i}.mlp.up": f"{BLOCK}.ff.net.0.proj",
    "block{i}.mlp.down": f"{BLOCK}.ff.net.2",
    "head.modulation": "proj_out_1",
    "head.out": "proj_out_2",
}
"""DiTTransformer2DModel, which keeps a copy of the embedders of time and class in every block."""

ORIGINAL: dict[str, str | Cut] = {
    "embed.patch": "x_embedder.proj",
    "embed.time.up": "t_embedder.mlp.0",
    "embed.time.down": "t_embedder.mlp.2",
    "embed.label": "y_embedder.embedding_table",
    "block{i}.modulation": "blocks.{i}.adaLN_modulation.1",
    "block{i}.attn.q": Cut("blocks.{i}.attn.qkv", 0, 3),
    "block{i}.attn.k": Cut("blocks.{i}.attn.qkv", 1, 3),
    "block{i}.attn.v": Cut("blocks.{i}.attn.qkv", 2, 3),
    "block{i}.attn.out": "blocks.{i}.attn.proj",
    "block{i}.mlp.up": "blocks.{i}.mlp.fc1",
    "block{i}.mlp.down": "blocks.{i}.mlp.fc2",
    "head.modulation": "final_layer.adaLN_modulation.1",
    "head.out": "final_layer.linear",
}
"""facebookresearch/DiT."""
