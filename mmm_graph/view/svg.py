"""Graph -> one self-contained SVG: lines, boxes and tiles of the layout under a heading, over a table of models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from mmm_graph.graph.graph import Graph
from mmm_graph.view.header import footer, heading
from mmm_graph.view.layout import lay_out
from mmm_graph.view.metrics import BODY, SMALL, TITLE, shorten
from mmm_graph.view.palette import kind_colour, role_colour
from mmm_graph.view.picture import Block, Frame, Label, Slot, Tile, Wire
from mmm_graph.view.scene import make_scene
from mmm_graph.view.tiles import NAMES, PILLS

FONTS = "Inter, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif"
STYLE = f"""text{{font-family:{FONTS};fill:#1d2733}}
.w{{fill:none;stroke-width:1.4;stroke-linecap:round}}
.b{{fill:none;stroke:#c98a1b;stroke-width:1.3;stroke-dasharray:5 3.5}}
.m{{text-anchor:middle}} .t{{font-weight:600;font-size:{TITLE}px}} .s{{font-size:{BODY}px;fill:#4b5866}}
.p{{font-size:{SMALL}px;fill:#66717f}} .h{{font-weight:600;font-size:{BODY}px}}
.n:hover rect,.f:hover>rect{{stroke-width:2.4}} .w:hover{{stroke-width:3.2}}"""

LOOKS = {
    "input": ("#e3effd", "#2f74c9"),
    "output": ("#d9f2df", "#2a8a45"),
    "carry": ("#ffedc4", "#c98a1b"),
    "next": ("#ffedc4", "#c98a1b"),
    "each": ("#fffaf0", "#c98a1b"),
}
LOOP = ("#fffaf0", "#d9a441", "#8a5d06")
GROUPS = (("#f5f8fc", "#b9c6d8", "#40536b"), ("#e9eff8", "#a9b9d0", "#40536b"))


def to_svg(graph: Graph) -> str:
    """The picture of a graph. Ports and shapes are shown on hover (SVG titles); nothing is fetched."""
    block = lay_out(make_scene(graph))
    width = max(block.width, 420.0)
    top, top_height = heading(graph, width)
    bottom, bottom_height = footer(graph, width)
    block = block.moved((width - block.width) / 2, top_height)
    height = top_height + block.height + bottom_height
    body = "\n".join([top, *draw(block), bottom.replace("@Y", f"{top_height + block.height:.1f}")])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(graph.name)}">\n'
        f'<style>{STYLE}</style>\n<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def draw(block: Block) -> Iterator[str]:
    """SVG elements, from the back to the front."""
    for frame in block.frames:
        yield _frame(frame)
    for wire in block.wires:
        yield _wire(wire)
    for label in block.labels:
        yield _label(label)
    for tile in block.tiles:
        yield _tile(tile)


def _frame(frame: Frame) -> str:
    loop = frame.box.kind == "loop"
    fill, stroke, ink = LOOP if loop else GROUPS[frame.depth % 2]
    mark = "↻ " if loop else ""
    title = f'<text class="h" x="{frame.x + 12:.1f}" y="{frame.y + 16:.1f}" style="fill:{ink}">'
    return (
        f'<g class="f"><title>{escape(frame.box.tip)}</title><rect x="{frame.x:.1f}" y="{frame.y:.1f}" '
        f'width="{frame.width:.1f}" height="{frame.height:.1f}" rx="10" fill="{fill}" stroke="{stroke}" '
        f'stroke-width="{1.6 if loop else 1.1}"/>{title}{mark}{escape(frame.box.title)}</text></g>'
    )


def _wire(wire: Wire) -> str:
    path = "".join(_path(wire, line) for line in wire.lines)
    if wire.edge is None:
        tips = "".join(_tip(wire, tip, "#c98a1b") for tip in wire.tips)
        return f'<path class="b" d="{path}"><title>next turn</title></path>{tips}'
    colour = kind_colour(wire.edge.kind)
    dots = "".join(
        f'<circle cx="{wire.x + x:.1f}" cy="{wire.y + y:.1f}" r="2.3" fill="{colour}"/>' for x, y in wire.dots
    )
    tips = "".join(_tip(wire, tip, colour) for tip in wire.tips)
    title = f"<title>{escape(wire.edge.tip)}</title>"
    return (
        f'<g data-value="{escape(wire.edge.key)}">'
        f'<path class="w" stroke="{colour}" d="{path}">{title}</path>{dots}{tips}</g>'
    )


def _path(wire: Wire, line: Sequence[tuple[float, float]], radius: float = 6.0) -> str:
    """A polyline with rounded corners."""
    points = [(wire.x + x, wire.y + y) for x, y in line]
    text = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (a, b), (_, c) in zip(pairwise(points), pairwise(points[1:]), strict=False):
        before, after = _toward(b, a, radius), _toward(b, c, radius)
        text += f"L{before[0]:.1f} {before[1]:.1f}Q{b[0]:.1f} {b[1]:.1f} {after[0]:.1f} {after[1]:.1f}"
    return text + f"L{points[-1][0]:.1f} {points[-1][1]:.1f}"


def _toward(start: tuple[float, float], end: tuple[float, float], distance: float) -> tuple[float, float]:
    """A point on the way from start to end, at most half of the way."""
    length = abs(end[0] - start[0]) + abs(end[1] - start[1])
    part = min(distance, length / 2) / length if length else 0.0
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part


def _tip(wire: Wire, at: tuple[float, float], colour: str) -> str:
    x, y = wire.x + at[0], wire.y + at[1]
    return f'<path d="M{x - 3.6:.1f} {y - 6.5:.1f}L{x + 3.6:.1f} {y - 6.5:.1f}L{x:.1f} {y:.1f}Z" fill="{colour}"/>'


def _label(label: Label) -> str:
    x, y, width = label.x, label.y, label.width
    return (
        f'<g><title>{escape(label.edge.tip)}</title><rect x="{x - width / 2:.1f}" y="{y - 6.5:.1f}" '
        f'width="{width:.1f}" height="13" rx="4" fill="#ffffff" fill-opacity="0.92"/>'
        f'<text class="p m" x="{x:.1f}" y="{y + 3:.1f}" style="fill:{kind_colour(label.edge.kind)}">'
        f"{escape(label.edge.label)}</text></g>"
    )


def _tile(tile: Tile) -> str:
    item = tile.item
    pill = item.shape in PILLS
    fill, stroke = LOOKS[item.shape] if pill else role_colour(item.role)
    radius = min(tile.height / 2, 14) if pill else 6
    named_in = any(s.name for s in tile.ins)
    y = tile.y + (NAMES if named_in else 0) + (14.5 if pill and not item.subtitle else 16.5)
    middle = tile.x + tile.width / 2
    parts = [
        f'<g class="n" data-item="{escape(item.key)}"><title>{escape(item.tip)}</title>',
        f'<rect x="{tile.x:.1f}" y="{tile.y:.1f}" width="{tile.width:.1f}" height="{tile.height:.1f}" '
        f'rx="{radius:.1f}" fill="{fill}" stroke="{stroke}" stroke-width="1.3"/>',
        f'<text class="t m" x="{middle:.1f}" y="{y:.1f}">{escape(item.title)}</text>',
    ]
    if item.subtitle:
        text = escape(shorten(item.subtitle, 30))
        parts.append(f'<text class="s m" x="{middle:.1f}" y="{y + 14:.1f}">{text}</text>')
    parts += [_port(tile, slot, tile.y + 10) for slot in tile.ins if slot.name]
    parts += [_port(tile, slot, tile.y + tile.height - 4) for slot in tile.outs if slot.name]
    return "".join(parts) + "</g>"


def _port(tile: Tile, slot: Slot, y: float) -> str:
    return f'<text class="p m" x="{tile.x + slot.x:.1f}" y="{y:.1f}">{escape(slot.name)}</text>'
