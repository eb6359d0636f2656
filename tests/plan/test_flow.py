"""Links followed to the nodes that write them."""

from __future__ import annotations

import pytest

from mmm_graph.graph.graph import Loop, Ref
from mmm_graph.plan.flow import Flow
from tests.runtime.graphs import NESTED
from tests.runtime.toys import toy_graph


def test_writers_behind_carries_and_loop_outputs() -> None:
    flow = Flow(toy_graph(NESTED))
    inner = flow.sites["outer/inner/half"].scope
    assert flow.writers(Ref("$carry", "y"), inner) == {
        Ref("$in", "x"),
        Ref("outer/up", "y"),
        Ref("outer/inner/half", "x"),
    }
    assert flow.writers(Ref("outer", "all"), ()) == {Ref("outer/up", "y")}
    assert flow.name(Ref("$carry", "y"), inner) == "outer/inner.$carry.y"
    assert [loop.path for loop in flow.home(Ref("$carry", "x"), inner)] == ["outer"]


def test_conditions_of_a_node_are_those_around_it_too() -> None:
    flow = Flow(
        toy_graph("""
mmm: 1
inputs: {x: "Latents[b,l,3]", a: Bool, b: Bool}
nodes:
  outer:
    when: $in.a
    loop:
      max: 2
      carry: {x: $in.x}
      nodes: {up: {op: toy.double, in: {x: $carry.x}, when: $in.b}}
      next: {x: up}
outputs: {x: outer.x}
""")
    )
    assert [str(ref) for ref, _ in flow.conditions("outer/up")] == ["$in.a", "$in.b"]


def test_a_port_that_a_loop_does_not_have() -> None:
    flow = Flow(toy_graph(NESTED))
    assert isinstance(flow.sites["outer"].node, Loop)
    with pytest.raises(KeyError, match="no output 'zzz'"):
        flow.writers(Ref("outer", "zzz"), ())
