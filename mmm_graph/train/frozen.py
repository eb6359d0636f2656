"""What frozen models make of a sample alone: the values that `cache:` keeps, and why others are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mmm_graph.graph.graph import Call, Graph, Node, Op, Ref, called_models, links
from mmm_graph.registry import Registry
from mmm_graph.spec.ports import PortType
from mmm_graph.train.cache_key import columns_behind
from mmm_graph.train.collate import OWNERS
from mmm_graph.train.reach import needed_nodes


@dataclass(frozen=True)
class Frozen:
    """Values that depend on a sample alone, that a frozen model had a part in, and that something else reads.

    Attributes:
        values: those that can be kept.
        left_out: value -> why it cannot be.
        blocked: node that calls a frozen model -> the node, it or one before it, that is no function of the sample.
    """

    values: tuple[Ref, ...]
    left_out: Mapping[Ref, str] = field(default_factory=dict)
    blocked: Mapping[str, str] = field(default_factory=dict)


def find_frozen(graph: Graph, registry: Registry, trains: Iterable[str]) -> Frozen:
    """Look at every node that the outputs need."""
    trained = set(trains)
    fixed: dict[str, bool] = {}  # path -> whether a model with weights lies behind it
    reasons: dict[str, str] = {}
    blocked: dict[str, str] = {}
    nodes = needed_nodes(graph)
    for node in nodes:
        behind = {ref.source for ref in links(node)} - {graph.source}
        before = next((reasons[s] for s in sorted(behind) if s in reasons), "")
        own = _why_not(node, graph, registry, trained)
        encodes = isinstance(node, Call) and registry.models[graph.models[node.model].kind].weights
        if own or before:
            reasons[node.path] = before or f"{node.path} {own}"
            if encodes and not trained.intersection(_called(node, graph)):
                blocked[node.path] = reasons[node.path]
        else:
            fixed[node.path] = encodes or any(fixed.get(s, False) for s in behind)
    read = [ref for node in nodes if node.path not in fixed for ref in links(node)]
    read += [output.ref for output in graph.outputs.values()]
    types = {Ref(node.path, port): type_ for node in nodes for port, type_ in node.outputs.items()}
    wanted = [ref for ref in dict.fromkeys(read) if fixed.get(ref.source)]
    left_out = {ref: why for ref in wanted if (why := _unfit(graph, ref, types[ref]))}
    return Frozen(tuple(ref for ref in wanted if ref not in left_out), left_out, blocked)


def frozen_values(graph: Graph, registry: Registry, trained: Iterable[str]) -> tuple[Ref, ...]:
    """The values alone."""
    return find_frozen(graph, registry, trained).values


def _why_not(node: Node, graph: Graph, registry: Registry, trained: set[str]) -> str:
    """Same inputs, same outputs: no noise, no training, no condition, no memory. "" if it is so."""
    if node.when is not None:
        return "runs under a condition"
    if isinstance(node, Op):
        kind = registry.ops[node.kind]
        if trained & set(node.uses.values()):
            return "uses a trained model"
        return "draws noise" if kind.noise else "" if kind.pure else "is not pure"
    if not isinstance(node, Call):
        return "is a loop"
    if trained.intersection(_called(node, graph)):
        return f"calls {node.model}, which is trained"
    noise = registry.models[graph.models[node.model].kind].methods[node.method].noise
    return "draws noise" if noise and node.facts.get("noise", True) else ""


def _called(node: Node, graph: Graph) -> tuple[str, ...]:
    return called_models(graph, node) if isinstance(node, Call) else ()


def owners_column(graph: Graph, ref: Ref) -> str:
    """The column that says whose the rows of a value are; "" where every sample has one."""
    found = [f"{column}{OWNERS}" for column in columns_behind(graph, ref)]
    return next((column for column in found if column in graph.inputs), "")


def _unfit(graph: Graph, ref: Ref, type_: PortType) -> str:
    """Why the rows of a value cannot be kept by their samples; "" if they can."""
    columns = columns_behind(graph, ref)
    absent = [c for c in columns if graph.inputs[c].type.optional]
    axes = {str(dims[0]) for c in columns if (dims := graph.inputs[c].type.dims)}
    routed = all(f"{c}{OWNERS}" in graph.inputs for c in columns) and len(axes) == 1
    if absent and not routed:
        return f"not every sample has {', '.join(absent)}"
    if not columns:
        return "no sample is behind it"
    if not type_.dims:
        return f"{type_} does not say that it has a row for each sample"
    if not all(dim.size for dim in type_.dims[1:]):
        return f"rows of {type_} differ in size from batch to batch"
    if str(type_.dims[0]) not in axes:
        return f"rows of {type_} are not those of samples"
    return ""
