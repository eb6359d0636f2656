"""Where other libraries keep the weights of gated cross-attention, and what IDEFICS' config says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_bridge.activations import read_activation
from mmm_graph.registry import Cut, Layout, below
from mmm_graph.registry.layout import Rows

IDEFICS = {
    "norm": "input_layernorm",
    **{f"attn.{ours}": f"cross_attn.{ours}_proj" for ours in "qkv"},
    "attn.out": "cross_attn.o_proj",
    "attn.norm_q": "cross_attn.q_layer_norm",
    "attn.norm_k": "cross_attn.k_layer_norm",
    "attn_gate": "alpha_cross_attn",
    "mlp_norm": "post_attention_layernorm",
    **{f"mlp.{ours}": f"mlp.{ours}_proj" for ours in ("gate", "up", "down")},
    "mlp_gate": "alpha_dense",
}
OPEN_FLAMINGO: Mapping[str, str | Cut] = {
    "norm": "attn.norm",
    "attn.q": "attn.to_q",
    "attn.k.weight": Cut("attn.to_kv.weight", 0, 2),
    "attn.v.weight": Cut("attn.to_kv.weight", 1, 2),
    "attn.out": "attn.to_out",
    "attn_gate": "attn_gate",
    "mlp_norm": "ff.0",
    "mlp.up": "ff.1",
    "mlp.down": "ff.3",
    "mlp_gate": "ff_gate",
}
MAX_BLOCKS = 128
GATES = {"float": "scalar", "vector": "vector"}
"""Their alpha_type -> our form of a gate."""


def read_idefics(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config from that of an IdeficsForVisionText2Text; `every:` of the attachment is its cross_layer_interval.

    Raises:
        ValueError: an activation or a form of gates that we do not compute.
    """
    form = theirs.get("alpha_type", "float")
    if form not in GATES:
        raise ValueError(f"alpha_type: {form!r} is not supported; expected one of {', '.join(GATES)}")
    width, heads = theirs.get("hidden_size", 4096), theirs.get("num_attention_heads", 32)
    return {
        "width": width,
        "media_dim": theirs.get("vision_config", {}).get("embed_dim", 768),
        "num_heads": heads,
        "head_dim": width // heads,
        "hidden": theirs.get("intermediate_size", 11008),
        "norm": "rms",
        "eps": theirs.get("rms_norm_eps", 1e-6),
        "mlp": "gated",
        "activation": read_activation("hidden_act", theirs.get("hidden_act", "silu")),
        "qk_norm": theirs.get("qk_layer_norms", False),
        "gate": GATES[form],
        "media": "last",
    }


def flamingo_rows(every: int, inside: str = "") -> Rows:
    """Copies at the last of every so many blocks, which theirs are numbered by.

    Args:
        inside: what follows the number of the block.
    """
    found: dict[str, str | Cut] = {}
    for copy in range(MAX_BLOCKS // every):
        block = copy * every + every - 1
        found |= below(str(copy), f"{block}.{inside}" if inside else str(block), OPEN_FLAMINGO)
    return found


FILE = "model.safetensors"
LAYOUTS = (
    Layout(
        *("transformers", below("{i}", "{i}", IDEFICS), ("IdeficsGatedCrossAttentionLayer",), read_idefics),
        file=FILE,
    ),
    *(Layout(f"OpenFlamingo, every {n}", flamingo_rows(n), file=FILE) for n in (1, 2, 3, 4)),
    *(
        Layout(f"OpenFlamingo, in blocks, every {n}", flamingo_rows(n, "gated_cross_attn_layer"), file=FILE)
        for n in (1, 2, 3, 4)
    ),
)
"""Below `model.gated_cross_attn_layers`; below `lang_encoder.gated_cross_attn_layers`; below the decoder's list of
blocks, such as `lang_encoder.transformer.blocks`."""
