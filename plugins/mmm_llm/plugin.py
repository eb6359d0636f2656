"""Entry point of the plugin `llm`."""

from __future__ import annotations

from mmm_graph.registry import ModelType, hookimpl
from mmm_llm.node import llm_nodes


@hookimpl
def mmm_register_nodes() -> list[ModelType]:
    """The decoder."""
    return llm_nodes()
