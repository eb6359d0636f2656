"""Where every value of a graph is made: links followed through carries and loop outputs to those who write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mmm_graph.graph.graph import Graph, Link, Loop, Node, Ref
from mmm_graph.registry.node_type import Ports
from mmm_graph.spec.ports import PortType

OUTER = frozenset(("$in", "$data", "$params", "$none"))
Scope = tuple[Loop, ...]
"""The loops around a node, outermost first."""


@dataclass(frozen=True)
class Site:
    """A node, the loops around it, and its place in the order of the whole graph."""

    node: Node
    scope: Scope
    index: int


class Flow:
    """An index over a compiled graph.

    Attributes:
        sites: every node by path, loop bodies included, in order.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.sites: dict[str, Site] = {}
        self._rows: dict[str, Ref] = {}  # dim of routed rows -> the value that names their owners
        for name, port in graph.inputs.items():
            if name.endswith(".rows") and port.type.dims:  # of a column of the data that samples may lack
                self._rows.update(dict.fromkeys(port.type.dims[0].over[:1], Ref(graph.source, name)))
        self._index(graph.nodes, ())

    def _index(self, nodes: tuple[Node, ...], scope: Scope) -> None:
        for node in nodes:
            self.sites[node.path] = Site(node, scope, len(self.sites))
            rows = node.outputs.get("rows")
            if rows is not None and rows.kind == "Ids" and rows.dims is not None and len(rows.dims) == 1:
                self._rows.update(dict.fromkeys(rows.dims[0].over[:1], Ref(node.path, "rows")))
            if isinstance(node, Loop):
                self._index(node.body, (*scope, node))

    def inputs(self, path: str) -> Iterator[tuple[str, Ref, Scope]]:
        """(key, link, scope in which it is read) of everything a node other than a loop reads, `when` included."""
        site = self.sites[path]
        for key, ref in keyed(site.node.inputs):
            yield key, ref, site.scope
        yield from ((f"when#{i}", ref, scope) for i, (ref, scope) in enumerate(self.conditions(path)))

    def conditions(self, path: str) -> list[tuple[Ref, Scope]]:
        """`when` of the node and of every loop around it, each with the scope it is read in."""
        site = self.sites[path]
        found = [(loop.when, site.scope[:i]) for i, loop in enumerate(site.scope) if loop.when is not None]
        return [*found, (site.node.when, site.scope)] if site.node.when is not None else found

    def type(self, ref: Ref, scope: Scope) -> PortType | None:
        """Declared type of what a link names; None where there is none."""
        if ref.source == "$carry":
            place = self.home(ref, scope)
            return self.type(place[-1].carry[ref.port], place[:-1])
        if ref.source in ("$in", "$data"):
            return self.graph.inputs[ref.port].type
        site = self.sites.get(ref.source)
        return site.node.outputs.get(ref.port) if site else None

    def owners(self, path: str) -> tuple[Ref, ...]:
        """What names the owners of a node's rows: in the batch that was routed last, then in the one before."""
        found: list[Ref] = []
        if path not in self.sites:
            return ()
        types: list[PortType | None] = list(self.sites[path].node.outputs.values())
        while True:
            firsts = [t.dims[0].over[0] for t in types if t is not None and t.dims and t.dims[0].over]
            ref = next((self._rows[n] for n in firsts if n in self._rows), None)
            if ref is None or ref in found:
                return tuple(r for r in found if r.source != path)
            found.append(ref)
            if ref.source not in self.sites:
                return tuple(r for r in found if r.source != path)
            site = self.sites[ref.source]
            types = [self.type(r, site.scope) for _, r in keyed(site.node.inputs)]

    def home(self, ref: Ref, scope: Scope) -> Scope:
        """The loops around what a link names: for `$carry.x` and `$each.x`, up to the loop that has that name."""
        if ref.source in OUTER:
            return ()
        if ref.source not in ("$carry", "$each"):
            return self.sites[ref.source].scope
        for depth in range(len(scope), 0, -1):
            loop = scope[depth - 1]
            if ref.port in (loop.carry if ref.source == "$carry" else loop.each):
                return scope[:depth]
        raise KeyError(f"no loop around offers {ref}")

    def name(self, ref: Ref, scope: Scope) -> str:
        """The name of a value, unique in the graph: `node.port`, `$in.x`, `loop/path.$carry.x`."""
        if ref.source in ("$carry", "$each"):
            return f"{self.home(ref, scope)[-1].path}.{ref}"
        return str(ref)

    def writers(self, ref: Ref, scope: Scope) -> frozenset[Ref]:
        """What may be behind a link: ports of nodes other than loops, and inputs of the graph."""
        found: set[Ref] = set()
        seen: set[tuple[str, int]] = set()
        todo = [(ref, scope)]
        while todo:
            ref, scope = todo.pop()
            place = self.home(ref, scope)
            if (str(ref), len(place)) in seen:
                continue
            seen.add((str(ref), len(place)))
            if ref.source == "$carry":
                loop = place[-1]
                todo += [(loop.carry[ref.port], place[:-1]), (loop.next[ref.port], place)]
            elif ref.source in OUTER or ref.source == "$each":
                found.add(ref)
            elif isinstance(node := self.sites[ref.source].node, Loop):
                todo += [(r, s) for r, s in loop_sources(node, ref.port, place)]
            else:
                found.add(ref)
        return frozenset(found)


def loop_sources(loop: Loop, port: str, scope: Scope) -> list[tuple[Ref, Scope]]:
    """What a port of a loop may be: (link, scope it is read in); `scope` = the loops around the loop."""
    inner = (*scope, loop)
    if port in loop.out:
        return [(loop.out[port], inner)]
    if port in loop.collect:
        return [(loop.collect[port][0], inner)]
    if port in loop.carry:
        return [(loop.carry[port], scope), (loop.next[port], inner)]
    raise KeyError(f"loop {loop.path} has no output {port!r}")


def keyed(inputs: Mapping[str, Link]) -> Iterator[tuple[str, Ref]]:
    """(key, link) with the items of a list numbered: `branches#0`, `branches#1`."""
    for key, link in inputs.items():
        if isinstance(link, Ref):
            yield key, link
        else:
            yield from ((f"{key}#{i}", ref) for i, ref in enumerate(link))


def optional_keys(node: Node, ports: Ports) -> frozenset[str]:
    """Keys of a node's inputs whose absence is handed on as None instead of skipping the node."""
    found = set()
    for key, _ in keyed(node.inputs):
        port, _, field_name = key.partition("#")[0].partition(".")
        type_ = ports.get(port)
        if type_ is None:
            continue
        inner = (type_.fields or {}).get(field_name)
        if type_.optional or (inner is not None and inner.optional):
            found.add(key)
    return frozenset(found)
