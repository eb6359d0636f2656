"""Graph -> Plan: which ranks hold which parts of which model, and where every other node runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mmm_graph.errors import InputError, problem
from mmm_graph.graph.graph import Call, Graph, Loop, ModelNode, Op, Ref
from mmm_graph.plan.cost import parts_of
from mmm_graph.plan.flow import Flow
from mmm_graph.registry.node_type import ModelType
from mmm_graph.registry.registry import Registry

Placement = Mapping[str, Sequence[tuple[Sequence[int], int, int]]]
"""model -> (ranks, a, b): the ranks hold the model's parts[a:b]."""


@dataclass(frozen=True)
class Slice:
    """Parts `a` to `b` (not included) of a model, on a group of ranks."""

    ranks: tuple[int, ...]
    a: int
    b: int


@dataclass(frozen=True)
class Plan:
    """Who does what.

    Attributes:
        ranks: how many there are.
        models: the chain of slices of every model that has weights or was placed.
        nodes: rank of every op, and of every call of a model that is not in `models`.
        branches: "batched": calls of one body that differ in their condition become one where that is provably the
            same; "turn": one after the other.
    """

    ranks: int
    models: Mapping[str, tuple[Slice, ...]]
    nodes: Mapping[str, int]
    branches: Literal["batched", "turn"] = "batched"

    def dump(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def make_plan(
    graph: Graph,
    registry: Registry,
    placement: Placement | None = None,
    *,
    nodes: Mapping[str, int] | None = None,
    branches: Literal["batched", "turn"] = "batched",
) -> Plan:
    """Place everything; by default on rank 0.

    Args:
        placement: slices of models; a model that is not named is on rank 0. Names that the graph does not have are
            ignored, so that one placement serves several graphs.
        nodes: ranks of ops, where the rule (beside what they read; beside their state) is not wanted.

    Raises:
        InputError: E511, slices that do not cover a model's parts in order; E512, several ranks for one slice;
            E513, a state that would have to travel.
    """
    models: dict[str, tuple[Slice, ...]] = {}
    for name, model in graph.models.items():
        kind = _model_type(registry, model)
        if placement and name in placement:
            models[name] = _check_chain(model, kind, placement[name])
        elif kind.weights:
            models[name] = (Slice((0,), 0, len(parts_of(model, kind))),)
    homes = _Homes(graph, models, nodes or {}).run()
    used = [r for chain in models.values() for s in chain for r in s.ranks]
    return Plan(max([0, *used, *homes.values()]) + 1, models, homes, branches)


def _model_type(registry: Registry, model: ModelNode) -> ModelType:
    kind = registry.get(model.kind)
    assert isinstance(kind, ModelType)
    return kind


def _check_chain(
    model: ModelNode, kind: ModelType, slices: Sequence[tuple[Sequence[int], int, int]]
) -> tuple[Slice, ...]:
    chain = tuple(Slice(tuple(ranks), a, b) for ranks, a, b in slices)
    num_parts = len(parts_of(model, kind))
    bounds = [0, *(s.b for s in chain)]
    if (
        any(s.a != start or s.b <= s.a for s, start in zip(chain, bounds, strict=False))
        or bounds[-1] != num_parts
    ):
        shown = ", ".join(f"{s.a}:{s.b}" for s in chain)
        message = f"{model.name} has {num_parts} parts, its slices are {shown}"
        hint = f"give slices that follow each other from 0 to {num_parts}"
        raise InputError(problem("E511", message, model.place, hint))
    for s in chain:
        if len(s.ranks) != 1:
            message = (
                f"{model.name}[{s.a}:{s.b}] is on {len(s.ranks)} ranks, and no axis says how they share it"
            )
            raise InputError(problem("E512", message, model.place, "put each slice on one rank"))
    return chain


class _Homes:
    """Rank of every node that is not tied to one by the weights of its model."""

    def __init__(
        self, graph: Graph, models: Mapping[str, tuple[Slice, ...]], fixed: Mapping[str, int]
    ) -> None:
        self.flow, self.models, self.fixed = Flow(graph), models, fixed
        self.homes: dict[str, int] = {}
        self.groups = _state_groups(self.flow)

    def run(self) -> dict[str, int]:
        for path, site in self.flow.sites.items():
            if isinstance(site.node, Loop) or path in self.homes:
                continue
            group = self.groups.get(path, (path,))
            rank = self._shared_rank(group)
            for member in group:
                self.homes[member] = rank
        return {p: r for p, r in self.homes.items() if not self._tied(p)}

    def _shared_rank(self, group: Sequence[str]) -> int:
        """One rank for nodes that share a state: where they are tied to, else beside what the last one reads."""
        tied = {self.fixed[p] for p in group if p in self.fixed}
        tied |= {r for p in group if not tied for r in self._model_ranks(p)}
        if len(tied) > 1:
            node = self.flow.sites[group[0]].node
            names = ", ".join(group)
            message = f"{names} share a state but are placed on ranks {sorted(tied)}; a state does not travel"
            raise InputError(problem("E513", message, node.place, "put them on one rank"))
        if tied:
            return tied.pop()
        deepest = max(group, key=lambda p: (len(self.flow.sites[p].scope), self.flow.sites[p].index))
        return self._beside(deepest, frozenset((deepest,)))

    def _beside(self, path: str, seen: frozenset[str]) -> int:
        """Rank of the last node before it that it reads, inner ones first; those not placed yet are asked in turn."""
        site = self.flow.sites[path]
        writers = {
            w.source for _, ref, scope in self.flow.inputs(path) for w in self.flow.writers(ref, scope)
        }
        before = [p for p in writers if p in self.flow.sites and self.flow.sites[p].index < site.index]
        for other in sorted(before, key=lambda p: self.flow.sites[p].index, reverse=True):
            if other in self.homes:
                return self.homes[other]
            tied = self._model_ranks(other) or [self.fixed[p] for p in (other,) if p in self.fixed]
            if tied:
                return tied[-1]
            if other not in seen:
                return self._beside(other, seen | {other})
        return 0

    def _tied(self, path: str) -> bool:
        node = self.flow.sites[path].node
        return isinstance(node, Call) and node.model in self.models

    def _model_ranks(self, path: str) -> list[int]:
        """Ranks at which a node's results are made because a model that it runs is there."""
        node = self.flow.sites[path].node
        names = (
            [node.model]
            if isinstance(node, Call)
            else list(node.uses.values())
            if isinstance(node, Op)
            else []
        )
        return [self.models[n][-1].ranks[0] for n in names if n in self.models]


def _state_groups(flow: Flow) -> dict[str, tuple[str, ...]]:
    """Nodes that hand a State to each other, by path of each member."""
    joined: dict[str, set[str]] = {}
    for path, site in flow.sites.items():
        if isinstance(site.node, Loop):
            continue
        for _, ref, scope in flow.inputs(path):
            for writer in flow.writers(ref, scope):
                if _is_state(flow, writer):
                    group = joined.setdefault(path, {path}) | joined.setdefault(
                        writer.source, {writer.source}
                    )
                    joined.update(dict.fromkeys(group, group))
    return {p: tuple(sorted(g, key=lambda q: flow.sites[q].index)) for p, g in joined.items()}


def _is_state(flow: Flow, ref: Ref) -> bool:
    site = flow.sites.get(ref.source)
    return site is not None and ref.port in site.node.outputs and site.node.outputs[ref.port].kind == "State"
