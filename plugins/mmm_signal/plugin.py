"""Entry point of the plugin `signal`."""

from __future__ import annotations

from mmm_graph.registry import NodeType, hookimpl
from mmm_signal.node import signal_nodes


@hookimpl
def mmm_register_nodes() -> list[NodeType]:
    """Ops that find signals and read their states, and the projector."""
    return signal_nodes()
