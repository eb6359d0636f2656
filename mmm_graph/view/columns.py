"""Where things of ordered rows stand from left to right: near what they are joined to, never on each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from mmm_graph.view.layering import Name, is_bend


@dataclass(frozen=True)
class Pull:
    """A line piece: it is straight when left(a) + at_a == left(b) + at_b."""

    a: Name
    at_a: float
    b: Name
    at_b: float


class Phase(NamedTuple):
    """A sweep: which lines are looked at (those above -1, below 1, all 0), and in which direction rows are taken.

    With a slack (px), distances count instead of their squares, by reweighting: then one line of several has a step
    and the others are straight.
    """

    side: int
    upwards: bool = False
    slack: float = 0.0


PHASES = (
    *(Phase(-1), Phase(1, True), Phase(0)) * 6,
    *(Phase(0, False, 2.0), Phase(0, True, 2.0)) * 15,
    *(Phase(-1, False, 0.1),) * 10,
)
"""Rough places, then straight lines, then steps pushed down to where lines meet."""


def columns(
    rows: Sequence[Sequence[Name]], widths: Mapping[Name, float], pulls: Sequence[Pull]
) -> dict[Name, float]:
    """Left edge of each name, the leftmost being 0; widths include the space around a thing.

    Each sweep gives every row the least-squares positions for what its lines ask, in order and without overlap.
    """
    near: dict[Name, list[tuple[Name, float, float]]] = {name: [] for row in rows for name in row}
    for p in pulls:
        weight = 4.0 if is_bend(p.a) and is_bend(p.b) else 2.0 if is_bend(p.a) or is_bend(p.b) else 1.0
        near[p.a].append((p.b, p.at_b - p.at_a, weight))
        near[p.b].append((p.a, p.at_a - p.at_b, weight))
    left = _packed(rows, widths)
    row_of = {name: i for i, row in enumerate(rows) for name in row}
    for phase in PHASES:
        for row in reversed(rows) if phase.upwards else rows:
            wishes = [_wish(near[name], left[name], row_of[name], row_of, left, phase) for name in row]
            for name, x in zip(row, _spread(row, wishes, widths), strict=True):
                left[name] = x
    start = min(left.values(), default=0.0)
    return {name: x - start for name, x in left.items()}


def _packed(rows: Sequence[Sequence[Name]], widths: Mapping[Name, float]) -> dict[Name, float]:
    left: dict[Name, float] = {}
    for row in rows:
        x = -sum(widths[n] for n in row) / 2
        for name in row:
            left[name] = x
            x += widths[name]
    return left


def _wish(
    near: Sequence[tuple[Name, float, float]],
    own: float,
    row: int,
    row_of: Mapping[Name, int],
    left: Mapping[Name, float],
    phase: Phase,
) -> tuple[float, float]:
    """(wanted left edge, weight)."""
    asked = [(left[o] + d, w) for o, d, w in near if (row_of[o] - row) * phase.side >= 0]
    asked = asked or [(left[o] + d, w) for o, d, w in near]
    if not asked:
        return own, 0.001
    if phase.slack:
        asked = [(x, w / (abs(x - own) + phase.slack)) for x, w in asked]
    total = sum(w for _, w in asked)
    return sum(x * w for x, w in asked) / total, total


def _spread(
    row: Sequence[Name], wishes: Sequence[tuple[float, float]], widths: Mapping[Name, float]
) -> list[float]:
    """Least squares under `left[i+1] >= left[i] + width`: pool neighbours that would overlap."""
    offsets = list(accumulate((widths[n] for n in row[:-1]), initial=0.0))[: len(row)]
    pools: list[list[float]] = []
    for (x, weight), offset in zip(wishes, offsets, strict=True):
        pools.append([x - offset, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            x2, w2, n2 = pools.pop()
            x1, w1, n1 = pools.pop()
            pools.append([(x1 * w1 + x2 * w2) / (w1 + w2), w1 + w2, n1 + n2])
    bases = [x for x, _, n in pools for _ in range(int(n))]
    return [base + offset for base, offset in zip(bases, offsets, strict=True)]
