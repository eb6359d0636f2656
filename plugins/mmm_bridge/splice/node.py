"""The ops embeds.splice and embeds.prepend."""

from __future__ import annotations

from mmm_bridge.splice.config import PrependConfig, SpliceConfig
from mmm_bridge.splice.facts import prepend_facts, splice_facts
from mmm_graph.registry import OpType, op_type

MADE = {
    "embeds": "Embeds[b,s,d]",
    "mask": "Mask[b,s]",
    "labels": "Ids[b,s]?",
    "positions": "Ids[b,s]",
    "places": "Ids[b,t]",
}


def splice_nodes() -> list[OpType]:
    """embeds.splice, embeds.prepend."""
    return [
        op_type(
            "embeds.splice",
            "mmm_bridge.splice.ops:splice",
            text="Embeds[b,t,d]",
            insert="Embeds*[_,_,d]?",
            index="Ids[b,t]",
            mask="Mask[b,t]?",
            labels="Ids[b,t]?",
            returns={**MADE, "spans": "Ids[m,3]?"},
            config=SpliceConfig,
            facts=splice_facts,
            doc="The embeds of media at their places in a text; mask, labels and positions grow with it. Several links "
            "under `insert` (images, audios) are media one after the other. `spans` says conversation, first place and "
            "number of embeds of each; `places`, where each token of the text stands now.",
            source="Liu et al. 2023 (arXiv:2304.08485), section 4.1",
        ),
        op_type(
            "embeds.prepend",
            "mmm_bridge.splice.ops:prepend",
            text="Embeds[b,t,d]",
            insert="Embeds[b,n,d]",
            mask="Mask[b,t]?",
            labels="Ids[b,t]?",
            returns=MADE,
            config=PrependConfig,
            facts=prepend_facts,
            doc="A soft prompt before each text.",
            source="Li et al. 2023 (arXiv:2301.12597), section 3.3",
        ),
    ]
