"""Entry point of the plugin `data`."""

from __future__ import annotations

from mmm_data.digits.node import digit_nodes
from mmm_data.metrics.node import metric_nodes
from mmm_graph.registry import NodeType, hookimpl


@hookimpl
def mmm_register_nodes() -> list[NodeType]:
    """The handwritten digits and their metrics."""
    return [*digit_nodes(), *metric_nodes()]
