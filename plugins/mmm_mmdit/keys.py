"""Names of the weights: ours -> theirs. `{i}` stands for a number; a row names a prefix.

The last block has no `text.mlp` and no `attn.add_out`; norms of queries and keys are there with qk_norm only.
"""

from __future__ import annotations

from mmm_graph.registry import Cut
from mmm_mmdit.config import MMDiTConfig

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

"""SD3Transformer2DModel."""

POSITIONS, ORIGINAL_POSITIONS = "pos_embed.pos_embed", "pos_embed"
"""A table that is computed."""


def original_rows(config: MMDiTConfig) -> dict[str, str | Cut]:
    """Stability-AI/sd3-ref: q, k and v are fused; where there are no gates, shift comes before scale."""
    block, last = "joint_blocks.{i}", config.depth - 1
    table: dict[str, str | Cut] = {
        "embed.patch": "x_embedder.proj",
        "embed.time.up": "t_embedder.mlp.0",
        "embed.time.down": "t_embedder.mlp.2",
        "embed.pooled.up": "y_embedder.mlp.0",
        "embed.pooled.down": "y_embedder.mlp.2",
        "embed.text": "context_embedder",
        f"block{last}.text.modulation": Cut(
            f"joint_blocks.{last}.context_block.adaLN_modulation.1", (1, 0), 2
        ),
        "head.modulation": Cut("final_layer.adaLN_modulation.1", (1, 0), 2),
        "head.out": "final_layer.linear",
    }
    for ours, theirs in (("image", "x_block"), ("text", "context_block")):
        table[f"block{{i}}.{ours}.modulation"] = f"{block}.{theirs}.adaLN_modulation.1"
        table[f"block{{i}}.{ours}.mlp.up"] = f"{block}.{theirs}.mlp.fc1"
        table[f"block{{i}}.{ours}.mlp.down"] = f"{block}.{theirs}.mlp.fc2"
    for ours, theirs in (("attn.", "x_block.attn"), ("image.attn2.", "x_block.attn2")):
        table |= _attention(f"block{{i}}.{ours}", "", f"{block}.{theirs}")
    return table | _attention("block{i}.attn.", "add_", f"{block}.context_block.attn")


def _attention(ours: str, add: str, theirs: str) -> dict[str, str | Cut]:
    return {
        **{f"{ours}{add}{n}": Cut(f"{theirs}.qkv", k, 3) for k, n in enumerate("qkv")},
        f"{ours}{add}out": f"{theirs}.proj",
        f"{ours}norm_{add}q": f"{theirs}.ln_q",
        f"{ours}norm_{add}k": f"{theirs}.ln_k",
    }
