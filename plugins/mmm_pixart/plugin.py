"""Entry point of the plugin `pixart`."""

from __future__ import annotations

from mmm_graph.registry import ModelType, hookimpl
from mmm_pixart.node import pixart_nodes


@hookimpl
def mmm_register_nodes() -> list[ModelType]:
    """The PixArt transformer."""
    return pixart_nodes()
