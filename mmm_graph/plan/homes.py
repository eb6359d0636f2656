"""Where a node runs that no weights tie to a rank: beside what it reads, beside its state, or on every rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mmm_graph.errors import InputError, problem
from mmm_graph.graph.graph import Call, Loop, Op, Ref
from mmm_graph.plan.axes import Member, Team, everyone
from mmm_graph.plan.flow import OUTER, Flow
from mmm_graph.plan.rows import Works
from mmm_graph.registry.node_type import OpType
from mmm_graph.registry.registry import Registry

if TYPE_CHECKING:
    from mmm_graph.plan.place import Plan, Slice


def everywhere(
    flow: Flow, registry: Registry, models: Mapping[str, tuple[Slice, ...]], fixed: Mapping[str, Team]
) -> frozenset[str]:
    """Nodes that every rank does for itself: cheap and pure, from nothing but inputs, so that nothing has to travel."""
    found: set[str] = set()
    for path, site in flow.sites.items():
        node = site.node
        if (
            isinstance(node, Loop)
            or site.scope
            or path in fixed
            or not _is_cheap(node, flow, registry, models)
        ):
            continue
        writers = {w.source for _, ref, scope in flow.inputs(path) for w in flow.writers(ref, scope)}
        if all(w in OUTER or w in found for w in writers) and not _has_state(flow, path):
            found.add(path)
    return frozenset(found)


def _is_cheap(node: object, flow: Flow, registry: Registry, models: Mapping[str, tuple[Slice, ...]]) -> bool:
    if isinstance(node, Op):
        op = registry.get(node.kind)
        return isinstance(op, OpType) and op.pure and not any(m in models for m in node.uses.values())
    return isinstance(node, Call) and node.model not in models


def _has_state(flow: Flow, path: str) -> bool:
    return any(t.kind == "State" for t in flow.sites[path].node.outputs.values())


class Homes:
    """The team of every node that is not tied to ranks by the weights of its model."""

    def __init__(
        self,
        flow: Flow,
        plan: Plan,
        works: Works,
        fixed: Mapping[str, Team],
        free: frozenset[str],
        ranks: int,
    ) -> None:
        self.flow, self.plan, self.works, self.fixed, self.free = flow, plan, works, fixed, free
        self.all = everyone(ranks)
        self.homes: dict[str, Team] = {}
        self.groups = state_groups(flow)

    def run(self) -> dict[str, Team]:
        """Teams by path."""
        for path, site in self.flow.sites.items():
            if isinstance(site.node, Loop) or path in self.homes:
                continue
            if path in self.free:
                self.homes[path] = self.all
                continue
            group = self.groups.get(path, (path,))
            team = self._shared(group)
            for member in group:
                self.homes[member] = team
        return {p: t for p, t in self.homes.items() if not self._tied(p)}

    def _shared(self, group: Sequence[str]) -> Team:
        """One team for nodes that share a state: where they are tied to, else beside what the last one reads."""
        tied = {self.fixed[p] for p in group if p in self.fixed}
        tied |= {t[:1] for p in group if not tied for t in self._models(p)[-1:]}
        if len(tied) > 1:
            node = self.flow.sites[group[0]].node
            names, ranks = ", ".join(group), sorted(m.rank for t in tied for m in t)
            message = f"{names} share a state but are placed on ranks {ranks}; a state does not travel"
            raise InputError(problem("E513", message, node.place, "put them on one rank"))
        if tied:
            return tied.pop()
        deepest = max(group, key=lambda p: (len(self.flow.sites[p].scope), self.flow.sites[p].index))
        return self._cut(group, self._beside(deepest, frozenset((deepest,))))

    def _cut(self, group: Sequence[str], team: Team) -> Team:
        """As much of the team as these nodes can use: pieces and shares where all of them can work on such."""
        works = [self.works[p] for p in group]
        if not all(w.unit for w in works):
            team = tuple(Member(m.rank, m.share) for m in team if m.piece == 0)
        if not all(w.batch is not None for w in works):
            team = tuple(Member(m.rank, (0, 1), m.piece, m.pieces) for m in team if m.share[0] == 0)
        seen: dict[tuple[object, ...], Member] = {}
        for m in team:  # ranks that would do the same: one is enough
            seen.setdefault((m.share, m.piece), m)
        return tuple(seen.values())

    def _beside(self, path: str, seen: frozenset[str]) -> Team:
        """Team of the last node before it that it reads, inner ones first; those not placed yet are asked in turn."""
        site = self.flow.sites[path]
        writers = {
            w.source for _, ref, scope in self.flow.inputs(path) for w in self.flow.writers(ref, scope)
        }
        before = [p for p in writers if p in self.flow.sites and self.flow.sites[p].index < site.index]
        for other in sorted(before, key=lambda p: self.flow.sites[p].index, reverse=True):
            if other in self.free:
                continue
            if other in self.homes and not self._tied(other):
                return self.homes[other]
            tied = self._models(other) or [self.fixed[p] for p in (other,) if p in self.fixed]
            if tied:
                return tied[-1]
            if other not in seen:
                return self._beside(other, seen | {other})
        return (Member(0),)

    def _tied(self, path: str) -> bool:
        node = self.flow.sites[path].node
        return isinstance(node, Call) and node.model in self.plan.models

    def _models(self, path: str) -> list[Team]:
        """Teams that make a node's results because a model that it runs is there."""
        node = self.flow.sites[path].node
        plan = self.plan
        if isinstance(node, Call) and node.model in plan.models:
            rowed = self.works[path].unit > 0
            axes, ranks = plan.axes_of(node.model), plan.models[node.model][-1].ranks
            batched = self.works[path].batch is not None
            return [axes.team(ranks, plan.branch.get(path, 0), rowed=rowed, batched=batched)]
        names = node.uses.values() if isinstance(node, Op) else ()
        return [(Member(plan.models[n][-1].ranks[0]),) for n in names if n in plan.models]


def state_groups(flow: Flow) -> dict[str, tuple[str, ...]]:
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
