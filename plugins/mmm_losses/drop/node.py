"""Random ops of training; what they draw is keyed by seed, node, element and step."""

from __future__ import annotations

from mmm_graph.config import Config
from mmm_graph.registry import OpType, op_type
from mmm_losses.drop import config as c


def drop_nodes() -> list[OpType]:
    """text.drop, ids.drop."""
    return [
        _drop("text.drop", "drop_text", "text", "Text[b]", c.DropConfig),
        _drop("ids.drop", "drop_ids", "ids", "Ids", c.IdsDropConfig),
    ]


def _drop(kind: str, name: str, port: str, type_: str, config: type[Config]) -> OpType:
    return op_type(
        kind,
        f"mmm_losses.drop.ops:{name}",
        ports={port: type_},
        returns={port: type_},
        config=config,
        noise=True,
        doc="Takes the condition away from a share of the elements, for classifier-free guidance.",
        source="Ho & Salimans 2022 (arXiv:2207.12598), algorithm 1",
    )
