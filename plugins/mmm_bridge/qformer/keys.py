"""Names of the weights: ours -> transformers' BLIP-2, and LAVIS'. `{i}` is a number; a row, a prefix."""

from __future__ import annotations


def bert_rows(root: str, attention: str, *, norm: str, projection: str) -> dict[str, str]:
    """Rows of a checkpoint that holds the queries outside of the transformer.

    Args:
        root: what the transformer stands below.
        attention: what holds query, key and value inside of each attention.
        norm: the first norm.
        projection: the linear layer to the width of the language model.
    """
    layer = f"{root}.encoder.layer.{{i}}"
    qkv = {"q": "query", "k": "key", "v": "value"}
    rows = {"queries.tokens": "query_tokens", "norm.norm": norm, "project.proj": projection}
    for ours, theirs in (("attn", "attention"), ("cross", "crossattention")):
        rows |= {f"block{{i}}.{ours}.{a}": f"{layer}.{theirs}.{attention}.{b}" for a, b in qkv.items()}
        rows[f"block{{i}}.{ours}.out"] = f"{layer}.{theirs}.output.dense"
        rows[f"block{{i}}.norm_{ours}"] = f"{layer}.{theirs}.output.LayerNorm"
    for ours, norm_, end in (("mlp", "norm_mlp", "_query"), ("text_mlp", "norm_text", "")):
        rows[f"block{{i}}.{ours}.up"] = f"{layer}.intermediate{end}.dense"
        rows[f"block{{i}}.{ours}.down"] = f"{layer}.output{end}.dense"
        rows[f"block{{i}}.{norm_}"] = f"{layer}.output{end}.LayerNorm"
    return rows


BLIP2 = {
    **bert_rows("qformer", "attention", norm="qformer.layernorm", projection="language_projection"),
    "words.token": "embeddings.word_embeddings",
    "words.position": "embeddings.position_embeddings",
}
"""Blip2ForConditionalGeneration, Blip2ForImageTextRetrieval and Blip2Model, whole files: no prefix."""

BLIP2_OTHERS = (
    *("vision_model.*", "language_model.*", "vision_projection", "text_projection", "itm_head"),
    "embeddings.position_ids",
)
"""Other models in these files, and the numbers 0, 1, 2, ..."""


def lavis_rows(projection: str) -> dict[str, str]:
    """Whole files of LAVIS."""
    names = "Qformer.bert.embeddings"
    return {
        **bert_rows("Qformer.bert", "self", norm=f"{names}.LayerNorm", projection=projection),
        "words.token": f"{names}.word_embeddings",
        "words.position": f"{names}.position_embeddings",
        "head.dense": "Qformer.cls.predictions.transform.dense",
        "head.norm": "Qformer.cls.predictions.transform.LayerNorm",
        "head.out.weight": "Qformer.cls.predictions.decoder.weight",
        "head.out.bias": "Qformer.cls.predictions.bias",
    }


LAVIS_OTHERS = (
    *("visual_encoder.*", "ln_vision", "opt_model.*", "t5_model.*", "Qformer.cls.*", "temp"),
    *("vision_proj", "text_proj", "itm_head", "Qformer.bert.embeddings.position_ids"),
)
