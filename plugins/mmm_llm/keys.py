"""Names of the weights: ours -> transformers' decoders. `{i}` stands for a number; a row names a prefix."""

from __future__ import annotations

from mmm_graph.registry import Cut, turned

Table = dict[str, str | Cut]

LAYER = "layers.{i}"

LLAMA: Table = {
    "embed.token": "embed_tokens",
    "block{i}.norm1": f"{LAYER}.input_layernorm",
    "block{i}.attn.q": f"{LAYER}.self_attn.q_proj",
    "block{i}.attn.k": f"{LAYER}.self_attn.k_proj",
    "block{i}.attn.v": f"{LAYER}.self_attn.v_proj",
    "block{i}.attn.norm_q": f"{LAYER}.self_attn.q_norm",
    "block{i}.attn.norm_k": f"{LAYER}.self_attn.k_norm",
    "block{i}.attn.out": f"{LAYER}.self_attn.o_proj",
    "block{i}.norm2": f"{LAYER}.post_attention_layernorm",
    "block{i}.mlp.gate": f"{LAYER}.mlp.gate_proj",
    "block{i}.mlp.up": f"{LAYER}.mlp.up_proj",
    "block{i}.mlp.down": f"{LAYER}.mlp.down_proj",
    "norm.norm": "norm",
}
"""Llama, Mistral and Qwen, below `model`."""

LLAMA_UNREAD = (f"{LAYER}.self_attn.rotary_emb.inv_freq", "rotary_emb.inv_freq")
"""The frequencies of rotary positions, which old versions saved."""

OPT: Table = {
    "embed.token": "embed_tokens",
    "embed.project": "project_in",
    "enter.positions.table": "embed_positions",
    "advance.positions.table": "embed_positions",
    "block{i}.norm1": f"{LAYER}.self_attn_layer_norm",
    "block{i}.attn.q": f"{LAYER}.self_attn.q_proj",
    "block{i}.attn.k": f"{LAYER}.self_attn.k_proj",
    "block{i}.attn.v": f"{LAYER}.self_attn.v_proj",
    "block{i}.attn.out": f"{LAYER}.self_attn.out_proj",
    "block{i}.norm2": f"{LAYER}.final_layer_norm",
    "block{i}.mlp.up": f"{LAYER}.fc1",
    "block{i}.mlp.down": f"{LAYER}.fc2",
    "norm.norm": "final_layer_norm",
    "head.project": "project_out",
}
"""OPT, below `model.decoder`."""


def _conv1d(ours: str, theirs: str) -> Table:
    """A linear layer whose matrix multiplies from the right."""
    return {f"{ours}.weight": turned(f"{theirs}.weight"), f"{ours}.bias": f"{theirs}.bias"}


GPT2: Table = {
    "embed.token": "wte",
    "enter.positions.table": "wpe",
    "advance.positions.table": "wpe",
    "block{i}.norm1": "h.{i}.ln_1",
    **{
        f"block{{i}}.attn.{ours}.{end}": Cut(
            f"h.{{i}}.attn.c_attn.{end}", index, 3, transposed=end == "weight"
        )
        for index, ours in enumerate("qkv")
        for end in ("weight", "bias")
    },
    **_conv1d("block{i}.attn.out", "h.{i}.attn.c_proj"),
    "block{i}.norm2": "h.{i}.ln_2",
    **_conv1d("block{i}.mlp.up", "h.{i}.mlp.c_fc"),
    **_conv1d("block{i}.mlp.down", "h.{i}.mlp.c_proj"),
    "norm.norm": "ln_f",
}
"""GPT-2, below `transformer` or nothing."""

GPT2_UNREAD = ("h.{i}.attn.bias", "h.{i}.attn.masked_bias")
"""The causal mask, which old versions saved."""

HEAD = "lm_head"
EXTRA = "embed_tokens.additional_embedding"
"""Of IDEFICS, below `model`."""
VISION = (
    "vision_tower",
    "multi_modal_projector",
    "mm_projector",
    "vision_model",
    "connector",
)
"""What stands beside a decoder in files of LLaVA, by the names that it has in one of their layouts."""
