"""Entry point of the plugin `text`."""

from __future__ import annotations

from mmm_graph.registry import NodeType, hookimpl
from mmm_text.node import text_nodes
from mmm_text.request_node import REQUEST


@hookimpl
def mmm_register_nodes() -> list[NodeType]:
    """Tokenizers and text encoders; chat.request."""
    return [*text_nodes(), REQUEST]
