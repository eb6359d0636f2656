"""All node types of this plugin."""

from __future__ import annotations

from mmm_graph.registry import NodeType
from mmm_signal.projector.node import SIGNAL
from mmm_signal.runs.node import run_nodes


def signal_nodes() -> list[NodeType]:
    """signals.find, signals.states, projector.signal."""
    return [*run_nodes(), SIGNAL]
