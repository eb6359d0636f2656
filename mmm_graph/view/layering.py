"""Which row each thing of one box stands in, and in which order: longest paths, then barycentres against crossings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

Name = str
Segment = tuple[Name, Name, str]
"""(upper, lower, value): a piece of a line between neighbouring rows."""


@dataclass(frozen=True)
class Hop:
    """A value inside one box: from one thing to those that read it."""

    value: str
    source: Name
    targets: tuple[Name, ...]


@dataclass(frozen=True)
class Pins:
    """What must stand first or last: each list is one row of its own."""

    first: tuple[tuple[Name, ...], ...] = ()
    last: tuple[tuple[Name, ...], ...] = ()


@dataclass(frozen=True)
class Rows:
    """Rows of things and of bends (where a long line passes a row), and the line pieces between rows."""

    rows: tuple[tuple[Name, ...], ...]
    segments: tuple[Segment, ...]


def arrange(names: Sequence[Name], hops: Sequence[Hop], pins: Pins, hints: Mapping[Name, float]) -> Rows:
    """Rows in reading order.

    Args:
        names: the things of the box, in the order of the file.
        hops: the values between them; they form no cycle.
        pins: things that must be in the first or last rows.
        hints: where an entry's line comes from outside; orders the first row.
    """
    level = _levels(names, hops, pins)
    rows, segments = _with_bends(names, hops, level)
    rows[0].sort(key=lambda n: hints.get(n, -1.0))
    return Rows(tuple(map(tuple, _untangle(rows, segments))), tuple(segments))


def bend(value: str, row: int) -> Name:
    """Name of the point where the line of a value passes a row."""
    return f"~{row}~{value}"


def is_bend(name: Name) -> bool:
    """Whether a name in a row is a passing line rather than a thing."""
    return name.startswith("~")


def _levels(names: Sequence[Name], hops: Sequence[Hop], pins: Pins) -> dict[Name, int]:
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from((hop.source, target) for hop in hops for target in hop.targets)
    fixed = {n: i for i, row in enumerate(pins.first) for n in row}
    lasts = {n for row in pins.last for n in row}
    floor = len(pins.first)
    level: dict[Name, int] = {}
    for name in nx.topological_sort(graph):
        after = max((level[p] + 1 for p in graph.predecessors(name)), default=0)
        level[name] = fixed.get(name, max(after, floor))
    free = [n for n in names if n not in fixed and n not in lasts]
    _pull(graph, level, free, lasts, floor)
    end = max((level[n] for n in names if n not in lasts), default=-1) + 1
    for i, row in enumerate(pins.last):
        level.update(dict.fromkeys(row, end + i))
    used = {value: i for i, value in enumerate(sorted(set(level.values())))}
    return {n: used[value] for n, value in level.items()}


def _pull(
    graph: nx.DiGraph[Name], level: dict[Name, int], free: Sequence[Name], lasts: set[Name], floor: int
) -> None:
    """Shortens lines: a thing with more readers than sources moves down to its readers, and the other way round."""
    for _ in range(len(free) + 1):
        moved = False
        for name in sorted(free, key=lambda n: -level[n]):
            above = [level[p] for p in graph.predecessors(name)]
            below = [level[s] for s in graph.successors(name) if s not in lasts]
            low = max(above, default=floor - 1) + 1
            goal = min(below) - 1 if below and len(below) >= len(above) else level[name]
            goal = max(goal, low, floor)
            moved |= goal != level[name]
            level[name] = goal
        if not moved:
            return


def _with_bends(
    names: Sequence[Name], hops: Sequence[Hop], level: Mapping[Name, int]
) -> tuple[list[list[Name]], list[Segment]]:
    rows: list[list[Name]] = [[] for _ in range(max(level.values(), default=0) + 1)]
    for name in names:
        rows[level[name]].append(name)
    segments: list[Segment] = []
    for hop in hops:
        start, end = level[hop.source], max(level[t] for t in hop.targets)
        passed = [hop.source, *(bend(hop.value, i) for i in range(start + 1, end))]
        for i, name in enumerate(passed[1:], start + 1):
            rows[i].append(name)
        segments += [(a, b, hop.value) for a, b in pairwise(passed)]
        segments += [(passed[level[t] - start - 1], t, hop.value) for t in hop.targets]
    return rows, segments


def _untangle(rows: list[list[Name]], segments: Sequence[Segment]) -> list[list[Name]]:
    """Barycentre sweeps, down and up; the order with the fewest crossings wins."""
    above: dict[Name, list[Name]] = {}
    below: dict[Name, list[Name]] = {}
    for a, b, _ in segments:
        above.setdefault(b, []).append(a)
        below.setdefault(a, []).append(b)
    best, fewest = [list(r) for r in rows], crossings(rows, segments)
    for turn in range(24):
        down = turn % 2 == 0
        order = range(1, len(rows)) if down else range(len(rows) - 2, -1, -1)
        for i in order:
            other = rows[i - 1] if down else rows[i + 1]
            _sort_row(rows[i], other, above if down else below, keep_ties=turn % 4 < 2)
        count = crossings(rows, segments)
        if count < fewest:
            best, fewest = [list(r) for r in rows], count
    return best


def _sort_row(
    row: list[Name], other: Sequence[Name], near: Mapping[Name, list[Name]], keep_ties: bool
) -> None:
    spot = {name: i / max(len(other) - 1, 1) for i, name in enumerate(other)}
    own = {name: i for i, name in enumerate(row)}
    mean = {n: sum(spot[o] for o in near[n]) / len(near[n]) for n in row if near.get(n)}
    # A thing without neighbours keeps its place; the others are sorted into the remaining places.
    movable = sorted(mean, key=lambda n: (mean[n], own[n] if keep_ties else -own[n]))
    queue = iter(movable)
    row[:] = [next(queue) if n in mean else n for n in row]


def crossings(rows: Sequence[Sequence[Name]], segments: Iterable[Segment]) -> int:
    """How often lines cross between rows; pieces of one value do not count."""
    row_of = {name: i for i, row in enumerate(rows) for name in row}
    spot = {name: i for row in rows for i, name in enumerate(row)}
    gaps: dict[int, list[tuple[int, int, str]]] = {}
    for a, b, value in segments:
        gaps.setdefault(row_of[a], []).append((spot[a], spot[b], value))
    total = 0
    for pieces in gaps.values():
        pieces.sort()
        for i, (upper, lower, value) in enumerate(pieces):
            later = pieces[i + 1 :]
            total += sum(1 for up, low, other in later if other != value and up > upper and low < lower)
    return total
