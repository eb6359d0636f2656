"""Which parts of which models the losses of a graph can reach, found on the graph alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mmm_graph.graph.attached import guest_of, type_of
from mmm_graph.graph.graph import Call, Graph, Node, Op, Ref, called_models, links, walk
from mmm_graph.registry import Registry

WHOLE = ""
"""Stands for the single part of a model without a parts table."""


def part_names(graph: Graph, registry: Registry, model: str) -> tuple[str, ...]:
    """Names of a model's own parts, in order; (WHOLE,) if it is one piece."""
    node = graph.models[model]
    kind = type_of(node, registry) if node.host else registry.models[node.kind]
    return (WHOLE,) if kind.parts is None else tuple(part.name for part in kind.parts(node.config))


def reached_parts(graph: Graph, registry: Registry) -> dict[str, set[str]]:
    """Parts that run on the way to the graph's outputs, by model."""
    reached: dict[str, set[str]] = {}
    for node in walk(needed_nodes(graph)):
        for model, parts in _touched(node, graph, registry).items():
            reached.setdefault(model, set()).update(parts)
    return reached


def needed_nodes(graph: Graph, supplied: Iterable[Ref] = ()) -> tuple[Node, ...]:
    """Top-level nodes that the outputs need when some values are supplied, in order."""
    outputs = [r for out in graph.outputs.values() for r in (out.ref, out.owners) if r]
    return nodes_behind(graph, outputs, supplied)


def nodes_behind(graph: Graph, values: Iterable[Ref], supplied: Iterable[Ref] = ()) -> tuple[Node, ...]:
    """Top-level nodes that values need when others are supplied, in order."""
    by_path: Mapping[str, Node] = {node.path: node for node in graph.nodes}
    needed: set[str] = set()
    known, todo = set(supplied), list(values)
    while todo:
        ref = todo.pop()
        if ref not in known and ref.source in by_path and ref.source not in needed:
            needed.add(ref.source)
            todo += links(by_path[ref.source])
    return tuple(node for node in graph.nodes if node.path in needed)


def needed_models(graph: Graph) -> frozenset[str]:
    """Models that the outputs need."""
    nodes = list(walk(needed_nodes(graph)))
    called = {model for node in nodes if isinstance(node, Call) for model in called_models(graph, node)}
    return frozenset(
        called | {model for node in nodes if isinstance(node, Op) for model in node.uses.values()}
    )


def _touched(node: Node, graph: Graph, registry: Registry) -> dict[str, tuple[str, ...]]:
    if isinstance(node, Op):
        return {model: part_names(graph, registry, model) for model in node.uses.values()}
    if not isinstance(node, Call):
        return {}
    model = graph.models[node.model]
    kind = type_of(model, registry)
    path = kind.methods[node.method].path
    if path is None or kind.parts is None:
        return {node.model: part_names(graph, registry, node.model)}
    found: dict[str, tuple[str, ...]] = {}
    for name in path(model.config, node.config):
        guest = guest_of(model, registry, name)
        owner, part = (node.model, name) if guest is None else guest[:2]
        found[owner] = (*found.get(owner, ()), part)
    return found
