"""Names of the weights: ours -> diffusers' SD3Transformer2DModel. `{i}` stands for a number; a row names a prefix.

The last block has no `text.mlp` and no `attn.add_out`; norms of queries and keys are there with qk_norm only.
"""

BLOCK = "transformer_blocks.{i}"

DIFFUSERS = {
    "embed.patch": "pos_embed.proj",
    "embed.time.up": "time_text_embed.timestep_embedder.linear_1",
    "embed.time.down": "time_text_embed.timestep_embedder.linear_2",
    "embed.pooled.up": "time_text_embed.text_embedder.linear_1",
    "embed.pooled.down": "time_text_embed.text_embedder.linear_2",
    "embed.text": "context_embedder",
    "block{i}.image.modulation": f"{BLOCK}.norm1.linear",
    "block{i}.image.mlp.up": f"{BLOCK}.ff.net.0.proj",
    "block{i}.image.mlp.down": f"{BLOCK}.ff.net.2",
    "block{i}.text.modulation": f"{BLOCK}.norm1_context.linear",
    "block{i}.text.mlp.up": f"{BLOCK}.ff_context.net.0.proj",
    "block{i}.text.mlp.down": f"{BLOCK}.ff_context.net.2",
    "block{i}.attn.q": f"{BLOCK}.attn.to_q",
    "block{i}.attn.k": f"{BLOCK}.attn.to_k",
    "block{i}.attn.v": f"{BLOCK}.attn.to_v",
    "block{i}.attn.out": f"{BLOCK}.attn.to_out.0",
    "block{i}.attn.add_q": f"{BLOCK}.attn.add_q_proj",
    "block{i}.attn.add_k": f"{BLOCK}.attn.add_k_proj",
    "block{i}.attn.add_v": f"{BLOCK}.attn.add_v_proj",
    "block{i}.attn.add_out": f"{BLOCK}.attn.to_add_out",
    "block{i}.attn.norm_q": f"{BLOCK}.attn.norm_q",
    "block{i}.attn.norm_k": f"{BLOCK}.attn.norm_k",
    "block{i}.attn.norm_add_q": f"{BLOCK}.attn.norm_added_q",
    "block{i}.attn.norm_add_k": f"{BLOCK}.attn.norm_added_k",
    "block{i}.image.attn2.q": f"{BLOCK}.attn2.to_q",
    "block{i}.image.attn2.k": f"{BLOCK}.attn2.to_k",
    "block{i}.image.attn2.v": f"{BLOCK}.attn2.to_v",
    "block{i}.image.attn2.out": f"{BLOCK}.attn2.to_out.0",
    "block{i}.image.attn2.norm_q": f"{BLOCK}.attn2.norm_q",
    "block{i}.image.attn2.norm_k": f"{BLOCK}.attn2.norm_k",
    "head.modulation": "norm_out.linear",
    "head.out": "proj_out",
}

POSITIONS = "pos_embed.pos_embed"
"""A table that is computed."""
