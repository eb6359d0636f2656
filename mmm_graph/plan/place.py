"""Graph -> Plan: which ranks hold which parts of which model, and where every other node runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from mmm_graph.errors import InputError, problem
from mmm_graph.graph.graph import Call, Graph, Loop, ModelNode, standing_models
from mmm_graph.plan.axes import Axes, Team, alone
from mmm_graph.plan.cost import parts_of
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.homes import Homes, everywhere
from mmm_graph.plan.offload import Offloaded, check_offload, model_offloads
from mmm_graph.plan.rewrite import find_branches
from mmm_graph.plan.rows import Works, model_type
from mmm_graph.registry.node_type import ModelType
from mmm_graph.registry.registry import Registry
from mmm_graph.spec.plan import LoopPlan

Placement = Mapping[str, Sequence[tuple[Sequence[int], int, int]]]
"""model -> (ranks, a, b): the ranks hold the model's parts[a:b]."""
Branches = Literal["batched", "turn"]


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
        nodes: who does an op, or a call of a model that is not in `models`.
        branches: "batched": calls of one body that differ in their condition become one where that is provably the
            same; "turn": one after the other. A model that is pipelined or has a `cfg` axis is always called in turn.
        axes: how the ranks of a model's slices share its work.
        branch: place on the `cfg` axis, by path of the call.
        loops: by path, those that are pipelined or have a warm-up.
        pipelined: models that are called on patches, and so keep what they have seen of the others.
        warm_rows: those of them whose ranks share the rows of whole images in the warm-up; all have all weights.
        microbatches: parts of a batch that go through one after the other.
        in_flight: most requests at once; None = all.
        name: what the file calls it.
        offload: models that are on their devices only while they are used.
    """

    ranks: int
    models: Mapping[str, tuple[Slice, ...]]
    nodes: Mapping[str, Team]
    branches: Branches = "batched"
    axes: Mapping[str, Axes] = field(default_factory=dict)
    branch: Mapping[str, int] = field(default_factory=dict)
    loops: Mapping[str, LoopPlan] = field(default_factory=dict)
    pipelined: frozenset[str] = frozenset()
    warm_rows: frozenset[str] = frozenset()
    microbatches: int = 1
    in_flight: int | None = None
    name: str = ""
    offload: Offloaded = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        """Plain data for JSON."""
        found = asdict(self)
        found["loops"] = {path: loop.model_dump() for path, loop in self.loops.items()}
        found["pipelined"], found["warm_rows"] = sorted(self.pipelined), sorted(self.warm_rows)
        found["offload"] = {name: said.model_dump(by_alias=True) for name, said in self.offload.items()}
        return found

    @property
    def is_plain(self) -> bool:
        """Every task is one rank's, on whole values."""
        shared = any(len(s.ranks) > 1 for chain in self.models.values() for s in chain)
        return not (shared or self.loops or self.microbatches > 1)

    @property
    def is_whole(self) -> bool:
        """No rank needs less of a model than all of it, nor has to ask others about it."""
        return not any(len(chain) > 1 or self.asks(model) for model, chain in self.models.items())

    def asks(self, model: str) -> bool:
        """Whether layers of the model ask other ranks, or what they kept of other patches."""
        axes = self.axes_of(model)
        return axes.pieces > 1 or axes["tensor"] > 1 or model in self.pipelined

    def axes_of(self, model: str) -> Axes:
        """Axes of a model; none where the plan says nothing."""
        return self.axes.get(model, Axes())

    def warm_team(self, model: str, branch: int) -> Team:
        """Who does a call in the warm-up of `warm_rows`: the ranks of all stages, each a piece of the rows."""
        chain, axes = self.models[model], self.axes_of(model)
        teams = [axes.team(s.ranks, branch) for s in chain]
        members = [m._replace(piece=i, pieces=len(chain)) for i, team in enumerate(teams) for m in team]
        return tuple(sorted(members, key=lambda m: (m.share, m.piece)))

    def in_turn(self, model: str) -> bool:
        """Whether guidance branches of this model are separate calls: two streams through its stages."""
        chain = self.models.get(model, ())
        return (
            len(chain) > 1
            or self.axes_of(model)["cfg"] > 1
            or any(p.patches > 1 for p in self.loops.values())
        )


def make_plan(  # noqa: PLR0913 - all that a plan may say
    graph: Graph,
    registry: Registry,
    placement: Placement | None = None,
    *,
    nodes: Mapping[str, int | Team] | None = None,
    branches: Branches = "batched",
    axes: Mapping[str, Axes] | None = None,
    loops: Mapping[str, LoopPlan] | None = None,
    microbatches: int = 1,
    in_flight: int | None = None,
    ranks: int = 1,
    name: str = "",
    offload: Offloaded | None = None,
) -> Plan:
    """Place everything; by default on rank 0. What the file says comes here by `arrange`.

    Args:
        placement: slices of models; a model that is not named is on rank 0. Names that the graph does not have are
            ignored, so that one placement serves several graphs.
        nodes: ranks or teams of ops, where the rule (beside what they read; beside their state) is not wanted.
        axes: by model; the ranks of each of its slices are theirs.
        loops: by path.
        ranks: at least so many.
        offload: by model; None = as the models say.

    Raises:
        InputError: E511, slices that do not cover a model's parts in order; E512, more or fewer ranks in a slice than
            its axes have; E513, a state that would have to travel; E520, ranks that cannot share a warm-up; E525,
            weights that cannot be offloaded so.
    """
    axes = {m: a for m, a in (axes or {}).items() if m in graph.models}
    models: dict[str, tuple[Slice, ...]] = {}
    for model_name, model in standing_models(graph):
        kind = model_type(graph, registry, model_name)
        its, slices = axes.get(model_name, Axes()), (placement or {}).get(model_name)
        if slices is not None or kind.weights or its.sizes:
            slices = slices if slices is not None else [((0,), 0, len(parts_of(model, kind)))]
            models[model_name] = _check_chain(model, kind, slices, its)
    offload = model_offloads(graph) if offload is None else offload
    offload = {m: said for m, said in offload.items() if m in models}
    check_offload(offload, axes, lambda model: graph.models[model].place)
    flow = Flow(graph)
    branch = find_branches(flow, axes)
    loops = {path: loop for path, loop in (loops or {}).items() if path in flow.sites}
    pipelined = _called_in(flow, [p for p, loop in loops.items() if loop.patches > 1]) & models.keys()
    warm = _called_in(flow, [p for p, loop in loops.items() if loop.patches > 1 and loop.warm == "rows"])
    warm = frozenset(m for m in warm & pipelined if len(models[m]) > 1)
    for name_ in sorted(warm):
        _check_warm(graph.models[name_], models[name_])
    draft = Plan(1, models, {}, branches, axes, branch, loops, pipelined, warm, microbatches, in_flight, name,
                 offload)  # fmt: skip
    used = [r for chain in models.values() for s in chain for r in s.ranks]
    fixed = {p: alone(r) if isinstance(r, int) else r for p, r in (nodes or {}).items()}
    used += [m.rank for team in fixed.values() for m in team] + [ranks - 1]
    total = max(used) + 1
    works = Works(flow, registry)
    free = everywhere(flow, registry, models, fixed) if total > 1 else frozenset()
    homes = Homes(flow, draft, works, fixed, free, total).run()
    return replace(draft, ranks=total, nodes=homes)


def _called_in(flow: Flow, loops: Sequence[str]) -> frozenset[str]:
    """Models that are called in the bodies of these loops."""
    bodies = [flow.sites[path].node for path in loops]
    return frozenset(
        n.model for loop in bodies if isinstance(loop, Loop) for n in loop.body if isinstance(n, Call)
    )


def _check_warm(model: ModelNode, chain: Sequence[Slice]) -> None:
    """Every rank has one piece of the rows."""
    ranks = [r for s in chain for r in s.ranks]
    twice = next((r for r in ranks if ranks.count(r) > 1), None)
    if twice is not None:
        message = f"rank {twice} holds several slices of {model.name}; under `warm: rows` it would have several pieces"
        raise InputError(problem("E520", message, model.place, "warm: streams, or one slice on a rank"))


def _check_chain(
    model: ModelNode, kind: ModelType, slices: Sequence[tuple[Sequence[int], int, int]], axes: Axes
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
        if axes.sizes and len(s.ranks) != axes.ranks:
            said = " x ".join(f"{axis} {n}" for axis, n in axes.sizes)
            message = (
                f"{model.name}[{s.a}:{s.b}] is on {len(s.ranks)} ranks, its axes ({said}) have {axes.ranks}"
            )
            raise InputError(problem("E512", message, model.place, f"put each slice on {axes.ranks} ranks"))
        if len(s.ranks) != len(chain[0].ranks):
            message = f"the slices of {model.name} are on {len(chain[0].ranks)} and on {len(s.ranks)} ranks"
            raise InputError(problem("E512", message, model.place, "all slices of a model share its axes"))
    return chain
