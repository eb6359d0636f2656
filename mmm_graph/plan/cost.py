"""What models weigh and what calls cost, from the parts tables; no torch."""

from __future__ import annotations

from collections.abc import Iterable

from mmm_graph.graph.graph import Call, ModelNode
from mmm_graph.registry.node_type import ModelType
from mmm_graph.registry.part import Part

DTYPE_BYTES = {"f64": 8, "f32": 4, "f16": 2, "bf16": 2}
QUANTIZED_BYTES = {"int8": 1.0, "int4": 0.625}
"""A weight as it is kept: int4 with a scale and a least value, of 2 bytes each, for 32; the scales of int8 are few."""
OP_COST = 1e-5
"""Cost of anything that declares none, in seconds; only the ratio to other tasks matters."""
FLOPS_PER_S = 1e13


def parts_of(model: ModelNode, kind: ModelType) -> tuple[Part, ...]:
    """The parts table; a model without one is a single part that says nothing about itself."""
    return tuple(kind.parts(model.config)) if kind.parts is not None else (Part("model", (), ()),)


def weight_bytes(model: ModelNode, kind: ModelType) -> int:
    """Bytes of the weights of all parts; 0 when they do not say."""
    return bytes_of(model, parts_of(model, kind))


def bytes_of(model: ModelNode, parts: Iterable[Part]) -> int:
    """Bytes of the weights of parts in the model's dtype, those of linear layers as they are quantized.

    A part that does not say how many of its weights are matrices of linear layers counts as if none was.
    """
    item_bytes = DTYPE_BYTES[model.dtype or "f32"]
    kept = item_bytes if model.quantize is None else QUANTIZED_BYTES[model.quantize]
    logits = item_bytes if model.quantize is None else QUANTIZED_BYTES["int8"]
    each = (
        (p.params - p.linear) * item_bytes + (p.linear - p.logits) * kept + p.logits * logits for p in parts
    )
    return int(sum(each))


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
