"""Where other libraries keep the weights of perceiver resamplers, and what their configs say of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Cut, Fields, Layout

BLOCK = "blocks.{i}"
IDEFICS = {
    "latents.latents": "latents",
    "layer{i}.attn.norm_features": f"{BLOCK}.0.context_layer_norm",
    "layer{i}.attn.norm_latents": f"{BLOCK}.0.latents_layer_norm",
    "layer{i}.attn.norm_q": f"{BLOCK}.0.q_layer_norm",
    "layer{i}.attn.norm_k": f"{BLOCK}.0.k_layer_norm",
    **{f"layer{{i}}.attn.{ours}": f"{BLOCK}.0.{ours}_proj" for ours in "qkv"},
    "layer{i}.attn.out": f"{BLOCK}.0.output_proj",
    "layer{i}.norm": f"{BLOCK}.1.ln",
    "layer{i}.mlp.up": f"{BLOCK}.1.fc",
    "layer{i}.mlp.down": f"{BLOCK}.1.c_proj",
    "end.norm": "layer_norm",
}
"""Below `model.perceiver_resampler`."""

LAYER = "layers.{i}"
OPEN_FLAMINGO: dict[str, str | Cut] = {
    "latents.latents": "latents",
    "layer{i}.attn.norm_features": f"{LAYER}.0.norm_media",
    "layer{i}.attn.norm_latents": f"{LAYER}.0.norm_latents",
    "layer{i}.attn.q": f"{LAYER}.0.to_q",
    "layer{i}.attn.k.weight": Cut(f"{LAYER}.0.to_kv.weight", 0, 2),
    "layer{i}.attn.v.weight": Cut(f"{LAYER}.0.to_kv.weight", 1, 2),
    "layer{i}.attn.out": f"{LAYER}.0.to_out",
    "layer{i}.norm": f"{LAYER}.1.0",
    "layer{i}.mlp.up": f"{LAYER}.1.1",
    "layer{i}.mlp.down": f"{LAYER}.1.3",
    "end.norm": "norm",
}
"""Below `perceiver`."""

FIELDS = Fields(
    sizes={
        "num_latents": ("resampler_n_latents", 64),
        "depth": ("resampler_depth", 6),
        "num_heads": ("resampler_n_heads", 16),
        "head_dim": ("resampler_head_dim", 96),
        "qk_norm": ("qk_layer_norms_perceiver", False),
    }
)
"""Of an IdeficsPerceiverConfig."""


def read_idefics(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config from that of an IdeficsForVisionText2Text.

    Raises:
        ValueError: it has no resampler.
    """
    said = theirs.get("perceiver_config", {})
    if not theirs.get("use_resampler", False):
        raise ValueError("use_resampler: False means that there is no perceiver")
    names = {name for name, _ in FIELDS.sizes.values()}
    sizes, _ = FIELDS.read({k: v for k, v in said.items() if k in names})
    width = theirs.get("vision_config", {}).get("embed_dim", 768)
    return {**sizes, "in_dim": width, "out_dim": width, "activation": "relu"}


FILE = "model.safetensors"
LAYOUTS = (
    Layout("transformers", IDEFICS, ("IdeficsPerceiverResampler",), read_idefics, file=FILE),
    Layout("OpenFlamingo", OPEN_FLAMINGO, file=FILE),
)
