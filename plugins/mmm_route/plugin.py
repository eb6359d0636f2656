"""Registers the row ops."""

from __future__ import annotations

from mmm_graph.registry import OpType, hookimpl
from mmm_route.node import ROWS_TAKE, ROWS_WHERE


@hookimpl
def mmm_register_nodes() -> list[OpType]:
    """Ops of this plugin."""
    return [ROWS_WHERE, ROWS_TAKE]
