"""Names of the weights: ours -> theirs. `{i}` stands for a number; a row names a prefix."""

from __future__ import annotations

from mmm_flux.config import FluxConfig
from mmm_graph.registry import Cut

DOUBLE = "transformer_blocks.{i}"
SINGLE = "single_transformer_blocks.{i}"

DIFFUSERS = {
    "embed.patch": "x_embedder",
    "embed.time.up": "time_text_embed.timestep_embedder.linear_1",
    "embed.time.down": "time_text_embed.timestep_embedder.linear_2",
    "embed.guidance.up": "time_text_embed.guidance_embedder.linear_1",
    "embed.guidance.down": "time_text_embed.guidance_embedder.linear_2",
    "embed.pooled.up": "time_text_embed.text_embedder.linear_1",
    "embed.pooled.down": "time_text_embed.text_embedder.linear_2",
    "embed.text": "context_embedder",
    "double{i}.image.modulation": f"{DOUBLE}.norm1.linear",
    "double{i}.image.mlp.up": f"{DOUBLE}.ff.net.0.proj",
    "double{i}.image.mlp.down": f"{DOUBLE}.ff.net.2",
    "double{i}.text.modulation": f"{DOUBLE}.norm1_context.linear",
    "double{i}.text.mlp.up": f"{DOUBLE}.ff_context.net.0.proj",
    "double{i}.text.mlp.down": f"{DOUBLE}.ff_context.net.2",
    "double{i}.attn.q": f"{DOUBLE}.attn.to_q",
    "double{i}.attn.k": f"{DOUBLE}.attn.to_k",
    "double{i}.attn.v": f"{DOUBLE}.attn.to_v",
    "double{i}.attn.out": f"{DOUBLE}.attn.to_out.0",
    "double{i}.attn.add_q": f"{DOUBLE}.attn.add_q_proj",
    "double{i}.attn.add_k": f"{DOUBLE}.attn.add_k_proj",
    "double{i}.attn.add_v": f"{DOUBLE}.attn.add_v_proj",
    "double{i}.attn.add_out": f"{DOUBLE}.attn.to_add_out",
    "double{i}.attn.norm_q": f"{DOUBLE}.attn.norm_q",
    "double{i}.attn.norm_k": f"{DOUBLE}.attn.norm_k",
    "double{i}.attn.norm_add_q": f"{DOUBLE}.attn.norm_added_q",
    "double{i}.attn.norm_add_k": f"{DOUBLE}.attn.norm_added_k",
    "single{i}.modulation": f"{SINGLE}.norm.linear",
    "single{i}.body.q": f"{SINGLE}.attn.to_q",
    "single{i}.body.k": f"{SINGLE}.attn.to_k",
    "single{i}.body.v": f"{SINGLE}.attn.to_v",
    "single{i}.body.norm_q": f"{SINGLE}.attn.norm_q",
    "single{i}.body.norm_k": f"{SINGLE}.attn.norm_k",
    "single{i}.body.up": f"{SINGLE}.proj_mlp",
    "single{i}.body.out": f"{SINGLE}.proj_out",
    "head.modulation": "norm_out.linear",
    "head.out": "proj_out",
}
"""FluxTransformer2DModel."""

PAIRS = {"embed.time": "time_in", "embed.guidance": "guidance_in", "embed.pooled": "vector_in"}
STREAMS = {"image": ("img", ""), "text": ("txt", "add_")}
"""Of a double block: their word, and what stands before q, k, v and out of ours."""


def original_rows(config: FluxConfig) -> dict[str, str | Cut]:
    """black-forest-labs/flux: q, k, v are fused, in single blocks with the MLP; in the head shift precedes scale."""
    table: dict[str, str | Cut] = {
        "embed.patch": "img_in",
        "embed.text": "txt_in",
        **{f"{ours}.up": f"{theirs}.in_layer" for ours, theirs in PAIRS.items()},
        **{f"{ours}.down": f"{theirs}.out_layer" for ours, theirs in PAIRS.items()},
        "head.modulation": Cut("final_layer.adaLN_modulation.1", (1, 0), 2),
        "head.out": "final_layer.linear",
    }
    for ours, (theirs, add) in STREAMS.items():
        block, attn = f"double_blocks.{{i}}.{theirs}", f"double_blocks.{{i}}.{theirs}_attn"
        table |= {
            f"double{{i}}.{ours}.modulation": f"{block}_mod.lin",
            f"double{{i}}.{ours}.mlp.up": f"{block}_mlp.0",
            f"double{{i}}.{ours}.mlp.down": f"{block}_mlp.2",
            **{f"double{{i}}.attn.{add}{n}": Cut(f"{attn}.qkv", k, 3) for k, n in enumerate("qkv")},
            f"double{{i}}.attn.{add}out": f"{attn}.proj",
            f"double{{i}}.attn.norm_{add}q.weight": f"{attn}.norm.query_norm.scale",
            f"double{{i}}.attn.norm_{add}k.weight": f"{attn}.norm.key_norm.scale",
        }
    count = 3 + config.mlp_ratio
    single = "single_blocks.{i}"
    return {
        **table,
        "single{i}.modulation": f"{single}.modulation.lin",
        **{f"single{{i}}.body.{n}": Cut(f"{single}.linear1", k, count) for k, n in enumerate("qkv")},
        "single{i}.body.up": Cut(f"{single}.linear1", tuple(range(3, count)), count),
        "single{i}.body.norm_q.weight": f"{single}.norm.query_norm.scale",
        "single{i}.body.norm_k.weight": f"{single}.norm.key_norm.scale",
        "single{i}.body.out": f"{single}.linear2",
    }
