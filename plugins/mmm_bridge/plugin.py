"""Entry point of the plugin `bridge`."""

from __future__ import annotations

from mmm_bridge.node import bridge_nodes
from mmm_graph.registry import NodeType, hookimpl


@hookimpl
def mmm_register_nodes() -> list[NodeType]:
    """Adaptors and the ops that splice their embeds into a text."""
    return bridge_nodes()
