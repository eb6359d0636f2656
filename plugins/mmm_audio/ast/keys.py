"""Names of the weights: ours -> transformers'. `{i}` is a number; a row names a prefix."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_graph.registry import Cut, below

Rows = Mapping[str, str | Cut]

EMBED = {
    "embed.class_token": "embeddings.cls_token",
    "embed.distillation_token": "embeddings.distillation_token",
    "embed.patch": "embeddings.patch_embeddings.projection",
    "embed.position.weight": "embeddings.position_embeddings",
    "norm.norm": "layernorm",
}
HEAD = {"classifier.norm": "classifier.layernorm", "classifier.out": "classifier.dense"}
HUB_LAYER, LAYER = "encoder.layer.{i}", "layers.{i}"

HUB: Rows = {
    **EMBED,
    "block{i}.norm1": f"{HUB_LAYER}.layernorm_before",
    "block{i}.attn.q": f"{HUB_LAYER}.attention.attention.query",
    "block{i}.attn.k": f"{HUB_LAYER}.attention.attention.key",
    "block{i}.attn.v": f"{HUB_LAYER}.attention.attention.value",
    "block{i}.attn.out": f"{HUB_LAYER}.attention.output.dense",
    "block{i}.norm2": f"{HUB_LAYER}.layernorm_after",
    "block{i}.mlp.up": f"{HUB_LAYER}.intermediate.dense",
    "block{i}.mlp.down": f"{HUB_LAYER}.output.dense",
}
"""ASTModel as all versions save it."""

MODULES: Rows = {
    **EMBED,
    "block{i}.norm1": f"{LAYER}.layernorm_before",
    "block{i}.attn.q": f"{LAYER}.attention.q_proj",
    "block{i}.attn.k": f"{LAYER}.attention.k_proj",
    "block{i}.attn.v": f"{LAYER}.attention.v_proj",
    "block{i}.attn.out": f"{LAYER}.attention.o_proj",
    "block{i}.norm2": f"{LAYER}.layernorm_after",
    "block{i}.mlp.up": f"{LAYER}.mlp.fc1",
    "block{i}.mlp.down": f"{LAYER}.mlp.fc2",
}
"""ASTModel as the modules of transformers 5 are named: a state dict that was saved by hand."""

PREFIX = "audio_spectrogram_transformer"


def with_head(rows: Rows) -> Rows:
    """ASTForAudioClassification."""
    return {**below("", PREFIX, rows), **HEAD}
