"""Entry point of the plugin `data`."""

from __future__ import annotations

from mmm_data.canvas.node import canvas_nodes
from mmm_data.digits.node import digit_nodes
from mmm_data.files.node import file_nodes
from mmm_data.metrics.node import metric_nodes
from mmm_data.world.node import world_nodes
from mmm_graph.registry import NodeType, hookimpl


@hookimpl
def mmm_register_nodes() -> list[NodeType]:
    """The handwritten digits, canvases of them, the digit world, files of yours, and metrics."""
    return [*digit_nodes(), *canvas_nodes(), *world_nodes(), *file_nodes(), *metric_nodes()]
