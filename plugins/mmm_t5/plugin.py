"""Entry point of the plugin `t5`."""

from __future__ import annotations

from mmm_graph.registry import ModelType, hookimpl
from mmm_t5.lm_node import T5_LM
from mmm_t5.node import T5


@hookimpl
def mmm_register_nodes() -> list[ModelType]:
    """encoder.t5 and llm.t5."""
    return [T5, T5_LM]
