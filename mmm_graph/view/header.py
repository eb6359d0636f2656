"""What stands above and below a drawing: name and counts, legend, parameters; the table of models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import accumulate

from mmm_graph.graph.graph import Graph, Loop, links
from mmm_graph.view.metrics import BODY, PAD, shorten, text_width
from mmm_graph.view.palette import KIND_FAMILIES, kind_family, role_colour
from mmm_graph.view.scene import roles, told, used_models

LINE = 20.0
"""Height of a row of the legend, of the parameters, of the table."""


def heading(graph: Graph, width: float) -> tuple[str, float]:
    """SVG of the title block for a page of that width, and its height."""
    section = "" if graph.section == "main" else f" · {graph.section}"
    counts = f"{sum(1 for _ in graph.walk())} nodes · {len(used_models(graph))} models"
    parts = [
        f'<text x="{PAD}" y="28" style="font-size:18px;font-weight:700">{escape(graph.name + section)}</text>',
        f'<text class="s" x="{PAD}" y="46">{counts}</text>',
    ]
    y = 54.0
    for chips in (_legend(graph), _params(graph)):
        y = _flow(chips, width, y, parts)
    return "\n".join(parts), y + 4


def footer(graph: Graph, width: float) -> tuple[str, float]:
    """SVG of the table of models, with `@Y` where its top belongs, and its height."""
    models = used_models(graph)
    if not models:
        return "", 0.0
    table = [
        ("model", "kind", "weights"),
        *map(told, models),
    ]
    spans = [max(text_width(row[i], BODY) for row in table) + 20 for i in range(2)]
    room = int(max(width - PAD * 2 - 18 - sum(spans), 80) / (BODY * 0.6))
    starts = list(accumulate(spans, initial=PAD + 18))
    rows = []
    for i, row in enumerate(table):
        y = 10 + LINE * i
        style = "h" if i == 0 else "s"
        texts = "".join(
            f'<text class="{style}" x="{x:.1f}" y="{y + 14:.1f}">{escape(shorten(text, room if n == 2 else 60))}</text>'
            for n, (x, text) in enumerate(zip(starts, row, strict=True))
        )
        rows.append((_swatch(PAD, y + 4, row[1].partition(".")[0]) if i else "") + texts)
    lines = "\n".join(rows)
    rule = f'<path d="M{PAD} 4H{width - PAD:.1f}" stroke="#d5dce5"/>'
    return f'<g transform="translate(0 @Y)">{rule}{lines}</g>', 18 + LINE * len(table)


def _swatch(x: float, y: float, role: str) -> str:
    fill, stroke = role_colour(role)
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="12" height="12" rx="3" fill="{fill}" stroke="{stroke}"/>'


Chip = tuple[str, str, str]
"""(text, mark: role, line or nothing, colour or role)."""


def _legend(graph: Graph) -> list[Chip]:
    chips: list[Chip] = [(role, "role", role) for role in roles(graph)]
    if any(hasattr(node, "kind") for node in graph.walk()):
        chips.append(("op", "role", ""))
    chips += [(name, "line", KIND_FAMILIES[name][1]) for name in _families(graph)]
    if any(isinstance(node, Loop) for node in graph.walk()):
        chips.append(("next turn", "dash", "#c98a1b"))
    return chips


def _families(graph: Graph) -> Sequence[str]:
    used = {kind_family(i.type.kind) for i in graph.inputs.values()}
    outputs = {node.path: node.outputs for node in graph.walk()}
    for node in graph.walk():
        for ref in links(node):
            kind = outputs.get(ref.source, {}).get(ref.port)
            used |= {kind_family(kind.kind)} if kind else set()
    return [name for name in KIND_FAMILIES if name in used]


def _params(graph: Graph) -> list[Chip]:
    return [(f"{name} = {shorten(str(value), 40)}", "param", "") for name, value in graph.params.items()]


def _flow(chips: Sequence[Chip], width: float, y: float, parts: list[str]) -> float:
    """Adds chips from left to right, in as many rows as they need; returns where the next thing may stand."""
    x = PAD
    for text, mark, colour in chips:
        room = text_width(text, BODY) + (34 if mark != "param" else 24)
        if x + room > width - PAD and x > PAD:
            x, y = PAD, y + LINE
        parts.extend(_chip(text, mark, colour, x, y))
        x += room
    return y + LINE + 3 if chips else y


def _chip(text: str, mark: str, colour: str, x: float, y: float) -> Iterator[str]:
    if mark == "role":
        yield _swatch(x, y + 3, colour)
    elif mark in ("line", "dash"):
        dash = ' stroke-dasharray="4 2.5"' if mark == "dash" else ""
        yield f'<path d="M{x:.1f} {y + 9:.1f}h14" stroke="{colour}" stroke-width="2"{dash}/>'
    else:
        box = f'width="{text_width(text, BODY) + 16:.1f}" height="17" rx="3"'
        yield f'<rect x="{x:.1f}" y="{y + 1:.1f}" {box} fill="#f4f4f2" stroke="#c9c9c2" stroke-dasharray="3 2"/>'
    start = x + (8 if mark == "param" else 19)
    yield f'<text class="s" x="{start:.1f}" y="{y + 13:.1f}">{escape(text)}</text>'
