"""transformers' config.json of BLIP-2 -> the querying transformer's, and where its weights stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_bridge.activations import read_activation
from mmm_bridge.qformer.keys import BLIP2, BLIP2_OTHERS, LAVIS_OTHERS, lavis_rows
from mmm_graph.registry import GENERIC, Fields, Layout

FIELDS = Fields(
    sizes={
        "in_dim": ("encoder_hidden_size", 1408),
        "width": ("hidden_size", 768),
        "depth": ("num_hidden_layers", 12),
        "num_heads": ("num_attention_heads", 12),
        "hidden": ("intermediate_size", 3072),
        "cross_every": ("cross_attention_frequency", 2),
        "eps": ("layer_norm_eps", 1e-12),
        "text": ("use_qformer_text_input", False),
        "vocab_size": ("vocab_size", 30522),
        "max_length": ("max_position_embeddings", 512),
    },
    others={"hidden_act": "gelu"},
    fixed={"position_embedding_type": "absolute"},
    meaningless=GENERIC
    | {"hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "eos_token_id"},
)
"""Of a Blip2QFormerConfig."""


def read_blip2(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config from that of a Blip2ForConditionalGeneration or Blip2ForImageTextRetrieval.

    A width of the language model that it leaves out is solved from the links.

    Raises:
        ValueError: a field of the Q-Former that we do not know, or with a value that we do not support.
    """
    sizes, others = FIELDS.read(theirs.get("qformer_config", {}))
    vision = theirs.get("vision_config", {}).get("hidden_size", 1408)
    found = {
        **sizes,
        "in_dim": vision,  # theirs takes this one, whatever encoder_hidden_size says
        "num_queries": theirs.get("num_query_tokens", 32),
        "activation": read_activation("hidden_act", others["hidden_act"]),
    }
    if sizes["text"]:  # for retrieval there is no language model
        return {**found, "projection": False, "out_dim": sizes["width"]}
    text = theirs.get("text_config", {})
    return {**found, "out_dim": text.get("hidden_size", text.get("d_model"))}


FILE = "model.safetensors"
LAYOUTS = (
    Layout("transformers", BLIP2, ("Blip2QFormerModel",), read_blip2, ignored=BLIP2_OTHERS, file=FILE),
    Layout("LAVIS, OPT", lavis_rows("opt_proj"), ignored=LAVIS_OTHERS, file=FILE),
    Layout("LAVIS, T5", lavis_rows("t5_proj"), ignored=LAVIS_OTHERS, file=FILE),
)
"""All read whole files: the queries, the transformer and the projection stand at different places of one."""
