"""Which models a batch may have no rows for: those of media, where conversations are without any."""

from __future__ import annotations

from mmm_graph.graph.graph import Call, Graph, Loop, Ref
from mmm_graph.plan.flow import keyed, optional_keys
from mmm_graph.plan.presence import declared
from mmm_graph.registry import Registry


def idle_models(graph: Graph, registry: Registry) -> frozenset[str]:
    """Models all of whose calls read what may be absent: columns that samples may lack, and lists of media.

    A node that can do without such an input, as embeds.splice without pictures, always runs. Loops are not looked into.
    """
    absent = {Ref(graph.source, name) for name, port in graph.inputs.items() if port.type.optional}
    idle: set[str] = set()
    busy: set[str] = set()
    for node in graph.nodes:
        if isinstance(node, Loop):
            continue
        may = optional_keys(node, declared(node, graph, registry)[0])
        is_idle = any(ref in absent for key, ref in keyed(node.inputs) if key not in may)
        absent |= {Ref(node.path, port) for port, type_ in node.outputs.items() if is_idle or type_.many}
        if isinstance(node, Call):
            (idle if is_idle else busy).add(node.model)
    return frozenset(idle - busy)
