"""A plan for people: what each rank holds, and its Program with equal turns of a loop told once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mmm_graph.graph.graph import Call, Graph
from mmm_graph.plan.block import Blocks, Wishes
from mmm_graph.plan.cost import call_flops, parts_of, weight_bytes
from mmm_graph.plan.expand import Stream
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.lower import project
from mmm_graph.plan.ops import Free, Instruction, Program, Recv, Repeat, Run, Send
from mmm_graph.plan.place import Plan
from mmm_graph.plan.repeat import repeat_task
from mmm_graph.plan.schedule import order
from mmm_graph.plan.select import select
from mmm_graph.registry.node_type import ModelType
from mmm_graph.registry.registry import Registry

PLUMBING = ("cat", "split", "collect")
"""What runs without a node of the graph: told with the values it reads."""


@dataclass(frozen=True)
class Holding:
    """A model, or a slice of one, on a rank."""

    rank: int
    model: str
    kind: str
    parts: str
    weight_bytes: int
    flops_per_call: float


def holdings(graph: Graph, registry: Registry, plan: Plan) -> list[Holding]:
    """What every rank holds, in the order of the file. A slice counts the bytes of its own parts."""
    found: list[Holding] = []
    for name, chain in plan.models.items():
        model = graph.models[name]
        kind = registry.get(model.kind)
        assert isinstance(kind, ModelType)
        parts = parts_of(model, kind)
        whole, total = sum(p.params for p in parts), weight_bytes(model, kind)
        flops = max(
            (_flops(n, graph, registry) for n in graph.walk() if isinstance(n, Call) and n.model == name),
            default=0.0,
        )
        all_flops = sum(p.flops for p in parts)
        for piece in chain:
            own = parts[piece.a : piece.b]
            share = sum(p.params for p in own) / whole if whole else 0.0
            work = sum(p.flops for p in own) / all_flops if all_flops else 0.0
            text = f"{own[0].name}..{own[-1].name}" if len(own) > 1 else own[0].name
            for rank in piece.ranks:
                found.append(Holding(rank, name, model.kind, text, round(total * share), flops * work))
    return found


def _flops(node: Call, graph: Graph, registry: Registry) -> float:
    model = graph.models[node.model]
    kind = registry.get(model.kind)
    assert isinstance(kind, ModelType)
    return call_flops(node, model, kind)


def program(graph: Graph, registry: Registry, plan: Plan, rank: int = 0) -> Program:
    """The Program of one request for all outputs, as the interpreter gets it."""
    refs = {name: output.ref for name, output in graph.outputs.items()}
    needs = select(Flow(graph), list(refs.values()))
    blocks = Blocks(graph, registry, plan, needs, Wishes(refs))
    stream = Stream(blocks, "0", repeat_task)
    start = stream.start().values()
    return project(order([stream.tasks()], plan.ranks, start=start), rank)


def lines(items: Iterable[Instruction], depth: int = 0) -> Iterator[str]:
    """One line an instruction; turns of a loop that do the same are told once, followed by `x n`."""
    steps = [i for i in items if not isinstance(i, Free)]
    for (loop, _), group in groupby(steps, key=lambda i: _turn_key(i, depth)):
        body = list(group)
        if loop is None:
            yield from (text for item in body for text in _line(item, depth))
            continue
        turns = [list(turn) for _, turn in groupby(body, key=lambda i: _step(i)[depth])]
        shown = [tuple(lines(turn, depth + 1)) for turn in turns]
        indent = "  " * depth
        at = 0
        for same, run in groupby(shown):
            count = len(list(run))
            last = f"..{at + count - 1}" if count > 1 else ""
            yield f"{indent}turn {at}{last}" + (f"  x {count}" if count > 1 else "")
            yield from same
            at += count


def _turn_key(item: Instruction, depth: int) -> tuple[bool | None, int]:
    return (True, depth) if len(_step(item)) > depth else (None, depth)


def _step(item: Instruction) -> tuple[int, ...]:
    if isinstance(item, Run):
        return item.at.step
    if isinstance(item, Send | Recv):
        return item.value.step
    return item.step if isinstance(item, Repeat) else ()


def _line(item: Instruction, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(item, Run):
        what = " ".join(map(str, item.fn))
        if item.fn[0] in PLUMBING:
            what += " " + ", ".join(dict.fromkeys(value.name for _, value in item.reads))
        yield f"{indent}{what}" + (f" -> {', '.join(key for key, _ in item.writes)}" if item.writes else "")
    elif isinstance(item, Send):
        yield f"{indent}send {item.value.name} to rank {item.to}"
    elif isinstance(item, Recv):
        yield f"{indent}receive {item.value.name} from rank {item.source}"
    elif isinstance(item, Repeat):
        flag = item.flag.name if item.flag else "the end"
        yield f"{indent}repeat {item.node} until {flag}, at most {item.limit} turns"
        yield from lines(item.body, depth + 1)


def describe_plan(graph: Graph, registry: Registry, plan: Plan) -> dict[str, Any]:
    """The plan as plain data: for each rank what it holds and the lines of its Program."""
    held = holdings(graph, registry, plan)
    return {
        "ranks": [
            {
                "rank": rank,
                "holds": [h.__dict__ for h in held if h.rank == rank],
                "program": list(lines(program(graph, registry, plan, rank))),
            }
            for rank in range(plan.ranks)
        ],
        "plan": plan.dump(),
    }
