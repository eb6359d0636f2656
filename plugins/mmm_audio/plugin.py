"""Entry point of the plugin `audio`."""

from __future__ import annotations

from mmm_audio.ast.node import AST
from mmm_audio.mel.node import MEL
from mmm_graph.registry import NodeType, hookimpl


@hookimpl
def mmm_register_nodes() -> list[NodeType]:
    """The mel spectrogram and the encoder of it."""
    return [MEL, AST]
