"""A node -> the segments it runs as: one, or for a method that is a path through parts one per stretch on one slice."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from mmm_graph.errors import InputError, problem
from mmm_graph.graph.graph import Call, Graph, Node, Op
from mmm_graph.plan.axes import Member, Team
from mmm_graph.plan.cost import OP_COST, parts_of, seconds
from mmm_graph.plan.flow import keyed
from mmm_graph.plan.ops import Fn
from mmm_graph.plan.place import Plan
from mmm_graph.plan.rows import model_type, sharding
from mmm_graph.registry.node_type import OpType
from mmm_graph.registry.part import Part
from mmm_graph.registry.registry import Registry


@dataclass(frozen=True)
class Segment:
    """What a team does for one node, in keys of the node: its inputs, internal state, its outputs.

    Attributes:
        joint: keys that only the first member of the first patch has.
    """

    team: Team
    fn: Fn
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    cost: float = OP_COST
    joint: frozenset[str] = frozenset()


def segments(
    node: Node,
    graph: Graph,
    registry: Registry,
    plan: Plan,
    wanted: Collection[str],
    *,
    rowed: bool = False,
    batched: bool = True,
) -> tuple[Segment, ...]:
    """The segments of a call or an op that has to make the ports `wanted`.

    Args:
        rowed: it can work on some of the rows.
        batched: it can work on some of the batch.

    Raises:
        InputError: E504, a model that a Python method or an op needs in one place is spread over ranks; E505, the
            parts of a path do not make what its method returns.
    """
    keys = tuple(key for key, ref in keyed(node.inputs) if ref.source != "$each")
    ports = tuple(p for p in node.outputs if p in wanted)
    if isinstance(node, Call):
        kind = model_type(graph, registry, node.model)
        path = kind.methods[node.method].path
        if path is not None and kind.parts is not None:
            names = path(graph.models[node.model].config, node.config)
            table = parts_of(graph.models[node.model], kind)
            owners = _owners(node, plan, len(table), rowed, batched)
            joint = frozenset(sharding(graph, registry, node.model).joint)
            chain = _chain(node, table, names, owners, ports, joint)
            tensor = plan.axes_of(node.model)["tensor"]
            return tuple(replace(s, cost=s.cost / tensor) for s in chain) if tensor > 1 else chain
    return (Segment(_one_team(node, plan, rowed, batched), ("op", node.path), keys, ports),)


def warm_segment(
    node: Call, graph: Graph, registry: Registry, plan: Plan, wanted: Collection[str]
) -> Segment:
    """The call as one segment of all ranks of a pipeline, for a warm-up in which they share the rows."""
    kind = model_type(graph, registry, node.model)
    path = kind.methods[node.method].path
    assert path is not None
    table = parts_of(graph.models[node.model], kind)
    names = path(graph.models[node.model].config, node.config)
    team = plan.warm_team(node.model, plan.branch.get(node.path, 0))
    joint = frozenset(sharding(graph, registry, node.model).joint)
    ports = tuple(p for p in node.outputs if p in wanted)
    return _chain(node, table, names, (team,) * len(table), ports, joint)[0]


def draws(node: Node, graph: Graph, registry: Registry) -> bool:
    """Whether a node draws random numbers."""
    if isinstance(node, Op):
        op = registry.get(node.kind)
        return isinstance(op, OpType) and op.noise
    assert isinstance(node, Call)
    return model_type(graph, registry, node.model).methods[node.method].noise


def _one_team(node: Node, plan: Plan, rowed: bool, batched: bool) -> Team:
    """Who runs a Python function: the team of its node, or of the model that it needs whole."""
    models = (
        (node.model,) if isinstance(node, Call) else tuple(node.uses.values()) if isinstance(node, Op) else ()
    )
    slices = {s for m in models for s in plan.models.get(m, ())}
    if len({s.ranks for s in slices}) > 1:
        places = sorted({r for s in slices for r in s.ranks})
        message = f"{node.path} needs {', '.join(models)} whole, on one rank, not on {places}"
        raise InputError(problem("E504", message, node.place, "only paths through parts can be spread"))
    if node.path in plan.nodes:
        return plan.nodes[node.path]
    ranks = slices.pop().ranks
    if isinstance(node, Call):
        branch = plan.branch.get(node.path, 0)
        return plan.axes_of(node.model).team(ranks, branch, rowed=rowed, batched=batched)
    return (Member(ranks[0]),)


def _owners(node: Call, plan: Plan, num_parts: int, rowed: bool, batched: bool) -> tuple[Team, ...]:
    """Team of every part of the model, in the order of its table."""
    chain = plan.models.get(node.model)
    if chain is None:
        return (plan.nodes[node.path],) * num_parts
    axes, branch = plan.axes_of(node.model), plan.branch.get(node.path, 0)
    teams = [axes.team(s.ranks, branch, rowed=rowed, batched=batched) for s in chain]
    return tuple(team for s, team in zip(chain, teams, strict=True) for _ in range(s.a, s.b))


def _chain(
    node: Call,
    table: Sequence[Part],
    names: Sequence[str],
    owners: Sequence[Team],
    ports: tuple[str, ...],
    joint: frozenset[str],
) -> tuple[Segment, ...]:
    index = {p.name: i for i, p in enumerate(table)}
    path = [table[index[n]] for n in names]
    teams = [owners[index[n]] for n in names]
    cuts = [i for i in range(1, len(path)) if teams[i] != teams[i - 1]]
    made = {key for key, ref in keyed(node.inputs) if ref.source != "$each"}
    _check_made(node, path, ports)
    found = []
    for a, b in zip([0, *cuts], [*cuts, len(path)], strict=True):
        reads, writes = _stretch(path[a:b])
        if b == len(path):  # a port may be an input or a key of an earlier stretch, handed through
            states = {key for part in path[:a] for key in part.writes if _stays(node, key)}
            reads += [p for p in ports if p not in writes and p not in reads and p not in states]
            writes += [p for p in ports if p not in writes and p not in states]
        later = {key for part in path[b:] for key in part.reads} | (set(ports) if b == len(path) else set())
        later |= {p for p in ports if not any(p in part.writes for part in path[b:])}
        kept = tuple(k for k in writes if k in later)
        fn = ("slice", node.path, a, b)
        read = tuple(k for k in reads if k in made)
        found.append(Segment(teams[a], fn, read, kept, seconds(path[a:b]), joint))
        made.update(kept)
    return tuple(found)


def _stays(node: Call, key: str) -> bool:
    """Whether a port is a state, which is where its part is and is not handed on to the last one."""
    return key in node.outputs and node.outputs[key].kind == "State"


def _check_made(node: Call, path: Sequence[Part], ports: Sequence[str]) -> None:
    known = {key for key, _ in keyed(node.inputs)} | {key for part in path for key in part.writes}
    lost = [p for p in ports if p not in known]
    if lost:
        message = f"no part on the path of {node.model}.{node.method} writes {', '.join(lost)}"
        raise InputError(problem("E505", message, node.place, "the last part must write the method's ports"))


def _stretch(parts: Sequence[Part]) -> tuple[list[str], list[str]]:
    """Keys that consecutive parts read from outside, and keys that they write."""
    reads: list[str] = []
    writes: list[str] = []
    for part in parts:
        reads += [k for k in part.reads if k not in writes and k not in reads]
        writes += [k for k in part.writes if k not in writes]
    return reads, writes
