"""Hooks of the diffusion plugin."""

from __future__ import annotations

from collections.abc import Sequence

from mmm_diffusion.fields import CLASSES
from mmm_diffusion.node import node_types
from mmm_graph.registry import Importer, NodeType, hookimpl


@hookimpl
def mmm_register_nodes() -> Sequence[NodeType]:
    return node_types()


@hookimpl
def mmm_register_importers() -> Sequence[Importer]:
    return [Importer(name, "mmm_diffusion.foreign:import_scheduler") for name in CLASSES]
