"""Entry point of the plugin `text`."""

from __future__ import annotations

from mmm_graph.registry import ModelType, hookimpl
from mmm_text.node import text_nodes


@hookimpl
def mmm_register_nodes() -> list[ModelType]:
    """Tokenizers and text encoders."""
    return text_nodes()
