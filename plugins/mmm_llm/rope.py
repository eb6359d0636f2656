"""What transformers' configs say of rotary positions <-> ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.nn.rope_config import NEEDED, OPTIONAL, RopeConfig

THEIRS = {"original": "original_max_position_embeddings"}
"""Our field -> theirs, where they differ."""
SAID = {"rope_parameters": None, "rope_scaling": None, "rope_theta": None, "partial_rotary_factor": None}
"""Their fields: version 5 has the first, older ones the next two."""


def read_rope(others: Mapping[str, Any], max_length: int) -> dict[str, Any]:
    """Our RopeConfig from those of SAID, and what a missing length is.

    Raises:
        ValueError: a type or a field that we do not know.
    """
    said = dict(others["rope_scaling"] or others["rope_parameters"] or {})
    theta = said.pop("rope_theta", None) or others["rope_theta"] or 10000.0
    kind = said.pop("rope_type", None) or said.get("type") or "default"
    said.pop("type", None)
    part = said.pop("partial_rotary_factor", None) or others["partial_rotary_factor"] or 1.0
    if part != 1.0:
        raise ValueError(f"partial_rotary_factor: {part!r} is not supported; expected 1.0")
    if kind not in NEEDED:
        raise ValueError(f"rope_type: {kind!r} is not supported; known are {', '.join(NEEDED)}")
    ours = (*NEEDED[kind], *OPTIONAL.get(kind, ()))
    names = {THEIRS.get(name, name): name for name in ours}
    unknown = sorted(said.keys() - names.keys() - {THEIRS["original"]})
    if unknown:
        found = ", ".join(f"{name}: {said[name]!r}" for name in unknown)
        raise ValueError(
            f"{found} of rope_type {kind} is not supported; known are {', '.join(sorted(names))}"
        )
    fields = {names[name]: value for name, value in said.items() if value is not None and name in names}
    if "original" in ours:
        fields.setdefault("original", max_length)
    return {"theta": float(theta), "type": kind, **fields}


def write_rope(ours: RopeConfig) -> dict[str, Any]:
    """As older versions word it; version 5 reads that too."""
    fields = (*NEEDED[ours.type], *OPTIONAL.get(ours.type, ()))
    found = {
        THEIRS.get(name, name): getattr(ours, name) for name in fields if getattr(ours, name) is not None
    }
    found = {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
    scaling = None if ours.type == "default" else {"rope_type": ours.type, **found}
    return {"rope_theta": ours.theta, "rope_scaling": scaling}
