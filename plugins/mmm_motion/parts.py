"""The parts table of motion modules, without torch."""

from __future__ import annotations

from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.registry import Part, Sharding
from mmm_motion.config import MotionConfig, Place

REFUSED = dict.fromkeys(
    ("patch", "patches", "ulysses", "ring", "tensor"), "motion modules see all frames of a pixel together"
)


def motion_parts(config: MotionConfig) -> tuple[Part, ...]:
    """One part for each place, under its name."""
    return tuple(motion_part(config, place) for place in config.places)


def motion_path(config: MotionConfig, call: object) -> tuple[str, ...]:
    """A call runs all."""
    return tuple(place.name for place in config.places)


def motion_sharding(config: MotionConfig) -> Sharding:
    """Nothing within a video."""
    return Sharding(refused=REFUSED)


def motion_part(config: MotionConfig, place: Place) -> Part:
    """Work on one video."""
    side = -(-config.sample_size // 2**place.depth)
    tokens = side * side * config.frames
    writes = ("h", place.skip) if place.skip else ("h",)
    total = motion_cost(config, place, tokens)
    return Part(
        place.name, ("h", "frames"), writes, *total.fields, dict.fromkeys(writes, place.channels * tokens)
    )


def motion_cost(config: MotionConfig, place: Place, tokens: int) -> Cost:
    """Norm, projections, layers; a token sees the same pixel of all frames."""
    width = place.channels
    attend = cost.linear(width, width, tokens, bias=False) * 3 + cost.linear(width, width, tokens)
    attend += cost.pairs(width, tokens, config.frames)
    layer = cost.norm(width) * 3 + attend.needs(5 * tokens * width) * 2
    layer += cost.gated_mlp(width, 4 * width, tokens)
    return cost.norm(width) + cost.linear(width, width, tokens) * 2 + layer * place.layers
