"""`parallel:` of a file -> a Plan of one graph: names resolved, models cut by cost, what cannot be done refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from mmm_graph.errors import InputError, Place, Problem, did_you_mean, problem
from mmm_graph.graph.attached import BLOCK, group_bounds
from mmm_graph.graph.graph import Graph, Loop, standing_models
from mmm_graph.plan.axes import Axes
from mmm_graph.plan.cost import parts_of, seconds
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.legal import check_axes, check_loops
from mmm_graph.plan.offload import read_offload
from mmm_graph.plan.place import Branches, Placement, Plan, make_plan
from mmm_graph.plan.rows import model_type
from mmm_graph.registry.part import Part
from mmm_graph.registry.registry import Registry
from mmm_graph.spec.graph import GraphSpec
from mmm_graph.spec.plan import LoopPlan, PlanSpec, split_placed

Slices = list[tuple[tuple[int, ...], int, int]]


def arrange(
    graph: Graph,
    registry: Registry,
    spec: PlanSpec,
    *,
    name: str = "",
    place: Place | None = None,
    branches: Branches = "batched",
    partial: bool = False,
) -> Plan:
    """The plan of a graph as the file says.

    Args:
        name: of the plan, for errors; `place`: where it is written.
        partial: the graph is not the one that the plan was written for (an evaluation, say): it need not have the loops
            that the plan names.

    Raises:
        InputError: E5xx, with every problem found: names, degrees and combinations that are not legal, and the nearest
            that are.
    """
    return _Arrangement(graph, registry, spec, name, place, partial=partial).plan(branches)


def check_plans(spec: GraphSpec, graph: Graph | None, registry: Registry) -> None:
    """Arrange all plans of a file for its top level, if it has one.

    Raises:
        InputError: with the problems of all.
    """
    problems: list[Problem] = []
    if graph is None or spec.parallel is None:
        return
    for name, plan in spec.parallel.plans.items():
        try:
            arrange(graph, registry, plan, name=name, place=spec.place("parallel", "plans", name, "@key"))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


class _Arrangement:
    def __init__(
        self,
        graph: Graph,
        registry: Registry,
        spec: PlanSpec,
        name: str,
        place: Place | None,
        *,
        partial: bool,
    ) -> None:
        self.graph, self.registry, self.spec, self.name, self.place = graph, registry, spec, name, place
        self.partial = partial
        self.flow = Flow(graph)
        self.problems: list[Problem] = []

    def plan(self, branches: Branches) -> Plan:
        axes = {m: _axes(self.spec, n) for n in self.spec.axes for m in self._models(n)}
        loops = self._loops()
        self._refuse_other_keys()
        self._check_modes()
        offload, wrong = read_offload(self.graph, self.registry, self.spec.offload, self._models)
        self.problems += wrong
        placement = self._stages(axes) if self.spec.stages else self._pipes(axes)
        self.problems += check_axes(self.graph, self.registry, axes, self.flow)
        self.problems += check_loops(self.graph, self.registry, axes, loops)
        if self.problems:
            raise InputError(self._placed(p) for p in self.problems)
        try:
            made = make_plan(
                self.graph, self.registry, placement, axes=axes, loops=loops, branches=branches, name=self.name,
                microbatches=self.spec.microbatches, in_flight=self.spec.in_flight, ranks=self.spec.ranks,
                offload=offload,
            )  # fmt: skip
        except InputError as error:
            raise InputError(self._placed(p) for p in error.problems) from error
        self._check_used(made)
        return made

    def _placed(self, found: Problem) -> Problem:
        where = found.place or self.place
        return problem(found.code, f"plan {self.name}: {found.message}", where, found.hint)

    def _refuse(self, code: str, message: str, hint: str = "") -> None:
        self.problems.append(problem(code, message, self.place, hint))

    def _models(self, name: str) -> list[str]:
        """The models of a name: itself, or those of an included file of that prefix."""
        return [m for m, _ in standing_models(self.graph) if m == name or m.startswith(f"{name}.")]

    def _loops(self) -> dict[str, LoopPlan]:
        """Loops by path; a name is a loop, or the composite or subgraph around one."""
        all_loops = [node.path for node in self.graph.walk() if isinstance(node, Loop)]
        found: dict[str, LoopPlan] = {}
        for name, loop in self.spec.loops.items():
            paths = [p for p in all_loops if p == name or name in p.split("/")]
            if not paths and not self.partial:
                known = {part for p in all_loops for part in (p, *p.split("/"))}
                self._refuse("E517", f"there is no loop {name!r}", did_you_mean(name, known))
            found.update(dict.fromkeys(paths, loop))
        return found

    def _refuse_other_keys(self) -> None:
        offloaded = self.spec.offload if isinstance(self.spec.offload, tuple | dict) else ()
        placed = [split_placed(text)[0] for stage in self.spec.stages for text in stage.place]
        for model in dict.fromkeys((*self.spec.pipe, *self.spec.axes, *placed, *offloaded)):
            node = self.graph.models.get(model)
            if node is not None and node.host:
                self._refuse(
                    "E511",
                    f"{model} is attached to {node.host}, and goes where its blocks go",
                    f"place {node.host}",
                )
        if self.spec.shard:
            self._refuse("E209", "`shard` is not supported by this version", "leave `shard` out")

    def _check_modes(self) -> None:
        """What is said of an axis has a meaning there."""
        for model, said in self.spec.axes.items():
            for axis, its in said.items():
                if axis != "patch" and (its.mode, its.group_norm) != ("sync", "sync"):
                    self._refuse(
                        "E519", f"{axis} of {model}: `mode` and `group_norm` are for patch", "leave them out"
                    )
                elif its.group_norm != "sync" and its.mode == "sync":
                    message = (
                        f"group_norm: {its.group_norm} of {model} is for `mode: displaced`; all else is exact"
                    )
                    self._refuse("E519", message, "mode: displaced, or group_norm: sync")

    def _pipes(self, axes: Mapping[str, Axes]) -> Placement:
        """The short form: stage s of a model has the ranks after those of stage s - 1."""
        found: dict[str, Slices] = {}
        for model, node in standing_models(self.graph):
            stages = next((n for name, n in self.spec.pipe.items() if model in self._models(name)), 1)
            kind = model_type(self.graph, self.registry, model)
            if not kind.weights and stages == 1 and model not in axes:
                continue
            groups = group_bounds(node, self.registry)
            parts = _joined(parts_of(node, kind), groups)
            each = axes.get(model, Axes()).ranks
            if stages * each > self.spec.ranks:
                most = max(1, self.spec.ranks // each)
                message = f"{model} needs {stages} stages x {each} = {stages * each} ranks, there are {self.spec.ranks}"
                self._refuse("E518", message, f"at most {most} stages, or ranks: {stages * each}")
                continue
            if stages > len(parts):
                self._refuse("E518", f"{model} has {len(parts)} parts, not enough for {stages} stages",
                             f"the nearest legal degree is {len(parts)}")  # fmt: skip
                continue
            bounds = [groups[i] for i in cut_by_cost(parts, stages)]
            found[model] = [
                (tuple(range(s * each, (s + 1) * each)), a, b) for s, (a, b) in enumerate(pairwise(bounds))
            ]
        return found

    def _stages(self, axes: Mapping[str, Axes]) -> Placement:
        """The long form. Indices count blocks: what is before the first goes with it, what is after the last too."""
        found: dict[str, Slices] = {}
        for stage in self.spec.stages:
            for text in stage.place:
                name, start, stop = split_placed(text)
                for model in self._models(name):
                    self._place(found, model, (start, stop), stage.ranks)
        for model, chain in found.items():
            chain.sort(key=lambda s: s[1])
            num = len(parts_of(self.graph.models[model], model_type(self.graph, self.registry, model)))
            bounds = [0, *(b for _, _, b in chain)]
            if bounds[-1] != num or any(s[1] != b for s, b in zip(chain, bounds, strict=False)):
                shown = ", ".join(f"{a}:{b}" for _, a, b in chain)
                message = f"the stages hold the parts {shown} of {model}, which has {num} (0 to {num})"
                hint = f"{model}[:k] and {model}[k:] count its {len(self._blocks(model))} blocks"
                self._refuse("E511", message, hint)
        return {m: chain for m, chain in found.items() if not self.problems}

    def _place(
        self,
        found: dict[str, Slices],
        model: str,
        blocks: tuple[int | None, int | None],
        ranks: Sequence[int],
    ) -> None:
        bounds = group_bounds(self.graph.models[model], self.registry)
        places = self._blocks(model)
        count = len(places)
        start, stop = blocks
        if (start, stop) != (None, None) and count < 1:
            self._refuse(
                "E511", f"{model} has {len(bounds) - 1} parts, no blocks to cut", f"place {model} whole"
            )
            return
        end = len(bounds) - 1
        a, b = (places[k] if k is not None and k < count else end for k in (start or None, stop))
        a = a if start else 0
        if a >= b or (start or 0) >= max(1, count):
            message = (
                f"{model}[{'' if start is None else start}:{'' if stop is None else stop}] holds no blocks"
            )
            self._refuse("E511", message, f"{model} has {count} blocks, 0 to {count - 1}")
            return
        found.setdefault(model, []).append((tuple(sorted(ranks)), bounds[a], bounds[b]))

    def _blocks(self, model: str) -> Sequence[int]:
        """Where among a model's own parts its blocks are: those called block0, block1 ...

        Where there are none, all parts between the first and the last are blocks. What is between two blocks, such as
        what an encoder ends with, goes with the first of them.
        """
        node = self.graph.models[model]
        kind = self.registry.models[node.kind]
        names = [part.name for part in parts_of(node, kind)]
        found = [i for i, name in enumerate(names) if BLOCK.fullmatch(name)]
        return found or range(1, len(names) - 1)

    def _check_used(self, made: Plan) -> None:
        """Every rank has something to do."""
        used = {r for chain in made.models.values() for s in chain for r in s.ranks}
        idle = sorted(set(range(made.ranks)) - used)
        if idle:
            names = ", ".join(map(str, idle))
            hint = f"ranks: {len(used)} would do, or say in `pipe`, `axes` or `stages` what they hold"
            raise InputError(self._placed(problem("E518", f"nothing is on rank {names}", None, hint)))


def _axes(spec: PlanSpec, name: str) -> Axes:
    said = spec.axes[name]
    sizes = tuple((axis, a.size) for axis, a in said.items())
    patch = said.get("patch")
    displaced = patch is not None and patch.mode == "displaced"
    return Axes(sizes, displaced, patch.group_norm if patch is not None else "sync")


def _joined(parts: Sequence[Part], bounds: Sequence[int]) -> list[Part]:
    """Each part with what is attached to it as one, for its cost."""
    return [
        Part(parts[a].name, (), (), flops=sum(part.flops for part in parts[a:b])) for a, b in pairwise(bounds)
    ]


def cut_by_cost(parts: Sequence[Part], stages: int) -> list[int]:
    """Bounds of contiguous stages whose dearest costs as little as it can; every stage has a part."""
    costs = [seconds([part]) for part in parts]
    total = [0.0]
    for cost in costs:
        total.append(total[-1] + cost)
    best: list[list[tuple[float, int]]] = [[(total[i], 0) for i in range(len(parts) + 1)]]
    for s in range(1, stages):
        row = [(float("inf"), 0)] * (len(parts) + 1)
        for i in range(s + 1, len(parts) + 1):
            row[i] = min((max(best[-1][j][0], total[i] - total[j]), j) for j in range(s, i))
        best.append(row)
    bounds, at = [len(parts)], len(parts)
    for row in reversed(best[1:]):
        at = row[at][1]
        bounds.append(at)
    return [0, *reversed(bounds)] if stages > 0 else [0, len(parts)]
