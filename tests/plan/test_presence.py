"""From which turn on a loop's values come and go no more."""

from __future__ import annotations

import pytest

from mmm_graph.plan.flow import Flow
from mmm_graph.plan.presence import Presence
from mmm_graph.plan.select import select
from tests.plan.toys import NESTED, SHARD_REGISTRY, shard_graph
from tests.runtime.graphs import HALVING, INSIDE
from tests.runtime.toys import toy_graph, toy_registry

HEAD = 'mmm: 1\nname: toy\ninputs: {x: "Latents[b,5,3]", y: "Latents[b,5,3]?"}\n'


def settled(loop: str, text: str) -> int | None:
    graph = toy_graph(text)
    flow = Flow(graph)
    needs = select(flow, [o.ref for o in graph.outputs.values()])
    return Presence(flow, toy_registry(), needs.carry).settled(loop)


def turning(carry: str, nodes: str, following: str) -> str:
    body = f"max: 9, carry: {{{carry}}}, nodes: {{{nodes}}}, next: {{{following}}}"
    return f"{HEAD}nodes: {{turn: {{loop: {{{body}}}}}}}\noutputs: {{a: turn.a}}\n"


BOTH = "a: $in.x, b: $in.y"
CASES = {
    "one": (turning("a: $in.x", "d: {op: toy.double, in: {x: $carry.a}}", "a: d"), 1),
    "outside": (turning("a: $in.x", "d: {op: toy.double, in: {x: $in.x}}", "a: d"), 1),
    "chain": (turning(BOTH, "d: {op: toy.double, in: {x: $in.x}}", "a: $carry.b, b: d"), 2),
    "places": (turning(BOTH, "d: {op: toy.double, in: {x: $carry.a}}", "a: $carry.b, b: d"), None),
    "optional": (
        turning(BOTH, "d: {op: toy.double, in: {x: $carry.a, extra: $carry.b}}", "a: d, b: d"),
        None,
    ),
    "condition": (
        turning("a: $in.x", "h: {op: toy.halve, in: {x: $carry.a}}, d: {op: toy.double, in: {x: h.x}, when: h.small}",
                "a: d"), None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "turn"), CASES.values(), ids=CASES)
def test_turns(text: str, turn: int | None) -> None:
    assert settled("turn", text) == turn


def test_what_is_routed_may_have_no_rows() -> None:
    nodes = "k: {op: toy.keep, in: {x: $carry.a, above: $in.above}}"
    text = turning("a: $in.x", nodes, "a: k.x").replace("inputs: {", "inputs: {above: Scalar, ")
    assert settled("turn", text) is None


def test_loops_in_loops() -> None:
    assert settled("outer", INSIDE) == 1
    assert settled("outer/inner", INSIDE) == 1
    assert settled("halve", HALVING) == 1
    graph = shard_graph(NESTED)
    presence = Presence(Flow(graph), SHARD_REGISTRY, {"outer": ["x"], "outer/denoise": ["state", "x", "t"]})
    assert presence.settled("outer") == presence.settled("outer/denoise") == 1
    half = "nodes: {h: {op: toy.halve, in: {x: $carry.b}}}, next: {b: h.x}"
    inner = f"i: {{loop: {{max: 2, carry: {{b: $carry.a}}, {half}}}}}"
    assert settled("turn", turning("a: $in.x", inner, "a: i.b")) == 1
    until = inner.replace("max: 2", "max: 2, until: h.small")
    assert settled("turn", turning("a: $in.x", until, "a: i.b")) is None
