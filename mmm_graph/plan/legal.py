"""Which axes and loops a model can have: every refusal gives its reason and the nearest degrees that are legal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mmm_graph.errors import Problem, problem
from mmm_graph.graph.graph import Call, Graph, Loop
from mmm_graph.plan.axes import Axes
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.rows import Works, sharding
from mmm_graph.registry.registry import Registry
from mmm_graph.spec.plan import LoopPlan

SHARES_ROWS = ("patch", "ring", "ulysses")


def check_axes(graph: Graph, registry: Registry, axes: Mapping[str, Axes], flow: Flow) -> Iterator[Problem]:
    """What is wrong with the axes of each model."""
    works = Works(flow, registry)
    for model, its in axes.items():
        where = graph.models[model].place
        said = sharding(graph, registry, model)
        for axis, degree in its.sizes:
            if degree == 1:
                continue
            if axis == "tensor" and graph.models[model].quantize is not None:
                message = f"tensor: {degree} of {model}: its weights are quantized, which are not cut"
                yield problem("E634", message, where, "leave out `quantize:` or `tensor`")
            if axis in said.refused:
                message = f"{axis}: {degree} of {model}: {said.refused[axis]}"
                yield problem("E519", message, where, f"the nearest legal degree of {axis} is 1")
            elif axis in SHARES_ROWS and not said.units:
                message = f"{axis}: {degree} of {model} ({graph.models[model].kind}): it has no rows to share"
                yield problem("E519", message, where, f"the nearest legal degree of {axis} is 1")
        if its["patch"] > 1 and its["ring"] > 1:
            hint = "take one of them; `ulysses` goes with either"
            yield problem("E519", f"{model}: `patch` and `ring` both split tokens", where, hint)
        if its.displaced and its["ulysses"] > 1:
            message = f"{model}: `ulysses` with displaced patches would send stale keys to other heads"
            yield problem("E519", message, where, "mode: sync, or without ulysses")
        if not any(axis in said.refused for axis in ("ulysses", "tensor") if its[axis] > 1):
            yield from _check_heads(graph, model, its, said.heads)
        yield from _check_rows(graph, model, its, works)
        yield from _check_calls(flow, model, its)


def _check_calls(flow: Flow, model: str, axes: Axes) -> Iterator[Problem]:
    """The axes do something where the model is called; where it is not called at all, nothing is wrong."""
    scopes = [s.scope for s in flow.sites.values() if isinstance(s.node, Call) and s.node.model == model]
    where = flow.graph.models[model].place
    if axes.displaced and scopes and not any(scopes):
        message = f"{model} is not called in a loop: there is no evaluation before to be displaced from"
        yield problem("E519", message, where, "mode: sync")
    until = [loop for scope in scopes for loop in scope if loop.until is not None]
    cut = [f"{a}: {n}" for a, n in axes.sizes if n > 1 and a in (*SHARES_ROWS, "data")]
    if cut and scopes and all(any(loop in until for loop in scope) for scope in scopes):
        message = f"{', '.join(cut)} of {model}: it is called in {until[0].path} only, which turns until a flag is true"
        hint = "what it works on is not cut: take cfg or tensor, or stages"
        yield problem("E519", message, where, hint)


def _check_heads(graph: Graph, model: str, axes: Axes, heads: int) -> Iterator[Problem]:
    degree = axes["ulysses"] * axes["tensor"]
    if degree == 1:
        return
    names = " x ".join(f"{a}: {axes[a]}" for a in ("ulysses", "tensor") if axes[a] > 1)
    where = graph.models[model].place
    if heads == 0:
        yield problem(
            "E519", f"{names} of {model}: it has no heads to share", where, "the nearest legal degree is 1"
        )
    elif degree > heads:
        hint = f"the nearest legal degree is {heads}"
        yield problem("E519", f"{names} of {model}: {degree} ranks for {heads} heads", where, hint)


def _check_rows(graph: Graph, model: str, axes: Axes, works: Works) -> Iterator[Problem]:
    """Images whose height the file says have enough rows; the first that has not is told."""
    for node in graph.walk():
        if not isinstance(node, Call) or node.model != model or axes.pieces == 1:
            continue
        work = works[node.path]
        height = work.height.size if work.height is not None else None
        if height is None:
            continue
        if height % work.unit:
            message = f"{node.path} gets {height} rows, which are cut at multiples of {work.unit}"
            yield problem("E516", message, graph.models[model].place, "another height")
            return
        if height // work.unit < axes.pieces:
            message = (
                f"{node.path} gets {height} rows, cut at multiples of {work.unit}: too few for {axes.pieces}"
            )
            hint = f"the nearest legal degree is {height // work.unit}"
            yield problem("E516", message, graph.models[model].place, hint)
            return


def check_loops(
    graph: Graph, registry: Registry, axes: Mapping[str, Axes], loops: Mapping[str, LoopPlan]
) -> Iterator[Problem]:
    """What is wrong with pipelined loops."""
    flow = Flow(graph)
    works = Works(flow, registry)
    for path, loop in loops.items():
        node = graph.node(path)
        assert isinstance(node, Loop)
        if loop.patches == 1:
            continue
        if node.until is not None or node.count is None:
            message = f"{path} goes on until its flag is true; patches need a loop of known length"
            yield problem("E520", message, node.place, "leave `patches` out")
        around = next((loop for loop in flow.sites[path].scope if loop.until is not None), None)
        if around is not None:
            message = f"{path} is in the body of {around.path}, which goes on until its flag is true: that is not cut"
            yield problem("E520", message, node.place, "leave `patches` out")
        if any(isinstance(inner, Loop) for inner in node.body):
            yield problem("E520", f"{path} has a loop in its body", node.place, "pipeline the inner loop")
        for call in {n.model: n for n in node.body if isinstance(n, Call)}.values():
            yield from _check_patched(works, call, axes.get(call.model, Axes()), loop)


def _check_patched(works: Works, call: Call, axes: Axes, loop: LoopPlan) -> Iterator[Problem]:
    patches, graph, work = loop.patches, works.graph, works[call.path]
    said, where = sharding(graph, works.registry, call.model), graph.models[call.model].place
    if "patches" in said.refused:
        message = (
            f"patches: {patches} of {call.model} ({graph.models[call.model].kind}): {said.refused['patches']}"
        )
        hint = "it can be pipelined over requests, branches and parts of a batch: leave `patches` out"
        yield problem("E520", message, where, hint)
        return
    if axes.displaced:
        message = (
            f"{call.model}: patches in a pipeline are stale already, `mode: displaced` goes without `patches`"
        )
        yield problem("E520", message, where, "mode: sync, or patches: 1")
    if loop.warm == "rows" and (axes.pieces > 1 or axes["tensor"] > 1):
        message = (
            f"{call.model}: `warm: rows` shares the rows among the stages, whose ranks share layers already"
        )
        yield problem("E520", message, where, "warm: streams, or only the axes cfg and data")
    height = work.height.size if work.height is not None else None
    if height is not None:
        most = height // work.unit // axes.pieces
        if patches > most:
            message = (
                f"{call.path} gets {height} rows, cut at multiples of {work.unit} for {axes.pieces} ranks"
            )
            yield problem("E520", f"{message}: at most {most} patches, not {patches}", where,
                          f"the nearest legal number is {most}")  # fmt: skip
