"""The parts of a projector, without torch."""

from __future__ import annotations

from mmm_bridge.projector.config import ProjectorConfig
from mmm_graph.nn import cost
from mmm_graph.registry import Part, Sharding

TOKENS = 576
"""Features that the work is counted for: a projector takes any number. CLIP ViT-L/14 makes as many at 336 px."""


def projector_parts(config: ProjectorConfig) -> tuple[Part, ...]:
    """One part a linear layer; all but the first begin with the activation."""
    widths = [config.in_dim or 0, *[config.out_dim or 0] * config.depth]
    found = []
    for i, name in enumerate(projector_path(config, None)):
        reads, writes = layer_keys(config, i)
        layer = cost.linear(widths[i], widths[i + 1], TOKENS, bias=config.bias)
        work = layer.needs(layer.work + (i > 0) * TOKENS * widths[i])  # beside its result, what was activated
        found.append(Part(name, (reads,), (writes,), *work.fields, {writes: TOKENS * widths[i + 1]}))
    return tuple(found)


def projector_path(config: ProjectorConfig, call: object) -> tuple[str, ...]:
    """A call runs all parts."""
    return tuple(f"layer{i}" for i in range(config.depth))


def layer_keys(config: ProjectorConfig, index: int) -> tuple[str, str]:
    """State keys that a layer reads and writes."""
    return "features" if index == 0 else "h", "embeds" if index == config.depth - 1 else "h"


def projector_sharding(config: ProjectorConfig) -> Sharding:
    """Batches only."""
    why = "a projector has no heads, and its few columns are computed faster than they would be sent"
    return Sharding(refused={"tensor": why, "ulysses": why})
