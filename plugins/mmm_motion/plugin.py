"""Entry point of the plugin `motion`."""

from __future__ import annotations

from mmm_graph.registry import NodeType, hookimpl
from mmm_motion.node import motion_nodes


@hookimpl
def mmm_register_nodes() -> list[NodeType]:
    """Motion modules."""
    return [*motion_nodes()]
