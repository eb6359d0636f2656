"""Random legal plans of the small graphs that are exact, with requests of different batch and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

from hypothesis import strategies as st

SAMPLERS = ("sampler.euler", "sampler.heun", "sampler.dpmpp_2m", "sampler.euler_ancestral")
PROMPTS = ("one", "the digit two", "a drawing of a 4")
HEADS, BLOCKS, UNIT = 4, 5, 8
"""Of the DiT; UNIT = pixels of a row of tokens."""
MOST = 4
"""Ranks."""
Draw = Any


@dataclass(frozen=True)
class PlanCase:
    """A plan, and what is asked of it."""

    plan: dict[str, Any]
    requests: list[dict[str, Any]]


@st.composite
def plan_cases(draw: Draw) -> PlanCase:
    """Axes, stages, patches, parts of a batch; every stale mode with all of its warm-up."""
    heights = draw(st.lists(st.sampled_from([32, 40, 48]), min_size=1, max_size=2))
    axes = _axes(draw, min(heights) // UNIT)
    each = prod(axes.values())
    stages = draw(st.integers(1, MOST // each))
    pieces = prod(axes.get(a, 1) for a in ("patch", "ring", "ulysses"))
    patches = draw(st.integers(1, min(heights) // UNIT // pieces))
    loop: dict[str, Any] = {"patches": patches, "warmup": draw(st.sampled_from(["all", 8]))}
    if patches > 1 and stages > 1 and pieces == 1 and axes.get("tensor", 1) == 1:
        loop["warm"] = draw(st.sampled_from(["streams", "rows"]))
    plan: dict[str, Any] = {
        "ranks": stages * each,
        "axes": {"net": _modes(draw, axes, patches)},
        "loops": {"denoise": loop},
        "microbatches": draw(st.integers(1, 3)),
        "in_flight": draw(st.sampled_from([None, 1, 2])),
    }
    if draw(st.booleans()):
        plan["pipe"] = {"net": stages}
        plan["axes"] |= _others(draw, stages * each, min(heights))
    else:
        plan["stages"] = _stages(draw, stages, each)
    return PlanCase(plan, [_request(draw, i, height) for i, height in enumerate(heights)])


def _axes(draw: Draw, rows: int) -> dict[str, int]:
    """Degrees of the denoiser in some order, of few ranks."""
    found: dict[str, int] = {}
    outer = draw(st.sampled_from(["patch", "ring"]))
    for axis in draw(st.permutations(["data", "cfg", outer, "ulysses", "tensor"])):
        most = MOST // prod(found.values())
        if axis in ("ulysses", "tensor"):
            most = min(most, HEADS // found.get("ulysses" if axis == "tensor" else "tensor", 1))
        if axis in ("patch", "ring", "ulysses"):
            most = min(most, rows // prod(found.get(a, 1) for a in (outer, "ulysses")))
        degree = draw(st.integers(1, min(most, 2 if axis == "cfg" else 3)))
        if degree > 1 or draw(st.integers(0, 9)) == 0:
            found[axis] = degree
    return found


def _modes(draw: Draw, axes: dict[str, int], patches: int) -> dict[str, Any]:
    can = axes.get("patch", 1) > 1 and axes.get("ulysses", 1) == 1 and patches == 1
    if not can or not draw(st.booleans()):
        return dict(axes)
    return {**axes, "patch": {"size": axes["patch"], "mode": "displaced"}}


def _others(draw: Draw, ranks: int, height: int) -> dict[str, Any]:
    """Axes of the other models, which lie on the first of the same ranks."""
    found: dict[str, Any] = {}
    if draw(st.booleans()):
        axis = draw(st.sampled_from(["patch", "ring", "data"]))
        found["vae"] = {axis: draw(st.integers(1, min(ranks, height // 2)))}
    if draw(st.booleans()):
        found["text"] = {draw(st.sampled_from(["tensor", "data"])): draw(st.integers(1, ranks))}
    return found


def _stages(draw: Draw, stages: int, each: int) -> list[dict[str, Any]]:
    """The long form: stages cut anywhere, ranks in any order, the other models on any of them."""
    cuts = sorted(
        draw(st.lists(st.integers(1, BLOCKS - 1), min_size=stages - 1, max_size=stages - 1, unique=True))
    )
    bounds = pairwise(["", *map(str, cuts), ""])
    order = draw(st.permutations(range(stages)))
    found = [
        {"ranks": list(range(s * each, (s + 1) * each)), "place": [f"net[{a}:{b}]"]}
        for s, (a, b) in zip(order, bounds, strict=True)
    ]
    for model in draw(st.sets(st.sampled_from(["text", "vae"]))):
        ranks: Sequence[int] = draw(
            st.lists(st.integers(0, stages * each - 1), min_size=1, max_size=2, unique=True)
        )
        found.append({"ranks": list(ranks), "place": [model]})
    return found


def _request(draw: Draw, index: int, height: int) -> dict[str, Any]:
    batch = draw(st.integers(1, 3))
    return {
        "id": str(index),
        "prompt": list(PROMPTS[:batch]),
        "height": height,
        "steps": draw(st.integers(1, 3)),
        "sampler": draw(st.sampled_from(SAMPLERS)),
        "seed": draw(st.sampled_from([3, list(range(batch))])),
        "draw": draw(st.integers(0, 7)) > 0,
    }
