"""A mapping of nodes -> compiled nodes in order; subgraphs and composites are inlined, loops keep their body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import networkx as nx

from mmm_graph.errors import did_you_mean
from mmm_graph.graph.context import Context
from mmm_graph.graph.graph import Node, Ref
from mmm_graph.graph.loops import compile_loop
from mmm_graph.graph.nodes import compile_call, compile_op, entry, find_model, find_used
from mmm_graph.graph.rest import opened
from mmm_graph.graph.route import gate
from mmm_graph.graph.scope import POISON, Bound, Entry, Record, Scope, Wire, as_record
from mmm_graph.graph.unify import scoped
from mmm_graph.graph.wire import connect, resolve_inputs, resolve_link
from mmm_graph.registry import CompositeType, OpType, Used
from mmm_graph.spec.graph import NodeSpec, SubgraphSpec
from mmm_graph.spec.ports import PortType

MAX_DEPTH = 32
MAX_NODES = 20_000
"""Of an expanded section. Subgraphs of subgraphs multiply: a small file must not fill the memory."""


def compile_nodes(ctx: Context, scope: Scope, specs: Mapping[str, NodeSpec]) -> list[Node]:
    """Compile in the order of the links; what fails is poisoned so that its readers stay silent."""
    nodes: list[Node] = []
    scope.declared = frozenset(specs)
    for name in _order(ctx, scope, specs):
        made = _compile_node(ctx, scope, name, specs[name]) if _has_room(ctx, scope, name) else None
        if made is None:
            scope.names[name] = Entry(None)
        else:
            scope.names[name] = made[0]
            nodes.extend(made[1])
    return nodes


def _has_room(ctx: Context, scope: Scope, name: str) -> bool:
    """Count one more node; the first one too many is reported."""
    ctx.num_nodes += 1
    if ctx.num_nodes == MAX_NODES + 1:
        message = f"the section expands to more than {MAX_NODES} nodes"
        ctx.report("E206", message, scope.place(name), "use fewer instances of subgraphs, or a loop")
    return ctx.num_nodes <= MAX_NODES


def _compile_node(ctx: Context, scope: Scope, name: str, spec: NodeSpec) -> tuple[Entry, list[Node]] | None:
    if spec.graph is not None:
        return _subgraph(ctx, scope, name, spec)
    if spec.loop is not None:
        loop = compile_loop(ctx, scope, name, spec, compile_nodes)
        return gate(ctx, scope, name, spec, [loop], entry(ctx, loop)) if loop else None
    node: Node | None
    if spec.call is not None:
        node = compile_call(ctx, scope, name, spec)
    else:
        known = [*ctx.registry.ops, *ctx.registry.composites]
        kind = ctx.lookup(spec.op, "op", known, scope.place(name, "op"))
        if isinstance(kind, CompositeType):
            return _composite(ctx, scope, name, spec, kind)
        if not isinstance(kind, OpType):
            return None
        node = compile_op(ctx, scope, name, spec, kind)
    return gate(ctx, scope, name, spec, [node], entry(ctx, node)) if node else None


def _subgraph(ctx: Context, scope: Scope, name: str, spec: NodeSpec) -> tuple[Entry, list[Node]] | None:
    """An instance of `graphs.X`: hygienic, its nodes are named `name/inner`."""
    graphs = ctx.spec.graphs
    assert spec.graph is not None
    if spec.graph not in graphs:
        hint = did_you_mean(spec.graph, graphs)
        ctx.report("E209", f"{name}: there is no subgraph {spec.graph!r}", scope.place(name, "graph"), hint)
        return None
    if spec.graph in scope.inside:
        chain = " -> ".join([*scope.inside[scope.inside.index(spec.graph) :], spec.graph])
        hint = "a subgraph must not contain itself; feedback belongs into a `loop:`"
        ctx.report("E206", f"{name}: subgraphs form a cycle: {chain}", scope.place(name, "graph"), hint)
        return None
    body = graphs[spec.graph]
    models: dict[str, str] = {}
    for local in body.models:
        if local not in spec.use:
            ctx.report("E209", f"{name}: {spec.graph!r} needs `use: {{{local}: ...}}`", scope.place(name))
            return None
        if find_model(ctx, scope, spec.use[local], name, "use", local) is None:
            return None
        models[local] = scope.model(spec.use[local])
    for role in spec.use:
        if role not in body.models:
            hint = did_you_mean(role, body.models)
            ctx.report(
                "E209", f"{name}: {spec.graph!r} has no model {role!r} to set", scope.place(name, "use"), hint
            )
            return None
    path, at = scope.child(name), ("graphs", spec.graph)
    types = {k: ctx.written_type(v, path, ctx.spec.place(*at, "in", k)) for k, v in body.in_.items()}
    if any(t is None for t in types.values()):
        return None
    ports = {k: t for k, t in types.items() if t is not None}
    inside = (*scope.inside, spec.graph)
    inner = Scope(path, lambda *keys: ctx.spec.place(*at, "nodes", *keys), models=models, inside=inside)
    out = {k: (v, (*at, "out", k)) for k, v in body.out.items()}
    return _inline(ctx, scope, (name, spec), inner, ports, (body.nodes, out))


def _composite(
    ctx: Context, scope: Scope, name: str, spec: NodeSpec, kind: CompositeType
) -> tuple[Entry, list[Node]] | None:
    """An op that stands for a subgraph: its plugin writes the nodes."""
    config = ctx.config(kind.config, spec.config, scope, name, "config")
    used = find_used(ctx, scope, name, kind.uses, spec.use)
    if config is None or used is None:
        return None
    place = scope.place(name)
    handed = {role: Used(m.name, m.kind, m.config, ctx.model_type(m).methods) for role, m in used.items()}
    try:
        body = SubgraphSpec.model_validate(kind.expand(config, handed, frozenset(spec.in_)))
    except ValueError as error:
        ctx.report("E212", f"{name}: {kind.kind}: {error}", place)
        return None
    inner = Scope(scope.child(name), lambda *keys: place, inside=scope.inside)
    out = {k: (v, None) for k, v in body.out.items()}
    (asks,) = opened(scope, spec.in_, kind.inputs)
    ports = {k: scoped(t, scope.child(name), {}) for k, t in asks.items()}
    return _inline(ctx, scope, (name, spec), inner, ports, (body.nodes, out))


def _inline(
    ctx: Context,
    scope: Scope,
    instance: tuple[str, NodeSpec],
    inner: Scope,
    ports: Mapping[str, PortType],
    body: tuple[Mapping[str, NodeSpec], Mapping[str, tuple[str, tuple[str, ...] | None]]],
) -> tuple[Entry, list[Node]] | None:
    name, spec = instance
    if inner.path.count("/") > MAX_DEPTH:
        message = f"{inner.path[:60]}...: subgraphs are nested more than {MAX_DEPTH} deep"
        ctx.report("E206", message, scope.place(name))
        return None
    bound = _bind_instance(ctx, scope, name, ports, spec.in_)
    if bound is None:
        return None
    inner.words = {"in": bound}
    nodes = compile_nodes(ctx, inner, body[0])
    outputs: dict[str, Bound] = {}
    for port, (link, where) in body[1].items():
        place = ctx.spec.place(*where) if where else scope.place(name)
        at_out = Scope(inner.path, lambda *_, place=place: place, inner.words, names=inner.names)
        found = resolve_link(ctx, at_out, link, name, "out", port)
        outputs[port] = POISON if found is None else found
        if isinstance(found, Wire):
            ctx.aliases[f"{inner.path}.{port}"] = found.ref
    if not outputs or any(b is POISON for b in outputs.values()):
        return None
    return gate(ctx, scope, name, spec, nodes, Entry(outputs))


def _bind_instance(
    ctx: Context, scope: Scope, name: str, ports: Mapping[str, PortType], given: Mapping[str, Any]
) -> dict[str, Bound] | None:
    """Values of `$in.x` inside an instance; an optional input that is not linked is `$none`, which is always absent."""
    found = resolve_inputs(ctx, scope, name, ports, given)
    good = found is not None
    bound: dict[str, Bound] = {}
    for port, wanted in ports.items():
        value = (found or {}).get(port)
        place = scope.place(name, "in", port)
        if port not in given:
            if not wanted.optional:
                ctx.report("E204", f"{name}: input {port!r} ({wanted}) is not linked", scope.place(name))
                good = False
            bound[port] = Record({}) if wanted.kind == "Cond" else Wire(Ref("$none", port), wanted)
        elif isinstance(value, tuple):
            ctx.report("E205", f"{name}.{port}: a subgraph takes one value a port, found a list", place)
            good = False
        elif value is not None and not isinstance(value, Record) and wanted.kind != "Cond":
            assert isinstance(value, Wire)
            good &= connect(ctx, f"{name}.{port}", wanted, value, place)
            bound[port] = value
        elif value is not None and wanted.kind in ("Cond", "Any"):
            assert isinstance(value, Wire | Record)
            bound[port] = as_record(value)
        elif value is not None:
            ctx.report("E205", f"{name}.{port}: expects {wanted}, got a Cond", place)
            good = False
    return bound if good else None


def _order(ctx: Context, scope: Scope, specs: Mapping[str, NodeSpec]) -> list[str]:
    """Names in the order of their links, file order otherwise; nodes on a cycle are reported and poisoned."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(specs)
    for name, spec in specs.items():
        graph.add_edges_from((other, name) for other in _mentions(spec) if other in specs)
    position = {name: i for i, name in enumerate(specs)}
    bad: set[str] = set()
    for group in sorted(sorted(g) for g in nx.strongly_connected_components(graph)):
        if len(group) > 1 or graph.has_edge(group[0], group[0]):
            cycle = [a for a, _ in nx.find_cycle(graph.subgraph(group))]
            text = " -> ".join([*cycle, cycle[0]])
            hint = "the graph is a strict DAG; feedback belongs into a `loop:` with `carry:`"
            ctx.report("E206", f"the nodes form a cycle: {text}", scope.place(cycle[0]), hint)
            bad.update(group)
    for name in bad:
        scope.names[name] = Entry(None)
    good = graph.subgraph([n for n in specs if n not in bad])
    return list(nx.lexicographical_topological_sort(good, key=lambda n: position[n]))


def _mentions(spec: NodeSpec) -> Iterator[str]:
    """First words of every link in a node, those of a loop's body included."""
    links: list[Any] = [*spec.in_.values(), spec.when]
    if spec.loop is not None:
        loop = spec.loop
        links += [*loop.carry.values(), *loop.each.values()]
        own = set(loop.nodes)
        for inner in loop.nodes.values():
            yield from (m for m in _mentions(inner) if m not in own)
    for link in links:
        for text in _texts(link):
            if not text.startswith("$"):
                yield text.partition(".")[0]


def _texts(link: Any) -> Iterator[str]:
    if isinstance(link, str):
        yield link
    elif isinstance(link, Mapping):
        for value in link.values():
            yield from _texts(value)
    elif isinstance(link, list | tuple):
        for value in link:
            yield from _texts(value)
