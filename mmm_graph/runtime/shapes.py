"""Does a value match its declared port type? Cheap: kind, number of axes, integer dims, and symbols seen twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmm_graph.errors import Problem, problem
from mmm_graph.graph.graph import Node
from mmm_graph.runtime.values import describe, is_empty
from mmm_graph.spec.ports import Dim, PortType

FLOATS = frozenset(["Image", "Video", "Audio", "Mel", "Embeds", "Latents", "Logits"])
"""Kinds whose values are floating-point tensors; a model gets them in its own dtype."""
TENSORS = FLOATS | {"Ids"}


def check_outputs(node: Node, found: Mapping[str, Any]) -> Problem | None:
    """The first mismatch between what a node made and what it declares."""
    sizes: dict[str, int] = {}
    for port, type_ in node.outputs.items():
        value = found.get(port)
        if value is None or is_empty(value):
            continue
        wrong = _check_list(type_, value, sizes) if type_.many else _check(type_, value, sizes)
        if wrong:
            message = f"{node.path}.{port} is declared {type_}, but is {describe(value)}: {wrong}"
            return problem("E703", message, node.place, "correct the port type, or what the node returns")
    return None


def _check_list(type_: PortType, value: Any, sizes: dict[str, int]) -> str:
    return "" if isinstance(value, list | tuple) else "`*` means a list"


def _check(type_: PortType, value: Any, sizes: dict[str, int]) -> str:
    if type_.kind == "Text":
        right = isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
        return "" if right else "Text is a list of str"
    if not isinstance(value, Tensor):
        return f"{type_.kind} is a tensor" if type_.kind in TENSORS else ""
    if type_.kind in FLOATS and not value.is_floating_point():
        return f"{type_.kind} is floating point"
    if type_.kind == "Ids" and (value.is_floating_point() or value.is_complex()):
        return "Ids are integers"
    if type_.dims is None or type_.kind in ("Any", "State", "Times"):
        return ""
    if len(type_.dims) != value.dim():
        return f"{len(type_.dims)} axes are declared"
    return next(
        (w for d, n in zip(type_.dims, value.shape, strict=True) if (w := _check_dim(d, n, sizes))), ""
    )


def _check_dim(dim: Dim, size: int, sizes: dict[str, int]) -> str:
    if dim.size is not None:
        return "" if dim.size == size else f"an axis of {dim.size} has size {size}"
    if dim.under or len(dim.over) != 1 or dim.coef.denominator != 1 or dim.over[0].startswith("$"):
        return ""
    each, rest = divmod(size, int(dim.coef))
    if rest:
        return f"the axis {dim} has size {size}"
    known = sizes.setdefault(dim.over[0], each)
    return "" if known == each else f"{dim.over[0].rpartition(':')[2]} is {known} and {each}"
