"""Programs of toy graphs, and the properties that every set of Programs must have."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mmm_graph.graph.graph import Graph, Ref
from mmm_graph.plan.block import Blocks, Wishes
from mmm_graph.plan.expand import Stream
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.lower import project
from mmm_graph.plan.ops import Free, Instruction, Recv, Repeat, Run, Send, Value
from mmm_graph.plan.place import Plan, make_plan
from mmm_graph.plan.repeat import repeat_task
from mmm_graph.plan.schedule import WINDOW, order
from mmm_graph.plan.select import select
from tests.runtime.toys import toy_registry

REGISTRY = toy_registry()


def make_blocks(graph: Graph, plan: Plan | None = None, **wishes: Any) -> Blocks:
    outputs: Mapping[str, Ref] = wishes.pop("outputs", {k: v.ref for k, v in graph.outputs.items()})
    needs = select(
        Flow(graph), list(outputs.values()), wishes.get("given", ()), watched=wishes.get("watched", False)
    )
    return Blocks(graph, REGISTRY, plan or make_plan(graph, REGISTRY), needs, Wishes(outputs, **wishes))


def sequence(blocks: Sequence[Blocks], window: int = WINDOW) -> list[Any]:
    streams = [Stream(b, str(i), repeat_task) for i, b in enumerate(blocks)]
    start = {Value(s.request, n) for s, b in zip(streams, blocks, strict=True) for n in b.start}
    return list(order([s.tasks() for s in streams], blocks[0].plan.ranks, start=start, window=window))


def programs(blocks: Sequence[Blocks], window: int = WINDOW) -> dict[int, list[Instruction]]:
    whole = sequence(blocks, window)
    return {rank: list(project(whole, rank)) for rank in range(blocks[0].plan.ranks)}


def check_messages(found: Mapping[int, Sequence[Instruction]]) -> None:
    """Each receive has one send, and both ends of an edge list them in one order."""
    sent: dict[Any, list[Value]] = defaultdict(list)
    received: dict[Any, list[Value]] = defaultdict(list)
    for rank, program in found.items():
        for item in program:
            if isinstance(item, Send):
                assert item.to != rank, "nothing is sent to oneself"
                sent[(rank, item.to, item.late)].append(item.value)
            if isinstance(item, Recv):
                received[(item.source, rank, item.late)].append(item.value)
    assert sent == received
    assert all(n == 1 for edge in sent.values() for n in Counter(edge).values())
    inner = {r: [j for i in p if isinstance(i, Repeat) for j in (i, *i.beside)] for r, p in found.items()}
    for node in {(i.request, i.node, i.step) for items in inner.values() for i in items}:
        bodies = {
            r: i.body for r, items in inner.items() for i in items if (i.request, i.node, i.step) == node
        }
        check_messages(bodies)
        check_blocking(bodies)


def check_blocking(found: Mapping[int, Sequence[Instruction]]) -> None:
    """No dead-lock when every send waits until its receive is posted, and a Run for its messages."""
    at = dict.fromkeys(found, 0)
    posted: set[tuple[Value, int]] = set()
    sent: set[tuple[Value, int]] = set()
    mine = {r: {i.value for i in p if isinstance(i, Recv)} for r, p in found.items()}
    moved = True
    while moved:
        moved = False
        for rank, program in found.items():
            while at[rank] < len(program):
                item = program[at[rank]]
                if isinstance(item, Run) and any(
                    v in mine[rank] and (v, rank) not in sent for _, v in item.reads
                ):
                    break
                if isinstance(item, Send):
                    if (item.value, item.to) not in posted:
                        break
                    sent.add((item.value, item.to))
                if isinstance(item, Recv):
                    posted.add((item.value, rank))
                at[rank] += 1
                moved = True
    assert all(at[r] == len(p) for r, p in found.items()), "dead-lock"


def check_lifetimes(program: Sequence[Instruction], start: set[Value]) -> int:
    """Nothing is read or freed that is not there, nothing is left; returns the most values alive at once."""
    alive, peak = set(start), len(start)
    for item in program:
        if isinstance(item, Run):
            assert all(v in alive for _, v in item.reads), item
            assert not any(v in alive for _, v in item.writes), item
            alive.update(v for _, v in item.writes)
        elif isinstance(item, Recv):
            assert item.value not in alive
            alive.add(item.value)
        elif isinstance(item, Send):
            assert item.value in alive
        elif isinstance(item, Repeat):
            alive.update(v for v, _ in item.out)
            alive.update(v for v, _, _ in item.collect)
        elif isinstance(item, Free):
            assert all(v in alive for v in item.values), item
            alive.difference_update(item.values)
        peak = max(peak, len(alive))
    assert alive <= start, alive - start
    return peak
