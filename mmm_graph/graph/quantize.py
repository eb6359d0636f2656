"""Whether the weights of a model can be quantized as it is asked."""

from __future__ import annotations

from typing import Any

from mmm_graph.registry import ModelType
from mmm_graph.spec.base import QUANTIZED
from mmm_graph.spec.graph import ModelSpec


def cannot_quantize(name: str, spec: ModelSpec, kind: ModelType, how: Any) -> tuple[str, str] | None:
    """(why not, what would do instead); None where nothing is against it.

    Args:
        how: what `quantize:` says, params put in.
    """
    if how is None:
        return None
    if how not in QUANTIZED:
        return (
            f"{name}: quantize expects {' or '.join(QUANTIZED)}, got {how!r}",
            "set the param to one of them",
        )
    if not kind.weights:
        return f"{name} ({kind.kind}) has no weights to quantize", "leave it out"
    if any(item.merge for item in spec.attach):
        return (
            f"{name} has a LoRA with `merge: true`, which is added to weights that are not quantized",
            "leave out `merge`: it then runs beside them",
        )
    return None
