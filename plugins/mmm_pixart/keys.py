"""Names of the weights: ours -> diffusers' PixArtTransformer2DModel.

`{i}` stands for a number; a row names a prefix.
"""

BLOCK = "transformer_blocks.{i}"

DIFFUSERS = {
    "embed.patch": "pos_embed.proj",
    "embed.time.up": "adaln_single.emb.timestep_embedder.linear_1",
    "embed.time.down": "adaln_single.emb.timestep_embedder.linear_2",
    "embed.size.resolution.up": "adaln_single.emb.resolution_embedder.linear_1",
    "embed.size.resolution.down": "adaln_single.emb.resolution_embedder.linear_2",
    "embed.size.aspect.up": "adaln_single.emb.aspect_ratio_embedder.linear_1",
    "embed.size.aspect.down": "adaln_single.emb.aspect_ratio_embedder.linear_2",
    "embed.modulation": "adaln_single.linear",
    "embed.text.up": "caption_projection.linear_1",
    "embed.text.down": "caption_projection.linear_2",
    "block{i}.table": f"{BLOCK}.scale_shift_table",
    "block{i}.attn.q": f"{BLOCK}.attn1.to_q",
    "block{i}.attn.k": f"{BLOCK}.attn1.to_k",
    "block{i}.attn.v": f"{BLOCK}.attn1.to_v",
    "block{i}.attn.out": f"{BLOCK}.attn1.to_out.0",
    "block{i}.cross.q": f"{BLOCK}.attn2.to_q",
    "block{i}.cross.k": f"{BLOCK}.attn2.to_k",
    "block{i}.cross.v": f"{BLOCK}.attn2.to_v",
    "block{i}.cross.out": f"{BLOCK}.attn2.to_out.0",
    "block{i}.mlp.up": f"{BLOCK}.ff.net.0.proj",
    "block{i}.mlp.down": f"{BLOCK}.ff.net.2",
    "head.table": "scale_shift_table",
    "head.out": "proj_out",
}

IGNORED = ("pos_embed.pos_embed", "caption_projection.y_embedding")
"""Positions, which are computed, and the caption that training puts in place of one that is dropped."""
