"""What requests need: which can share an engine, and which models their outputs may call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmm_graph.graph.graph import Graph, ModelNode
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.select import select
from mmm_graph.runtime.events import Request
from mmm_graph.runtime.job import wanted_refs
from mmm_graph.runtime.names import find_value


def of_same_models(requests: Sequence[Request]) -> list[list[Request]]:
    """Requests in groups; params that change a model, such as a guidance scale, keep requests apart."""
    groups: list[tuple[Mapping[str, ModelNode], list[Request]]] = []
    for request in requests:
        assert request.graph is not None
        models = request.graph.models
        group = next((found for known, found in groups if known == models), None)
        if group is None:
            group = []
            groups.append((models, group))
        group.append(request)
    return [group for _, group in groups]


def models_for(
    graph: Graph, outputs: Sequence[str] | None, supply: Mapping[str, Any], *, watched: bool
) -> frozenset[str]:
    """Names of the models that these outputs may call."""
    wanted = list(wanted_refs(graph, outputs).values())
    return select(Flow(graph), wanted, [str(find_value(graph, k)) for k in supply], watched=watched).models
