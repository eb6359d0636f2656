"""The parts table of motion modules, without torch."""

from __future__ import annotations

from mmm_graph.nn import cost
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
    width = place.channels
    total = cost.temporal_transformer(width, side * side, config.frames, width, layers=place.layers)
    return Part(place.name, ("h", "frames"), writes, *total.fields, dict.fromkeys(writes, width * tokens))
