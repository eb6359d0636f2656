"""Which models a batch may have no rows for: those of media, where conversations are without any."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_graph.graph.graph import Call, Graph, Loop, Node, Op, Ref, called_models, links
from mmm_graph.plan.flow import keyed, optional_keys
from mmm_graph.plan.presence import declared
from mmm_graph.registry import Registry
from mmm_graph.spec.ports import PortType


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
    types = {Ref(graph.source, name): port.type for name, port in graph.inputs.items()}
    absent = {ref for ref, type_ in types.items() if type_.optional}
    idle: set[str] = set()
    busy: set[str] = set()
    for node in graph.nodes:
        if isinstance(node, Loop):
            continue
        may = optional_keys(node, declared(node, graph, registry)[0])
        lacks = {key for key, ref in keyed(node.inputs) if ref in absent}
        is_idle = bool(lacks - may)
        chosen = _chosen_rows(node, types)
        types |= {Ref(node.path, port): type_ for port, type_ in node.outputs.items()}
        absent |= {
            Ref(node.path, port)
            for port, type_ in node.outputs.items()
            if is_idle or type_.many or _axis(type_) in chosen
        }
        if isinstance(node, Call):
            model, *guests = called_models(graph, node)
            (idle if is_idle else busy).add(model)
            (idle if lacks else busy).update(guests)
    return idle, busy


def _chosen_rows(node: Node, types: Mapping[Ref, PortType]) -> set[str]:
    """Batch axes that an op makes by choosing rows, such as those of answers with a signal: there may be none."""
    if not isinstance(node, Op):
        return set()
    given = {_axis(types[ref]) for ref in links(node) if ref in types}
    made = {_axis(t) for t in node.outputs.values() if t.kind == "Ids" and len(t.dims or ()) == 1}
    return made - given


def _axis(type_: PortType) -> str:
    """The first one."""
    return str(type_.dims[0]) if type_.dims else ""
