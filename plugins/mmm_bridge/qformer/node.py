"""The node type adaptor.qformer."""

from __future__ import annotations

from dataclasses import replace

from mmm_bridge.qformer.config import OutQFormerConfig, QFormerConfig
from mmm_bridge.qformer.foreign import LAYOUTS
from mmm_bridge.qformer.parts import (
    bare_path,
    head_path,
    qformer_parts,
    qformer_sharding,
    queries_path,
    text_path,
)
from mmm_graph.registry import ModelType, method, model_type

FEATURES, IDS, MASK = "Embeds[b,l,$in_dim]", "Ids[b,t]", "Mask[b,t]?"
QUERIES, TEXT, POOLED = "Embeds[b,$num_queries,$width]", "Embeds[b,t,$width]", "Embeds[b,$width]"

QFORMER = model_type(
    "adaptor.qformer",
    QFormerConfig,
    "mmm_bridge.qformer.model:QFormer",
    methods={
        "forward": method(
            features=FEATURES,
            returns={"embeds": "Embeds[b,$num_queries,$out_dim]"},
            path=queries_path,
            doc="Any number of features as a fixed number of embeds.",
        ),
        "queries": method(
            features=FEATURES,
            returns={"h": QUERIES},
            path=bare_path,
            doc="What became of the queries, not projected (for the contrastive loss of the first stage).",
        ),
        "text": method(
            ids=IDS,
            mask=MASK,
            returns={"embeds": TEXT, "pooled": POOLED},
            path=text_path("words", "all"),
            doc="The text alone (for the contrastive loss); `pooled` is its first token.",
        ),
        "match": method(
            features=FEATURES,
            ids=IDS,
            mask=MASK,
            returns={"queries": QUERIES, "embeds": TEXT, "pooled": POOLED},
            path=text_path("queries", "words", "all"),
            doc="Queries and text see each other (for the matching loss); `queries` are not projected.",
        ),
        "caption": method(
            features=FEATURES,
            ids=IDS,
            mask=MASK,
            returns={"embeds": TEXT},
            path=text_path("queries", "words", "causal"),
            doc="A token sees the queries, itself and the tokens before it (for the generative loss).",
        ),
        "logits": method(
            embeds=TEXT,
            returns={"logits": "Logits[b,t,$vocab_size]"},
            path=head_path,
            doc="What `caption` makes of a text to what word comes next.",
        ),
    },
    parts=qformer_parts,
    sharding=qformer_sharding,
    state={"h": "Embeds[b,s,$width]"},
    doc="Learned queries in a BERT; with the defaults the Q-Former of BLIP-2.",
    source="Li et al. 2023 (arXiv:2301.12597), section 3.1",
    layouts=LAYOUTS,
)


OUT = replace(
    QFORMER,
    kind="projector.qformer",
    config=OutQFormerConfig,
    methods={"forward": QFORMER.methods["forward"]},
    doc="Learned queries in a BERT from states of a signal to embeds for a generator; two blocks by default.",
    source="Wu et al. 2024 (arXiv:2309.05519), its published code; Li et al. 2023 (arXiv:2301.12597)",
    layouts=(),
)


def qformer_nodes() -> list[ModelType]:
    """adaptor.qformer, and projector.qformer, on the other side of a language model."""
    return [QFORMER, OUT]
