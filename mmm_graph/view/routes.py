"""Lines of one box as polylines: down from a thing, along a track between two rows, down to those that read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmm_graph.view.channel import Net, tracks
from mmm_graph.view.layering import Name, Rows, is_bend
from mmm_graph.view.picture import Tile, Wire
from mmm_graph.view.scene import Edge

TRACK = 8.0
"""Distance of two tracks."""

Anchor = Callable[[Name, str, bool], float]
"""(thing, value, leaving) -> x in px where the line of that value meets the thing."""


@dataclass(frozen=True)
class Spot:
    """Where a thing of a row stands."""

    name: Name
    x: float
    y: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        """y of its lower side."""
        return self.y + self.height


@dataclass(frozen=True)
class Gap:
    """The room between two rows. `head` and `tail` are left free of tracks."""

    nets: tuple[Net, ...]
    readers: Mapping[str, tuple[Name, ...]]
    sources: Mapping[str, Name]
    track: Mapping[str, int]
    head: float
    tail: float
    y: float = 0.0

    @property
    def height(self) -> float:
        """Room for the tracks and their ends."""
        lanes = max(self.track.values(), default=-1) + 1
        return self.head + self.tail + 20 + TRACK * max(lanes - 1, 0)

    def track_y(self, value: str) -> float:
        """y of the level piece of a value."""
        return self.y + self.head + 7 + TRACK * self.track[value]


def make_gaps(rows: Rows, anchor: Anchor, room: Callable[[int], tuple[float, float]]) -> list[Gap]:
    """One gap after each row but the last; `room` gives (head, tail) of the gap after a row."""
    row_of = {name: i for i, row in enumerate(rows.rows) for name in row}
    pieces: list[dict[str, list[Name]]] = [{} for _ in rows.rows]
    sources: list[dict[str, Name]] = [{} for _ in rows.rows]
    for a, b, value in rows.segments:
        pieces[row_of[a]].setdefault(value, []).append(b)
        sources[row_of[a]][value] = a
    gaps = []
    for i in range(len(rows.rows) - 1):
        nets = tuple(
            Net(v, anchor(sources[i][v], v, True), tuple(anchor(b, v, False) for b in lower))
            for v, lower in pieces[i].items()
        )
        readers = {v: tuple(lower) for v, lower in pieces[i].items()}
        gaps.append(Gap(nets, readers, sources[i], tracks(nets), *room(i)))
    return gaps


def wires(
    gaps: Sequence[Gap], spots: Mapping[Name, Spot], edges: Mapping[str, Edge], ends: frozenset[Name]
) -> list[Wire]:
    """One wire for each value of a box; `ends` are the things that get an arrow tip."""
    found: dict[str, list[Wire]] = {}
    for gap in gaps:
        for net in gap.nets:
            found.setdefault(net.value, []).append(_piece(gap, net, spots, ends))
    return [
        Wire(
            edges[value],
            0,
            0,
            tuple(line for p in pieces for line in p.lines),
            tuple(tip for p in pieces for tip in p.tips),
            tuple(dot for p in pieces for dot in p.dots),
        )
        for value, pieces in found.items()
    ]


def _piece(gap: Gap, net: Net, spots: Mapping[Name, Spot], ends: frozenset[Name]) -> Wire:
    source = spots[gap.sources[net.value]]
    start = source.y if _passes(source.name) else source.bottom
    lines: list[tuple[tuple[float, float], ...]] = []
    tips, dots = [], []
    for x, reader in zip(net.bottoms, gap.readers[net.value], strict=True):
        end = spots[reader].y
        if net.is_straight:
            lines.append(((net.top, start), (x, end)))
        else:
            y = gap.track_y(net.value)
            lines.append(((net.top, start), (net.top, y), (x, y), (x, end)))
            if net.left + 0.5 < x < net.right - 0.5 or (abs(x - net.top) < 0.5):
                dots.append((x, y))
        if reader[0] == "<":
            lines.append(((x, end), (x, spots[reader].bottom)))
        if reader in ends:
            tips.append((x, end))
    if not net.is_straight and len(net.bottoms) > 1 and net.left + 0.5 < net.top < net.right - 0.5:
        dots.append((net.top, gap.track_y(net.value)))
    return Wire(None, 0, 0, tuple(lines), tuple(tips), tuple(dict.fromkeys(dots)))


def _passes(name: Name) -> bool:
    return is_bend(name) or name[0] == ">"


def bus(tiles: Sequence[Tile], edge_x: float) -> Iterator[Wire]:
    """The line that brings next values back to the top of a loop, along the frame's right side at `edge_x`."""
    starts = [t for t in tiles if t.item.shape == "next" and not t.item.key.endswith("/$until")]
    names = {t.item.title for t in starts}
    goals = [t for t in tiles if t.item.shape == "carry" and t.item.title in names]
    if not starts or not goals:
        return
    low = max(t.y + t.height for t in starts) + 10
    high = min(t.y for t in goals) - 10
    outs = [t.x + t.width / 2 for t in starts]
    ins = [t.x + t.width / 2 + (7 if t.ins else 0) for t in goals]
    lines = [((min(outs), low), (edge_x, low), (edge_x, high), (min(ins), high))]
    trunk = [((x, t.y + t.height), (x, low)) for x, t in zip(outs, starts, strict=True)]
    twigs = [((x, high), (x, t.y)) for x, t in zip(ins, goals, strict=True)]
    yield Wire(None, 0, 0, (*lines, *trunk, *twigs), tuple(twig[1] for twig in twigs))
