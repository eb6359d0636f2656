"""Names of the weights: ours -> diffusers' DiTTransformer2DModel. `{i}` stands for a number; a row names a prefix.

diffusers keeps a copy of the embedders of time and class in every block; block 0 stands for all.
"""

EMBED = "transformer_blocks.0.norm1.emb"
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
