"""Graph -> text for a terminal: params, inputs, models, the tree of nodes with ports and shapes, outputs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from mmm_graph.graph.graph import Call, Graph, Input, Link, Loop, Node, Op, Ref
from mmm_graph.graph.unify import shown
from mmm_graph.view.metrics import shorten
from mmm_graph.view.scene import Box, Item, make_scene, told, used_models


def to_text(graph: Graph, width: int = 100) -> str:
    """The graph in lines of at most `width` columns (never fewer than 40), nodes in the order in which they run."""
    width = max(width, 40)
    models = used_models(graph)
    section = "" if graph.section == "main" else f" ({graph.section})"
    lines = [
        f"{graph.name}{section}: {_many(sum(1 for _ in graph.walk()), 'node')}, {_many(len(models), 'model')}"
    ]
    tree = _Tree(graph, width)
    for title, block in (
        ("params", _columns([(k, repr(v), "") for k, v in graph.params.items()])),
        (
            "inputs",
            _columns([(f"{graph.source}.{k}", shown(v.type), _default(v)) for k, v in graph.inputs.items()]),
        ),
        ("models", _columns([told(m) for m in models])),
        ("nodes", list(tree.lines(make_scene(graph).page, "  ", ""))),
        ("outputs", _columns([(k, shown(v.type), f"<- {v.ref}") for k, v in graph.outputs.items()])),
    ):
        if block:
            lines += ["", title, *(shorten(line.rstrip(), width) for line in block)]
    return "\n".join(lines) + "\n"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _default(value: Input) -> str:
    if value.required:
        return ""
    return "optional" if value.default is None else f"default {value.default!r}"


def _columns(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    spans = [max((len(row[i]) for row in rows), default=0) for i in range(2)]
    return [f"  {a:<{spans[0]}}  {b:<{spans[1]}}  {c}" for a, b, c in rows]


class _Tree:
    """Writes boxes and nodes as a tree; links inside a box are written without the box's path."""

    def __init__(self, graph: Graph, width: int) -> None:
        self.width = width
        self.nodes = {node.path: node for node in graph.walk()}

    def lines(self, box: Box, indent: str, prefix: str) -> Iterator[str]:
        """Lines of everything in a box; `indent` is what stands left of its children."""
        inner = [c for c in box.children if isinstance(c, Box) or c.key in self.nodes]
        if box.kind == "group":
            prefix = box.key
        elif box.kind == "loop":
            prefix = f"{box.key}/"
        for child in inner:
            last = child is inner[-1]
            head, tail = indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  ")
            if isinstance(child, Item):
                yield from self._node(self.nodes[child.key], child.title, head, tail, prefix)
                continue
            mark = "↻ " if child.kind == "loop" else ""
            yield from self._wrap(head, tail, f"{mark}{child.title}", self._loop_words(child, prefix))
            yield from self.lines(child, tail, prefix)

    def _loop_words(self, box: Box, prefix: str) -> list[str]:
        node = self.nodes.get(box.key)
        if not isinstance(node, Loop):
            return []
        carry = ", ".join(f"{k} = {_short(v, prefix)}" for k, v in node.carry.items())
        words = [f"carry {carry}"] if carry else []
        inner = f"{node.path}/"
        words += (
            [f"next {', '.join(f'{k} = {_short(v, inner)}' for k, v in node.next.items())}"]
            if node.next
            else []
        )
        return [*words, f"-> {_ports(node)}"]

    def _node(self, node: Node, title: str, head: str, tail: str, prefix: str) -> Iterator[str]:
        target = (
            f"{node.model}.{node.method}"
            if isinstance(node, Call)
            else node.kind
            if isinstance(node, Op)
            else ""
        )
        inputs = ", ".join(f"{k}={_short(v, prefix)}" for k, v in node.inputs.items())
        when = f" when {_short(node.when, prefix)}" if node.when else ""
        yield from self._wrap(head, tail, f"{title}: {target}({inputs}){when}", [f"-> {_ports(node)}"])

    def _wrap(self, head: str, tail: str, first: str, more: Sequence[str]) -> Iterator[str]:
        """`first` after the branch, the rest below it; long lines go on, further in."""
        yield from textwrap.wrap(
            first, self.width, initial_indent=head, subsequent_indent=f"{tail}    ", break_on_hyphens=False
        )
        for text in more:
            yield from textwrap.wrap(
                text,
                self.width,
                initial_indent=f"{tail}  ",
                subsequent_indent=f"{tail}     ",
                break_on_hyphens=False,
            )


def _short(link: Link, prefix: str) -> str:
    if isinstance(link, Ref):
        return str(link).removeprefix(prefix)
    return "[" + ", ".join(_short(ref, prefix) for ref in link) + "]"


def _ports(node: Node) -> str:
    return ", ".join(f"{name}: {shown(kind)}" for name, kind in node.outputs.items())
