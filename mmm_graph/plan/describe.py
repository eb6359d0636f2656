"""A plan as plain data: what each rank holds, sends and does, how its loops run, and how busy its ranks would be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmm_graph.errors import InputError
from mmm_graph.graph.graph import Graph
from mmm_graph.plan.block import Blocks
from mmm_graph.plan.holdings import Holding, holdings, resident
from mmm_graph.plan.lower import project
from mmm_graph.plan.memory import Peak, peak_of
from mmm_graph.plan.offload import uses_of, with_leaves
from mmm_graph.plan.ops import Program
from mmm_graph.plan.partners import exchanges
from mmm_graph.plan.pipeline import pipelines
from mmm_graph.plan.place import Plan
from mmm_graph.plan.schedule import Step
from mmm_graph.plan.simulate import Timeline, simulate
from mmm_graph.plan.sizes import Sizes
from mmm_graph.plan.tell import tell
from mmm_graph.plan.traffic import edges_of
from mmm_graph.plan.whole import whole_blocks, whole_order
from mmm_graph.registry.registry import Registry


def program(graph: Graph, registry: Registry, plan: Plan, rank: int = 0) -> Program:
    """The Program of one request for all outputs, as the interpreter gets it."""
    blocks = whole_blocks(graph, registry, plan)
    if plan.offload:
        return rank_program(list(whole_order(blocks)), blocks, rank)
    return project(whole_order(blocks), rank)


@dataclass(frozen=True)
class Description:
    """A plan told.

    Attributes:
        data: plain data; see `describe_plan`.
        timeline: of all requests; None where nobody can say what is cut.
    """

    data: dict[str, Any]
    timeline: Timeline | None


def describe_plan(graph: Graph, registry: Registry, plan: Plan, requests: int = 1) -> Description:
    """For each rank what it holds, sends and does; how loops run; and a simulation by declared costs.

    Sizes are those of the inputs' defaults. Where the height of an image is known only to a request, and rows of it
    are shared, there is no schedule to tell: `untold` says so.

    Args:
        requests: how many are simulated together; what is sent and done is told of one.
    """
    blocks = whole_blocks(graph, registry, plan)
    batch = default_batch(graph)
    sizes = Sizes(blocks, batch or 1)
    in_flight = min(requests, plan.in_flight or requests)
    held, exchanged = holdings(blocks, sizes, in_flight), list(exchanges(blocks, sizes))
    ranks = [
        {"rank": rank, "holds": [h.dump() for h in held if h.rank == rank], "value_bytes": None, "unknown": [],
         "exchanges": [e.dump() for e in exchanged if e.rank == rank], "sends": [], "program": [], "peak": None}
        for rank in range(plan.ranks)
    ]  # fmt: skip
    loops = [pipe.dump() | {"lines": [*pipe.lines()]} for pipe in pipelines(blocks, requests)]
    data = {
        "batch": batch,
        "requests": requests,
        "in_flight": in_flight,
        "ranks": ranks,
        "loops": loops,
        "plan": plan.dump(),
    }
    try:
        sequence = list(whole_order(blocks))
    except InputError as error:
        if any(p.code != "E515" for p in error.problems):
            raise
        return Description({**data, "untold": "; ".join(p.message for p in error.problems)}, None)
    _tell_ranks(ranks, sequence, sizes, held)
    timeline = simulate(blocks, requests=requests)
    for loop in loops:
        depth = len(blocks.flow.sites[loop["loop"]].scope)
        loop["efficiency"] = timeline.within(loop["loop"], depth).efficiency
    return Description({**data, "simulated": _simulated(timeline)}, timeline)


def default_batch(graph: Graph) -> int | None:
    """Elements of the inputs' defaults; None where no input has a list of them."""
    lengths = [len(i.default) for i in graph.inputs.values() if isinstance(i.default, list | tuple)]
    return max(lengths, default=None)


def rank_program(sequence: Sequence[Step], blocks: Blocks, rank: int) -> Program:
    """What a rank does, with the weights that leave."""
    offloaded = blocks.plan.offload
    own = project(sequence, rank)
    return with_leaves(own, uses_of(blocks.flow, offloaded), offloaded) if offloaded else own


def peaks(graph: Graph, registry: Registry, plan: Plan) -> list[Peak] | None:
    """What each rank needs for one request; None where nobody can say what is cut."""
    blocks = whole_blocks(graph, registry, plan)
    sizes = Sizes(blocks, default_batch(graph) or 1)
    held = holdings(blocks, sizes)
    try:
        sequence = list(whole_order(blocks))
    except InputError as error:
        if any(p.code != "E515" for p in error.problems):
            raise
        return None
    programs = [rank_program(sequence, blocks, rank) for rank in range(plan.ranks)]
    return [peak_of(p, sizes, resident(blocks, held, rank)) for rank, p in enumerate(programs)]


def _tell_ranks(
    ranks: Sequence[dict[str, Any]], sequence: Sequence[Step], sizes: Sizes, held: Sequence[Holding]
) -> None:
    blocks = sizes.blocks
    edges = edges_of(sequence, blocks, sizes)
    for rank, found in enumerate(ranks):
        peak = peak_of(rank_program(sequence, blocks, rank), sizes, resident(blocks, held, rank))
        found["value_bytes"], found["unknown"] = peak.bytes, sorted(peak.unknown)
        found["peak"] = {**asdict(peak.worst), "bytes": peak.worst.bytes}
        found["sends"] = [edge.dump() for edge in edges if edge.source == rank]
        found["program"] = list(tell(rank_program(sequence, blocks, rank), blocks))


def _simulated(timeline: Timeline) -> dict[str, Any]:
    return {
        "span_s": timeline.span_s,
        "work_s": timeline.work_s,
        "efficiency": timeline.efficiency,
        "ranks": [
            {"rank": r, "busy_s": timeline.busy_s(r), "waiting_s": timeline.waiting_s(r)}
            for r in range(timeline.ranks)
        ],
    }
