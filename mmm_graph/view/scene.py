"""Graph -> Scene: what is drawn (items in nested boxes) and which values join them. Knows nothing of coordinates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import networkx as nx

from mmm_graph.graph.graph import Call, Graph, Link, Loop, ModelNode, Node, Op, Ref, called_models
from mmm_graph.graph.unify import shown
from mmm_graph.spec.ports import PortType

NO_LINE = ("$params", "$none")
"""Sources that are no values of the graph: a parameter that decides a `when`, an input that nobody linked."""

LABEL = 20
"""Longest label on a line, in characters."""

Shape = Literal["input", "output", "call", "op", "carry", "each", "next"]


@dataclass(frozen=True)
class Item:
    """One thing without inside: a node, an input, an output, or a name that a loop carries."""

    key: str
    shape: Shape
    title: str
    subtitle: str = ""
    role: str = ""
    tip: str = ""


@dataclass(frozen=True)
class Box:
    """Items drawn inside one frame: the page, a subgraph or a loop."""

    key: str
    kind: Literal["page", "group", "loop"]
    title: str
    children: tuple[Item | Box, ...]
    tip: str = ""


@dataclass(frozen=True)
class Edge:
    """One value: from the item that makes it to every item that reads it, as (item, port)."""

    key: str
    source: str
    port: str
    targets: tuple[tuple[str, str], ...]
    label: str
    kind: str
    tip: str


@dataclass(frozen=True)
class Scene:
    """Everything to be drawn. `edges` start and end at items, at any depth of the boxes."""

    page: Box
    edges: tuple[Edge, ...]


def make_scene(graph: Graph) -> Scene:
    """What a picture of the graph shows."""
    links = _Links(graph)
    inputs = [
        Item(
            f"{graph.source}.{name}",
            "input",
            name,
            _default(i.default, i.required),
            tip=f"{graph.source}.{name}: {shown(i.type)}",
        )
        for name, i in graph.inputs.items()
    ]
    outputs = [
        Item(f"$out.{name}", "output", name, tip=f"output {name}: {shown(o.type)} from {o.ref}")
        for name, o in graph.outputs.items()
    ]
    tree = _Branch()
    for node in graph.nodes:
        _add(tree, node, node.path.split("/"), graph)
    page = Box("", "page", graph.name, (*inputs, *tree.freeze(""), *outputs))
    edges = links.edges()
    return Scene(_open_cyclic(page, edges), edges)


@dataclass
class _Branch:
    """A box being filled; sub-boxes are made when first named."""

    items: dict[str, Item | Box | _Branch] = field(default_factory=dict)

    def freeze(self, prefix: str) -> tuple[Item | Box, ...]:
        frozen: list[Item | Box] = []
        for name, child in self.items.items():
            if isinstance(child, _Branch):
                key = f"{prefix}{name}"
                frozen.append(_merge_single(Box(f"{key}/", "group", name, child.freeze(f"{key}/"), tip=key)))
            else:
                frozen.append(child)
        return tuple(frozen)


def _merge_single(box: Box) -> Box | Item:
    """A frame around one frame is no news: `a` around `b` is drawn as `a/b`."""
    only = box.children[0]
    if len(box.children) > 1:
        return box
    return replace(only, title=f"{box.title}/{only.title}")


def _add(branch: _Branch, node: Node, names: Sequence[str], graph: Graph) -> None:
    for name in names[:-1]:
        child = branch.items.setdefault(name, _Branch())
        branch = child if isinstance(child, _Branch) else branch
    # A loop and a group may share a name; the trailing space keeps both.
    name = names[-1] if names[-1] not in branch.items else f"{names[-1]} "
    branch.items[name] = _loop(node, graph) if isinstance(node, Loop) else _item(node, graph)


def _loop(node: Loop, graph: Graph) -> Box:
    inside = _Branch()
    for name in node.carry:
        tip = f"$carry.{name}: starts as {node.carry[name]}, then {node.next.get(name, 'unchanged')}"
        inside.items[f"$carry.{name}"] = Item(f"{node.path}/$carry.{name}", "carry", name, tip=tip)
    for name in node.each:
        inside.items[f"$each.{name}"] = Item(
            f"{node.path}/$each.{name}", "each", name, tip=f"$each.{name}: the turn"
        )
    for body in node.body:
        _add(inside, body, _inner_names(body.path, node.path), graph)
    for name in node.next:
        tip = f"the next turn's $carry.{name} is {node.next[name]}"
        inside.items[f"$next.{name}"] = Item(f"{node.path}/$next.{name}", "next", name, tip=tip)
    if node.until is not None:
        inside.items["$until"] = Item(f"{node.path}/$until", "next", "until", tip=f"ends when {node.until}")
    when = f"  when {node.when}" if node.when is not None else ""
    title = f"{node.path.rpartition('/')[2]}  {turns(node)}{when}"
    tip = f"{node.path}: {turns(node)}{when}" + "".join(
        f"\nout {k}: {shown(v)}" for k, v in node.outputs.items()
    )
    return Box(node.path, "loop", title, inside.freeze(f"{node.path}/"), tip)


def turns(node: Loop) -> str:
    """`x 20`, or `until eos, at most 256` for a loop that ends by itself."""
    if node.until is None:
        return f"× {node.count}" if node.count is not None else f"× each {', '.join(node.each)}"
    last = str(node.until).removeprefix(f"{node.path}/")
    return f"until {last}" + (f", at most {node.limit}" if node.limit else "")


def _inner_names(path: str, loop: str) -> list[str]:
    outer = loop.rpartition("/")[0]
    for prefix in (f"{loop}/", f"{outer}/" if outer else ""):
        if prefix and path.startswith(prefix):
            return path[len(prefix) :].split("/")
    return path.split("/")


def _item(node: Node, graph: Graph) -> Item:
    title = node.path.rpartition("/")[2]
    lines = [node.path, *(f"in  {k}: {_link_text(v)}" for k, v in node.inputs.items())]
    lines += [f"out {k}: {shown(v)}" for k, v in node.outputs.items()]
    if node.when is not None:
        lines.append(f"when {node.when}")
    if isinstance(node, Call):
        model = graph.models[node.model]
        lines.insert(1, f"call {node.model}.{node.method} ({model.kind})")
        role = model.kind.partition(".")[0]
        return Item(
            node.path, "call", title, f"{node.model}.{node.method}", role, "\n".join(lines + _config(node))
        )
    assert isinstance(node, Op)
    lines.insert(1, f"op {node.kind}")
    lines += [f"use {role}: {name}" for role, name in node.uses.items()]
    return Item(node.path, "op", title, node.kind, "", "\n".join(lines + _config(node)))


def _config(node: Call | Op) -> list[str]:
    given = {} if node.config is None else node.config.model_dump(mode="json", exclude_defaults=True)
    return [f"{k} = {v}" for k, v in given.items()]


def _link_text(link: Link) -> str:
    return str(link) if isinstance(link, Ref) else ", ".join(map(str, link))


def _default(value: object, required: bool) -> str:
    if required:
        return ""
    if value is None:
        return "optional"
    text = f"= {value!r}" if not isinstance(value, list) else f"= {len(value)} values"
    return text if len(text) <= 24 else text[:22] + "…"


class _Links:
    """Resolves links to the items that make the values; a loop's output is the value inside its body."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = {node.path: node for node in graph.walk()}
        self.found: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self.types: dict[tuple[str, str], PortType] = {}

    def edges(self) -> tuple[Edge, ...]:
        self._visit(self.graph.nodes, None)
        for name, output in self.graph.outputs.items():
            self._join(output.ref, f"$out.{name}", name, None)
            if output.owners is not None:
                self._join(output.owners, f"$out.{name}", "owners", None)
        return tuple(self._edge(source, targets) for source, targets in self.found.items())

    def _edge(self, source: tuple[str, str], targets: list[tuple[str, str]]) -> Edge:
        item, port = source
        kind = self.types.get(source)
        readers = "".join(f"\n→ {i} {p}" for i, p in targets)
        tip = f"{item}.{port}: {shown(kind)}{readers}" if kind else f"{item}.{port}{readers}"
        return Edge(
            f"{item}.{port}", item, port, tuple(targets), _label(kind), kind.kind if kind else "Any", tip
        )

    def _visit(self, nodes: Sequence[Node], loop: Loop | None) -> None:
        for node in nodes:
            for port, link in node.inputs.items():
                for ref in (link,) if isinstance(link, Ref) else link:
                    self._join(ref, node.path, port, loop)
            if isinstance(node, Loop):
                self._visit_loop(node, loop)
            elif node.when is not None:
                self._join(node.when, node.path, "when", loop)

    def _visit_loop(self, node: Loop, outer: Loop | None) -> None:
        for name, ref in node.carry.items():
            self._join(ref, f"{node.path}/$carry.{name}", "", outer)
        self._visit(node.body, node)
        for name, ref in node.next.items():
            self._join(ref, f"{node.path}/$next.{name}", "", node)
        if node.until is not None:
            self._join(node.until, f"{node.path}/$until", "", node)

    def _join(self, ref: Ref, item: str, port: str, loop: Loop | None) -> None:
        if ref.source in NO_LINE:
            return
        source, kind = self._resolve(ref, loop)
        targets = self.found.setdefault(source, [])
        if (item, port) not in targets:
            targets.append((item, port))
        if kind is not None:
            self.types[source] = kind

    def _resolve(self, ref: Ref, loop: Loop | None) -> tuple[tuple[str, str], PortType | None]:
        if ref.source in ("$carry", "$each"):
            assert loop is not None, f"{ref} outside a loop"
            kind = self._kind(loop.carry[ref.port], loop) if ref.source == "$carry" else PortType("Scalar")
            return (f"{loop.path}/{ref}", ""), kind
        if ref.source == self.graph.source:
            return (str(ref), ""), self.graph.inputs[ref.port].type
        node = self.nodes[ref.source]
        if not isinstance(node, Loop):
            return (ref.source, ref.port), node.outputs.get(ref.port)
        collected = node.collect.get(ref.port)
        inner = collected[0] if collected else node.out.get(ref.port) or node.next[ref.port]
        return self._resolve(inner, node)

    def _kind(self, ref: Ref, loop: Loop) -> PortType | None:
        """Type of the initial value of a carry, which is linked outside of its loop."""
        if ref.source == self.graph.source:
            return self.graph.inputs[ref.port].type
        if ref.source in self.nodes:
            return self.nodes[ref.source].outputs.get(ref.port)
        return loop.outputs.get(ref.port)


def _label(kind: PortType | None) -> str:
    """The type without its tag if it is short enough to stand on a line, else its kind."""
    if kind is None:
        return ""
    text = shown(replace(kind, tag=None, optional=False))
    return text if len(text) <= LABEL else kind.kind


def _open_cyclic(page: Box, edges: Sequence[Edge]) -> Box:
    """Takes away frames that would make the drawing cyclic: a value leaves the frame and comes back to it."""
    while True:
        bad = next(_cyclic(page, edges), None)
        if bad is None:
            return page
        page = _without(page, bad)


def _cyclic(box: Box, edges: Sequence[Edge]) -> Iterator[str]:
    home = {key: child.key for child in box.children for key in keys(child)}
    scope = nx.DiGraph()
    for edge in edges:
        for target, _ in edge.targets:
            a, b = home.get(edge.source), home.get(target)
            if a is not None and b is not None and a != b:
                scope.add_edge(a, b)
    groups = {child.key for child in box.children if isinstance(child, Box) and child.kind == "group"}
    for component in nx.strongly_connected_components(scope):
        if len(component) > 1:
            yield from sorted(component & groups)
    for child in box.children:
        if isinstance(child, Box):
            yield from _cyclic(child, edges)


def _without(box: Box, key: str) -> Box:
    children: list[Item | Box] = []
    for child in box.children:
        if isinstance(child, Box) and child.key == key:
            children += [replace(c, title=f"{child.title}/{c.title}") for c in child.children]
        else:
            children.append(_without(child, key) if isinstance(child, Box) else child)
    return replace(box, children=tuple(children))


def keys(thing: Item | Box) -> Iterator[str]:
    """Keys of an item, or of all items in a box."""
    if isinstance(thing, Item):
        yield thing.key
    else:
        for child in thing.children:
            yield from keys(child)


def used_models(graph: Graph) -> list[ModelNode]:
    """Models that the nodes of this graph call or use, and what is attached to them, in the order of the file."""
    calls = {name for node in graph.walk() if isinstance(node, Call) for name in called_models(graph, node)}
    uses = {name for node in graph.walk() if isinstance(node, Op) for name in node.uses.values()}
    return [model for name, model in graph.models.items() if name in calls | uses]


def told(model: ModelNode) -> tuple[str, str, str]:
    """Name, kind, and where weights and place of a model come from."""
    source = model.weights or model.init or ""
    count = f"{model.copies} x " if model.copies else ""
    at = f"{count}in {model.host}" if model.host else ""
    return model.name, model.kind, ", ".join(filter(None, (source, at)))


def roles(graph: Graph) -> list[str]:
    """Roles of the models that nodes of this graph call, in the order of the file."""
    calls = {node.model for node in graph.walk() if isinstance(node, Call)}
    return list(dict.fromkeys(m.kind.partition(".")[0] for m in used_models(graph) if m.name in calls))
