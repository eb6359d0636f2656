"""Lines between two rows: each value gets a horizontal track so that no two lines lie on each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

CLEAR = 7.0
"""Least distance of two parallel lines, in px."""


@dataclass(frozen=True)
class Net:
    """One value between two rows: it comes down at `top` and goes on at each of `bottoms` (x in px)."""

    value: str
    top: float
    bottoms: tuple[float, ...]

    @property
    def is_straight(self) -> bool:
        """Whether it needs no horizontal piece."""
        return all(abs(x - self.top) < 2.5 for x in self.bottoms)

    @property
    def left(self) -> float:
        """Left end of its horizontal piece."""
        return min(self.top, *self.bottoms)

    @property
    def right(self) -> float:
        """Right end of its horizontal piece."""
        return max(self.top, *self.bottoms)


def tracks(nets: Sequence[Net]) -> Mapping[str, int]:
    """Value -> track, 0 = uppermost. A straight line has none.

    A line that comes down where another goes on must turn off above it; among the orders that keep to this, the one
    with few crossings is taken, and lines that do not meet share a track.
    """
    bent = [net for net in nets if not net.is_straight]
    if not bent:
        return {}
    order = _order(bent)
    placed: dict[str, int] = {}
    ends: list[list[Net]] = []
    for net in order:
        lowest = max(
            (placed[o.value] + 1 for o in bent if o.value in placed and _must_be_above(o, net)), default=0
        )
        track = next((i for i in range(lowest, len(ends)) if _fits(net, ends[i])), len(ends))
        if track == len(ends):
            ends.append([])
        ends[track].append(net)
        placed[net.value] = track
    return placed


def _order(nets: Sequence[Net]) -> list[Net]:
    by_value = {net.value: net for net in nets}
    graph = nx.DiGraph()
    graph.add_nodes_from(by_value)
    for upper in nets:
        for lower in nets:
            if upper is lower or graph.has_edge(lower.value, upper.value):
                continue
            if _must_be_above(upper, lower):
                graph.add_edge(upper.value, lower.value, firm=True)
            elif _crossed(upper, lower) < _crossed(lower, upper):
                graph.add_edge(upper.value, lower.value, firm=False)
    _break_cycles(graph)
    return [by_value[value] for value in nx.lexicographical_topological_sort(graph)]


def _break_cycles(graph: nx.DiGraph[str]) -> None:
    """Preferences give way first; two lines that block each other both ways will touch, which is rare."""
    while True:
        knots = [c for c in nx.strongly_connected_components(graph) if len(c) > 1]
        if not knots:
            return
        for knot in knots:
            inner = sorted(graph.subgraph(knot).edges(data="firm"), key=lambda e: (e[2], e[0], e[1]))
            graph.remove_edge(*inner[0][:2])


def _must_be_above(upper: Net, lower: Net) -> bool:
    """`upper` comes down where `lower` goes on: turning off lower would lay one upright piece on the other."""
    return any(abs(upper.top - x) < CLEAR for x in lower.bottoms)


def _crossed(upper: Net, lower: Net) -> int:
    """Crossings when `upper` turns off above `lower`."""
    down = sum(1 for x in upper.bottoms if lower.left < x < lower.right)
    return down + (1 if upper.left < lower.top < upper.right else 0)


def _fits(net: Net, others: Sequence[Net]) -> bool:
    return all(net.right + CLEAR < o.left or o.right + CLEAR < net.left for o in others)
