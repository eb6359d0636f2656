"""Entry point of the plugin `vit`."""

from __future__ import annotations

from mmm_graph.registry import ModelType, hookimpl
from mmm_vit.node import VIT


@hookimpl
def mmm_register_nodes() -> list[ModelType]:
    """Vision transformers."""
    return [VIT]
