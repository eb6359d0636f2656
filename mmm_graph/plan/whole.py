"""A graph under a plan -> its blocks and the global order of some alike requests: what is told, simulated and drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mmm_graph.graph.graph import Graph
from mmm_graph.plan.block import Blocks, Wishes
from mmm_graph.plan.expand import Stream
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.place import Plan
from mmm_graph.plan.repeat import repeat_task
from mmm_graph.plan.schedule import Step, order
from mmm_graph.plan.select import select
from mmm_graph.plan.shard import ShardStream
from mmm_graph.plan.steady import Steady
from mmm_graph.registry.registry import Registry


def whole_blocks(graph: Graph, registry: Registry, plan: Plan) -> Blocks:
    """The blocks of a request that wants all outputs."""
    refs = {name: output.ref for name, output in graph.outputs.items()}
    needs = select(Flow(graph), list(refs.values()))
    return Blocks(graph, registry, plan, needs, Wishes(refs))


def whole_order(
    blocks: Blocks, requests: int = 1, symbols: Mapping[str, int] | None = None
) -> Iterator[Step]:
    """The order that every rank follows, for requests called "0", "1" ...

    Args:
        symbols: lengths of axes that the file leaves open.

    Raises:
        InputError: E515, rows are shared of an image whose height nobody knows; E516, it cannot be cut so.
    """
    plan = blocks.plan
    streams = [_stream(blocks, str(i), symbols or {}) for i in range(requests)]
    start = [value for stream in streams for value in stream.start().values()]
    return order(
        [stream.tasks() for stream in streams],
        plan.ranks,
        start=start,
        steady=Steady(blocks) if plan.ranks > 1 else lambda value: False,
        in_flight=plan.in_flight,
    )


def _stream(blocks: Blocks, request: str, symbols: Mapping[str, int]) -> Stream:
    if blocks.plan.is_plain:
        return Stream(blocks, request, repeat_task)
    return ShardStream(blocks, request, repeat_task, symbols)


def node_of(flow: Flow, name: str) -> str:
    """Path of the node whose value has that name; "" for an input."""
    for i, char in enumerate(name):
        if char == "." and name[:i].rstrip("&") in flow.sites:
            return name[:i].rstrip("&")
    return ""
