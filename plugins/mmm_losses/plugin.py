"""Hooks of the losses plugin."""

from __future__ import annotations

from collections.abc import Sequence

from mmm_graph.registry import NodeType, hookimpl
from mmm_losses.node import node_types


@hookimpl
def mmm_register_nodes() -> Sequence[NodeType]:
    return node_types()
