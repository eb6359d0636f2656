"""`offload:` -> what is offloaded how, and where in a rank's Program the weights of a model leave its device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from mmm_graph.errors import InputError, Place, Problem, problem
from mmm_graph.graph.graph import Call, Graph, Op, standing_models
from mmm_graph.graph.offload import cannot_offload, hint_of
from mmm_graph.plan.axes import Axes
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.ops import At, Instruction, Program, Repeat, Run
from mmm_graph.plan.rows import model_type
from mmm_graph.registry.registry import Registry
from mmm_graph.spec.offload import Offloads, OffloadSpec, offload_of

Offloaded = Mapping[str, OffloadSpec]
"""How, by model; what is not named stays on its devices."""
Uses = Callable[[Run], Iterable[str]]
"""Offloaded models that an instruction works with."""


def read_offload(
    graph: Graph, registry: Registry, written: Offloads | None, models_of: Callable[[str], list[str]]
) -> tuple[dict[str, OffloadSpec], list[Problem]]:
    """(what a plan offloads, what is wrong with it). A plan that says nothing of a model leaves it as the model says.

    Args:
        models_of: the models of a name: itself, or those of an included file.
    """
    if isinstance(written, bool):
        all_of_them = [m for m, _ in standing_models(graph) if model_type(graph, registry, m).weights]
        return (dict.fromkeys(all_of_them, OffloadSpec()) if written else {}), []
    found = model_offloads(graph)
    problems: list[Problem] = []
    said = dict.fromkeys(written, OffloadSpec()) if isinstance(written, tuple) else written or {}
    for name, value in said.items():
        offload = value if isinstance(value, OffloadSpec) else offload_of(value)
        for model in models_of(name):
            found.pop(model, None)
            kind = model_type(graph, registry, model)
            if offload is None or (model != name and not kind.weights):
                continue
            merged = any(lora.merge for lora in graph.models[model].attach)
            quantized = graph.models[model].quantize is not None
            refused = cannot_offload(model, kind, offload, merged=merged, quantized=quantized)
            if refused:
                problems.append(problem("E525", refused, None, hint_of(offload, kind)))
            found[model] = offload
    return found, problems


def model_offloads(graph: Graph) -> dict[str, OffloadSpec]:
    """What the models themselves say."""
    return {name: model.offload for name, model in graph.models.items() if model.offload is not None}


def check_offload(
    offloaded: Offloaded, axes: Mapping[str, Axes], where: Callable[[str], Place | None]
) -> None:
    """Refuse what ranks cannot do.

    Raises:
        InputError: E525, columns of weights that would come from a file, which holds all of them.
    """
    cut = [m for m, said in offloaded.items() if said.from_ == "disk" and m in axes and axes[m]["tensor"] > 1]
    if cut:
        message = "{} is cut into columns under `tensor`, so it cannot come from disk, where it is whole"
        raise InputError([problem("E525", message.format(m), where(m), "from: host") for m in cut])


def uses_of(flow: Flow, offloaded: Offloaded) -> Uses:
    """What tells which offloaded models a Run of that graph works with."""
    known: dict[str, tuple[str, ...]] = {}

    def uses(item: Run) -> tuple[str, ...]:
        if item.fn[0] not in ("op", "slice"):
            return ()
        path = str(item.fn[1])
        if path not in known:
            node = flow.sites[path].node
            names: Iterable[str] = node.uses.values() if isinstance(node, Op) else ()
            names = (node.model,) if isinstance(node, Call) else names
            known[path] = tuple(n for n in names if n in offloaded)
        return known[path]

    return uses


def with_leaves(program: Iterable[Instruction], uses: Uses, offloaded: Offloaded) -> Program:
    """The Program with ("leave", model) where weights go.

    They go when their last node in it has run; those that are offloaded by model also before another one of them is
    used, so that one is there at a time. They come by themselves, when a part of them first runs. The whole Program
    is looked through, so that it is not lazy any more.
    """
    return _Leaves(uses, {n for n, said in offloaded.items() if said.by == "model"}).of([*program])


class _Leaves:
    """`there`: models offloaded by model that may be on the device."""

    def __init__(self, uses: Uses, by_model: set[str]) -> None:
        self.uses, self.by_model = uses, by_model
        self.there: set[str] = set()

    def of(self, program: list[Instruction]) -> Iterator[Instruction]:
        last: dict[str, int] = {}
        for i, item in enumerate(program):
            last.update(dict.fromkeys(self._used(item), i))
        for i, item in enumerate(program):
            if not isinstance(item, Run | Repeat):
                yield item
                continue
            yield from self._before(item)
            done = [name for name in self._used(item) if last[name] == i]
            yield self._inside(item) if isinstance(item, Repeat) else item
            for name in done:
                self.there.discard(name)
                yield _leave(name, item)

    def _used(self, item: Instruction) -> tuple[str, ...]:
        if isinstance(item, Run):
            return tuple(self.uses(item))
        if isinstance(item, Repeat):
            inside = (*item.body, *item.beside)
            return tuple(dict.fromkeys(name for inner in inside for name in self._used(inner)))
        return ()

    def _before(self, item: Instruction) -> Iterator[Instruction]:
        """The others leave before one comes."""
        if not isinstance(item, Run | Repeat):
            return
        mine = self.by_model.intersection(self._used(item))
        if mine:
            for name in sorted(self.there - mine):
                yield _leave(name, item)
            self.there = set(mine)

    def _inside(self, item: Repeat) -> Repeat:
        """In the body of an `until` loop nothing has its last turn; what another needs the place of leaves there."""
        self.there = self.by_model.intersection(self._used(item))
        body: list[Instruction] = []
        for inner in item.body:
            body += self._before(inner)
            body.append(self._inside(inner) if isinstance(inner, Repeat) else inner)
        self.there = self.by_model.intersection(self._used(item))
        return replace(item, body=tuple(body), beside=tuple(self._inside(each) for each in item.beside))


def _leave(name: str, item: Run | Repeat) -> Run:
    where = item.at if isinstance(item, Run) else item
    return Run(("leave", name), (), (), At(where.request, where.node, where.step))
