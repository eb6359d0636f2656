"""The node type adaptor.gated_xattn."""

from __future__ import annotations

from mmm_bridge.gated.config import GatedConfig
from mmm_bridge.gated.foreign import LAYOUTS
from mmm_bridge.gated.parts import gated_parts, gated_path, gated_sharding
from mmm_graph.registry import ModelType, method, model_type

GATED = model_type(
    "adaptor.gated_xattn",
    GatedConfig,
    "mmm_bridge.gated.model:GatedCrossAttention",
    methods={
        "forward": method(
            h="Embeds[b,t,$width]",
            media="Embeds[m,r,$media_dim]?",
            media_index="Ids[b,t]",
            returns={"h": "Embeds[b,t,$width]"},
            path=gated_path,
            doc="Tokens that have looked at media. media: those of all rows, in order; media_index: for each token the "
            "number of the medium whose place it is, -1 for text.",
        )
    },
    parts=gated_parts,
    sharding=gated_sharding,
    state={"h": "Embeds[b,t,$width]"},
    attaches="forward",
    doc="Gated cross-attention for `attach: [{model: NAME, at: blocks, every: 4}]` of a language model, which does not "
    "change until it is trained. With the defaults OpenFlamingo's.",
    source="Alayrac et al. 2022 (arXiv:2204.14198), section 2.2",
    layouts=LAYOUTS,
)


def gated_nodes() -> list[ModelType]:
    """adaptor.gated_xattn."""
    return [GATED]
