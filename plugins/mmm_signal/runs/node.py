"""The ops signals.find and signals.states."""

from __future__ import annotations

from mmm_graph.registry import OpType, op_type
from mmm_signal.runs.config import FindConfig
from mmm_signal.runs.facts import find_facts


def run_nodes() -> list[OpType]:
    """signals.find, signals.states."""
    return [
        op_type(
            "signals.find",
            "mmm_signal.runs.ops:find",
            ids="Ids[b,t]",
            mask="Mask[b,t]?",
            places="Ids[b,t]?",
            returns={"rows": "Ids[r]", "places": "Ids[r,l]", "report": "Text[b]"},
            config=FindConfig,
            uses={"tokenizer": "tokenizer"},
            facts=find_facts,
            doc="The signals for one kind of medium in ids or labels, by id: `rows` says whose each is, `places` where "
            "its tokens stand; answers without one are absent. With the `places` of embeds.splice these are places "
            "among the embeds. `report` says of each answer what is no signal: a part of one, or tokens in another order.",
            source="Wu et al. 2024 (arXiv:2309.05519), section 4",
        ),
        op_type(
            "signals.states",
            "mmm_signal.runs.ops:states",
            hidden="Embeds[b,s,d]",
            embeds="Embeds[b,s,d]?",
            rows="Ids[r]",
            places="Ids[r,l]",
            returns={"features": "Embeds[r,l,d]"},
            doc="Hidden states at the places of signals, plus the embeds that went in there: what a projector reads.",
            source="Wu et al. 2024 (arXiv:2309.05519), section 4; the sum as in its published code",
        ),
    ]
