"""The hooks that a plugin may implement, each marked with `@hookimpl`. All are optional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pluggy

from mmm_graph.registry.extension import Importer, PortKind, WeightSource
from mmm_graph.registry.node_type import NodeType, Saver

hookspec = pluggy.HookspecMarker("mmm_graph")
hookimpl = pluggy.HookimplMarker("mmm_graph")


@hookspec
def mmm_register_nodes() -> Sequence[NodeType]:  # type: ignore[empty-body]
    """Node types: model_type, sampler_type, op_type, composite_type, data_type, optim_type."""


@hookspec
def mmm_register_port_kinds() -> Sequence[PortKind]:  # type: ignore[empty-body]
    """Port kinds beside the built-in ones."""


@hookspec
def mmm_register_weight_sources() -> Sequence[WeightSource]:  # type: ignore[empty-body]
    """Schemes of `weights:` beside file:, hf: and pkg:."""


@hookspec
def mmm_register_savers() -> Sequence[Saver]:  # type: ignore[empty-body]
    """Writers of output files, one per port kind and format."""


@hookspec
def mmm_register_importers() -> Sequence[Importer]:  # type: ignore[empty-body]
    """Makers of a graph file from a checkpoint folder, one per foreign class name."""


@hookspec
def mmm_run_event(event: Any) -> None:
    """Called for every event of a run: node start and end, loop step, preview, memory."""


@hookspec
def mmm_train_event(event: Any) -> None:
    """Called for every event of training: step, evaluation, checkpoint."""
