"""The hooks of mmm-honeybee."""

from __future__ import annotations

from mmm_graph.registry import NodeType, hookimpl
from mmm_honeybee.node import nodes


@hookimpl
def mmm_register_nodes() -> list[NodeType]:
    """All node types of this package."""
    return nodes()
