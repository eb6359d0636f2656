"""Entry point of the plugin `dit`."""

from __future__ import annotations

from mmm_dit.node import dit_nodes
from mmm_graph.registry import ModelType, hookimpl


@hookimpl
def mmm_register_nodes() -> list[ModelType]:
    """The diffusion transformer."""
    return dit_nodes()
