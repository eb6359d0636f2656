"""Entry point of the plugin `cond`."""

from __future__ import annotations

from mmm_cond.node import cond_ops
from mmm_graph.registry import OpType, hookimpl


@hookimpl
def mmm_register_nodes() -> list[OpType]:
    """Ops around conditions."""
    return cond_ops()
