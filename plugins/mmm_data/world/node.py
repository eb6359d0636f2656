"""What the digit world offers; torch-free."""

from __future__ import annotations

from mmm_data.digits.node import SOURCE
from mmm_data.world.columns import world_columns
from mmm_data.world.config import WorldConfig
from mmm_graph.registry import NodeType, data_type


def world_nodes() -> list[NodeType]:
    """data.digit_world."""
    return [
        data_type(
            "data.digit_world",
            WorldConfig,
            "mmm_data.world.dataset:World",
            columns=world_columns,
            source=SOURCE,
            doc="Requests to say, draw, dial or film a digit that is named, drawn, dialled or filmed, and answers.",
        )
    ]
