"""All node types of this plugin."""

from __future__ import annotations

from mmm_bridge.anyres.node import anyres_nodes
from mmm_bridge.gated.node import gated_nodes
from mmm_bridge.grouping.node import grouping_nodes
from mmm_bridge.perceiver.node import perceiver_nodes
from mmm_bridge.projector.node import projector_nodes
from mmm_bridge.qformer.node import qformer_nodes
from mmm_bridge.splice.node import splice_nodes
from mmm_graph.registry import NodeType


def bridge_nodes() -> list[NodeType]:
    """Adaptors, and the ops that splice their embeds into a text."""
    adaptors = [*projector_nodes(), *perceiver_nodes(), *qformer_nodes(), *gated_nodes()]
    return [*adaptors, *grouping_nodes(), *anyres_nodes(), *splice_nodes()]
