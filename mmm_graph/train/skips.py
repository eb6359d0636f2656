"""Which models a batch may have no rows for: those of media, where conversations are without any."""

from __future__ import annotations

from mmm_graph.graph.graph import Call, Graph, Loop, Ref, called_models
from mmm_graph.plan.flow import keyed, optional_keys
from mmm_graph.plan.presence import declared
from mmm_graph.registry import Registry


def idle_models(graph: Graph, registry: Registry) -> frozenset[str]:
    """Models all of whose calls read what may be absent: columns that samples may lack, and lists of media."""
    may, must = _called(graph, registry)
    return frozenset(may - must)


def uneven_models(graph: Graph, registry: Registry) -> frozenset[str]:
    """Models some of whose calls do, so that one rank may call them where another does not."""
    return frozenset(_called(graph, registry)[0])


def _called(graph: Graph, registry: Registry) -> tuple[set[str], set[str]]:
    """Models of the calls that may be left out, and of those that may not.

    A node that can do without such an input, as embeds.splice without pictures, always runs; what stands between the
    blocks of a model may then have nothing to look at. Loops are not looked into.
    """
    absent = {Ref(graph.source, name) for name, port in graph.inputs.items() if port.type.optional}
    idle: set[str] = set()
    busy: set[str] = set()
    for node in graph.nodes:
        if isinstance(node, Loop):
            continue
        may = optional_keys(node, declared(node, graph, registry)[0])
        lacks = {key for key, ref in keyed(node.inputs) if ref in absent}
        is_idle = bool(lacks - may)
        absent |= {Ref(node.path, port) for port, type_ in node.outputs.items() if is_idle or type_.many}
        if isinstance(node, Call):
            model, *guests = called_models(graph, node)
            (idle if is_idle else busy).add(model)
            (idle if lacks else busy).update(guests)
    return idle, busy
