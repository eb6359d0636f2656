"""Entry point of the plugin `imagebind`."""

from __future__ import annotations

from mmm_graph.registry import ModelType, hookimpl
from mmm_imagebind.node import imagebind_nodes


@hookimpl
def mmm_register_nodes() -> list[ModelType]:
    """The encoder of pictures and clips, and that of sounds."""
    return imagebind_nodes()
