"""Entry point of the plugin `generate`."""

from __future__ import annotations

from mmm_generate.node import node_types
from mmm_graph.registry import NodeType, hookimpl


@hookimpl
def mmm_register_nodes() -> list[NodeType]:
    """The decoding loop and its ops."""
    return node_types()
