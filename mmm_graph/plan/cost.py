"""What models weigh and what calls cost, from the parts tables; no torch."""

from __future__ import annotations

from collections.abc import Iterable

from mmm_graph.graph.graph import Call, ModelNode
from mmm_graph.registry.node_type import ModelType
from mmm_graph.registry.part import Part

DTYPE_BYTES = {"f64": 8, "f32": 4, "f16": 2, "bf16": 2}
OP_COST = 1e-5
"""Cost of anything that declares none, in seconds; only the ratio to other tasks matters."""
FLOPS_PER_S = 1e13


def parts_of(model: ModelNode, kind: ModelType) -> tuple[Part, ...]:
    """The parts table; a model without one is a single part that says nothing about itself."""
    return tuple(kind.parts(model.config)) if kind.parts is not None else (Part("model", (), ()),)


def weight_bytes(model: ModelNode, kind: ModelType) -> int:
    """Bytes of the weights in the model's dtype; 0 when its parts do not say."""
    return sum(p.params for p in parts_of(model, kind)) * DTYPE_BYTES[model.dtype or "f32"]


def call_flops(call: Call, model: ModelNode, kind: ModelType) -> float:
    """Multiply-adds x 2 of one call for one batch element; 0 when the parts do not say."""
    parts = parts_of(model, kind)
    path = kind.methods[call.method].path
    if path is None or kind.parts is None:
        return sum(p.flops for p in parts)
    by_name = {p.name: p for p in parts}
    return sum(by_name[name].flops for name in path(model.config, call.config))


def seconds(parts: Iterable[Part]) -> float:
    """A task's declared cost; relative, not a prediction."""
    return OP_COST + sum(p.flops for p in parts) / FLOPS_PER_S
