"""Entry point of the plugin `flux`."""

from __future__ import annotations

from mmm_flux.node import flux_nodes
from mmm_graph.registry import ModelType, hookimpl


@hookimpl
def mmm_register_nodes() -> list[ModelType]:
    """The FLUX transformer."""
    return flux_nodes()
