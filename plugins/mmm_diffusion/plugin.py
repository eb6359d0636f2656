"""Hooks of the diffusion plugin."""

from __future__ import annotations

from collections.abc import Sequence

from mmm_diffusion.node import node_types
from mmm_graph.registry import NodeType, hookimpl


@hookimpl
def mmm_register_nodes() -> Sequence[NodeType]:
    return node_types()
