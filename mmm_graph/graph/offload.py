"""Whether a model can be offloaded as it is asked; the same for `offload:` of a model and of a plan."""

from __future__ import annotations

from mmm_graph.registry import ModelType
from mmm_graph.spec.offload import OffloadSpec


def cannot_offload(name: str, kind: ModelType, offload: OffloadSpec, *, merged: bool, quantized: bool) -> str:
    """Why not, in words; "" where nothing is against it.

    Args:
        merged: LoRA weights are added to the model's own.
        quantized: its weights are packed when they are read.
    """
    if not kind.weights:
        return f"{name} ({kind.kind}) has no weights to offload"
    if offload.by == "block" and kind.parts is None:
        return f"{name} ({kind.kind}) is not made of parts, so it cannot be offloaded by block"
    if offload.from_ == "disk" and quantized:
        return f"{name} is quantized when it is read, which takes too long to be done again, so not from disk"
    if offload.from_ == "disk" and merged:
        return f"{name} has merged LoRA weights, which its file does not hold, so it cannot come from disk"
    return ""


def hint_of(offload: OffloadSpec, kind: ModelType) -> str:
    """What would do instead."""
    if not kind.weights:
        return "leave it out"
    return "by: model" if offload.by == "block" and kind.parts is None else "from: host"
