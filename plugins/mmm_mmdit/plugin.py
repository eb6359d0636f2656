"""Entry point of the plugin `mmdit`."""

from __future__ import annotations

from mmm_graph.registry import ModelType, hookimpl
from mmm_mmdit.node import mmdit_nodes


@hookimpl
def mmm_register_nodes() -> list[ModelType]:
    """The joint-attention diffusion transformer."""
    return mmdit_nodes()
