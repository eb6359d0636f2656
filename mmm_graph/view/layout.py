"""Scene -> Block: every box is laid out by itself, in rows from top to bottom, and is then one thing in its parent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mmm_graph.view.columns import Pull, columns
from mmm_graph.view.layering import Hop, Name, Pins, Rows, arrange, is_bend
from mmm_graph.view.metrics import BODY, PAD, text_width
from mmm_graph.view.picture import Block, Frame, Label, Tile
from mmm_graph.view.routes import Gap, Spot, bus, make_gaps, wires
from mmm_graph.view.scene import Box, Edge, Item, Scene, keys
from mmm_graph.view.tiles import label_width, make_tile, offsets, slot_width

ENTRY, EXIT, HEADING = ">", "<", "#"
"""First letter of the names of a line that comes into a box or leaves it, and of the box's title."""

BUS = 18.0
"""Room for the line that brings carried values back."""


def lay_out(scene: Scene) -> Block:
    """Coordinates for everything in the scene."""
    return _box(scene.page, scene.edges, {}, 0)


@dataclass(frozen=True)
class _Inside:
    """What one box holds: its children by name, the values among them, and those that pass its frame."""

    box: Box
    children: Mapping[Name, Item | Box]
    hops: tuple[Hop, ...]
    edges: Mapping[str, Edge]

    @property
    def names(self) -> list[Name]:
        """Children, heading and frame passages."""
        ends = [name for hop in self.hops for name in (hop.source, *hop.targets)]
        passages = dict.fromkeys(n for n in ends if n not in self.children)
        heading = [HEADING] if self.box.kind != "page" else []
        return [*heading, *self.children, *passages]

    @property
    def pins(self) -> Pins:
        """First the heading and what comes in, then what a loop carries; last the next values, then what leaves."""
        names = self.names
        shapes = {n: c.shape for n, c in self.children.items() if isinstance(c, Item)}
        first = [tuple(n for n in names if n[0] in (ENTRY, HEADING))]
        last = [tuple(n for n in names if n[0] == EXIT)]
        if self.box.kind == "loop":
            first.append(tuple(n for n in names if shapes.get(n) in ("carry", "each")))
            last.insert(0, tuple(n for n in names if shapes.get(n) == "next"))
        return Pins(tuple(filter(None, first)), tuple(filter(None, last)))


def _inside(box: Box, edges: Sequence[Edge]) -> _Inside:
    children = {child.key: child for child in box.children}
    home = {key: child.key for child in box.children for key in keys(child)}
    hops, used = [], {}
    for edge in edges:
        source = home.get(edge.source, f"{ENTRY}{edge.key}")
        targets = dict.fromkeys(home.get(t, f"{EXIT}{edge.key}") for t, _ in edge.targets)
        targets.pop(source, None)
        outside = source[0] == ENTRY
        if outside:
            targets.pop(f"{EXIT}{edge.key}", None)
        if targets:
            hops.append(Hop(edge.key, source, tuple(targets)))
            used[edge.key] = edge
    return _Inside(box, children, tuple(hops), used)


def _box(box: Box, edges: Sequence[Edge], hints: Mapping[str, float], depth: int) -> Block:
    inside = _inside(box, edges)
    rows = arrange(inside.names, inside.hops, inside.pins, {f"{ENTRY}{v}": x for v, x in hints.items()})
    things = _things(inside, rows, edges, depth)
    margins = {n: 5.0 if is_bend(n) or n[0] in (ENTRY, EXIT) else 11.0 for row in rows.rows for n in row}
    widths = {n: things[n].width + 2 * margins[n] for n in margins}
    pulls = [
        Pull(a, margins[a] + _out(things[a], value), b, margins[b] + _in(things[b], value))
        for a, b, value in rows.segments
    ]
    left = {n: x + margins[n] + PAD for n, x in columns(rows.rows, widths, pulls).items()}
    if HEADING in left:
        left[HEADING] = PAD
    return _assemble(inside, rows, things, left, depth)


def _things(inside: _Inside, rows: Rows, edges: Sequence[Edge], depth: int) -> dict[Name, Tile | Block]:
    """Tile or block of each name; boxes first, because lines are put in order by where boxes take them."""
    index = {name: float(i) for row in rows.rows for i, name in enumerate(row)}
    above: dict[Name, dict[str, Name]] = {}
    below: dict[Name, dict[str, list[Name]]] = {}
    for a, b, value in rows.segments:
        above.setdefault(b, {})[value] = a
        below.setdefault(a, {}).setdefault(value, []).append(b)
    things: dict[Name, Tile | Block] = {}
    for name in index:
        child = inside.children.get(name)
        if isinstance(child, Box):
            hints = {value: index[a] for value, a in above.get(name, {}).items()}
            things[name] = _box(child, edges, hints, depth + 1)
        elif child is None:
            things[name] = _passage(name, inside, depth)

    def at(name: Name, value: str, *, leaving: bool) -> float:
        thing = things.get(name)
        if thing is None or not thing.width:
            return index[name] + 0.5
        return index[name] + (_out(thing, value) if leaving else _in(thing, value)) / thing.width

    for name, child in inside.children.items():
        if isinstance(child, Item):
            readers = below.get(name, {})
            order = sorted(
                readers, key=lambda v: sum(at(b, v, leaving=False) for b in readers[v]) / len(readers[v])
            )
            things[name] = make_tile(child, [], [inside.edges[v] for v in order])
    finished = {}
    for name, child in inside.children.items():
        if isinstance(child, Item):
            sources = above.get(name, {})
            order = sorted(sources, key=lambda v: at(sources[v], v, leaving=True))
            ins = [(inside.edges[v], _port_names(inside.edges[v], name)) for v in order]
            outs = [inside.edges[s.value] for s in _tile(things[name]).outs]
            finished[name] = make_tile(child, ins, outs)
    return things | finished


def _tile(thing: Tile | Block) -> Tile:
    assert isinstance(thing, Tile)
    return thing


def _port_names(edge: Edge, item: Name) -> str:
    return ", ".join(dict.fromkeys(port for key, port in edge.targets if key == item))


def _passage(name: Name, inside: _Inside, depth: int) -> Block:
    """A heading, a bend, or a line through the frame: no picture of its own, only room."""
    if name == HEADING:
        return Block(text_width(inside.box.title, BODY) + 4, 0.0)
    if name[0] == EXIT:
        value = name[1:]
        width = slot_width(inside.edges[value].label if depth == 1 else "")
        return Block(width, 0.0, {value: width / 2}, {value: width / 2})
    return Block(2.0, 0.0)


def _in(thing: Tile | Block, value: str) -> float:
    places = offsets(thing.ins) if isinstance(thing, Tile) else thing.ins
    return places.get(value, thing.width / 2)


def _out(thing: Tile | Block, value: str) -> float:
    places = offsets(thing.outs) if isinstance(thing, Tile) else thing.outs
    return places.get(value, thing.width / 2)


def _assemble(
    inside: _Inside, rows: Rows, things: Mapping[Name, Tile | Block], left: Mapping[Name, float], depth: int
) -> Block:
    """Rows get their heights, lines their routes, and the children their places."""
    box, loop = inside.box, inside.box.kind == "loop"

    def anchor(name: Name, value: str, leaving: bool) -> float:
        return left[name] + (_out(things[name], value) if leaving else _in(things[name], value))

    def room(row: int) -> tuple[float, float]:
        kinds = {_shape(inside, n) for n in rows.rows[row]}
        below = {_shape(inside, n) for n in rows.rows[row + 1]}
        labelled = any(
            _is_labelled(inside, a) and inside.edges[v].label
            for a, _, v in rows.segments
            if a in rows.rows[row]
        )
        head = BUS if loop and "next" in kinds else 14.0 if labelled else 0.0
        return head, BUS if loop and "carry" in below else 0.0

    gaps = make_gaps(rows, anchor, room)
    spots, gaps, end = _stack(rows, gaps, things, left, PAD if box.kind == "page" else 0.0)
    leaves = any(n[0] == EXIT for n in left)
    height = end + (0.0 if leaves else PAD + (BUS if loop else 0.0))
    width = max((s.x + s.width for s in spots.values()), default=0.0) + PAD + (BUS if loop else 0.0)
    blocks = [t.moved(spots[n].x, spots[n].y) for n, t in things.items() if isinstance(t, Block)]
    tiles = [replace(t, x=spots[n].x, y=spots[n].y) for n, t in things.items() if isinstance(t, Tile)]
    lines = wires(gaps, spots, inside.edges, frozenset(n for n, t in things.items() if isinstance(t, Tile)))
    if loop:
        lines += bus(tiles, width - PAD - 2)
    frame = () if box.kind == "page" else (Frame(box, 0, 0, width, height, depth),)
    return Block(
        width,
        height,
        {n[1:]: s.x + s.width / 2 for n, s in spots.items() if n[0] == ENTRY},
        {n[1:]: s.x + s.width / 2 for n, s in spots.items() if n[0] == EXIT},
        (*frame, *(f for b in blocks for f in b.frames)),
        (*tiles, *(t for b in blocks for t in b.tiles)),
        (*lines, *(w for b in blocks for w in b.wires)),
        (*_labels(inside, things, spots), *(x for b in blocks for x in b.labels)),
    )


def _shape(inside: _Inside, name: Name) -> str:
    child = inside.children.get(name)
    return child.shape if isinstance(child, Item) else ""


def _stack(
    rows: Rows,
    gaps: Sequence[Gap],
    things: Mapping[Name, Tile | Block],
    left: Mapping[Name, float],
    top: float,
) -> tuple[dict[Name, Spot], list[Gap], float]:
    """Rows one below the other; returns spots, placed gaps, and where the last row ends."""
    spots: dict[Name, Spot] = {}
    placed: list[Gap] = []
    y = top
    for i, row in enumerate(rows.rows):
        height = max((things[n].height for n in row), default=0.0)
        height = 24.0 if HEADING in row else 6.0 if any(n[0] == EXIT for n in row) else height
        for name in row:
            own = things[name].height
            down = (height - own) / 2 if own else 0.0
            spots[name] = Spot(name, left[name], y + down, things[name].width, own or height)
        y += height
        if i < len(gaps):
            placed.append(replace(gaps[i], y=y))
            y += gaps[i].height
    return spots, placed, y


def _is_labelled(inside: _Inside, source: Name) -> bool:
    """Values are named where they are made, and once more where they leave an outermost box."""
    child = inside.children.get(source)
    return isinstance(child, Item) or (isinstance(child, Box) and inside.box.kind == "page")


def _labels(
    inside: _Inside, things: Mapping[Name, Tile | Block], spots: Mapping[Name, Spot]
) -> Iterator[Label]:
    for hop in inside.hops:
        edge, source = inside.edges[hop.value], spots[hop.source]
        if _is_labelled(inside, hop.source) and edge.label:
            x = source.x + _out(things[hop.source], hop.value)
            yield Label(edge, x, source.bottom + 9, label_width(edge.label))
