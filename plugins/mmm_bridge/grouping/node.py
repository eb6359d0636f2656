"""The node type adaptor.grouping."""

from __future__ import annotations

from mmm_bridge.grouping.config import GroupingConfig
from mmm_bridge.grouping.foreign import LAYOUTS
from mmm_bridge.grouping.parts import grouping_facts, grouping_parts, grouping_path, grouping_sharding
from mmm_graph.registry import ModelType, method, model_type

GROUPING = model_type(
    "adaptor.grouping",
    GroupingConfig,
    "mmm_bridge.grouping.model:Grouping",
    methods={
        "forward": method(
            features="Embeds[b,l,$in_dim]",
            returns={"embeds": "Embeds[b,$num_embeds,$out_dim]"},
            path=grouping_path,
            facts=grouping_facts,
            doc="States of patches, at least as many as there are groups, as concept tokens.",
        )
    },
    parts=grouping_parts,
    sharding=grouping_sharding,
    state={"h": "Embeds[b,s,$width]", "groups": "Embeds[b,g,$width]"},
    doc="Patches put into fewer and fewer groups, each patch into one; with the defaults NExT-GPT's.",
    source="Wu et al. 2024 (arXiv:2309.05519), section 3; Xu et al. 2022 (arXiv:2202.11094), section 3.1",
    layouts=LAYOUTS,
)


def grouping_nodes() -> list[ModelType]:
    """adaptor.grouping."""
    return [GROUPING]
