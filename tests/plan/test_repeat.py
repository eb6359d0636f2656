"""A loop until a flag as data: one turn, what is carried, what is left."""

from __future__ import annotations

from mmm_graph.plan.ops import TURN, Free, Repeat, Run
from mmm_graph.plan.place import make_plan
from tests.plan.helpers import REGISTRY, make_blocks, programs
from tests.runtime.graphs import HALVING, NESTED
from tests.runtime.toys import toy_graph


def test_a_turn_is_a_program() -> None:
    (repeat,) = [i for i in programs([make_blocks(toy_graph(HALVING))])[0] if isinstance(i, Repeat)]
    assert repeat.limit == 12 and repeat.flag is not None and repeat.flag.name == "halve/half.small"
    assert [i.fn for i in repeat.body if isinstance(i, Run)] == [("op", "halve/half")]
    assert [v.step for i in repeat.body if isinstance(i, Run) for _, v in i.writes] == [(TURN,)] * 3
    assert {v.name for i in repeat.body if isinstance(i, Free) for v in i.values} == {"halve.$carry.x"}
    assert [(a.name, b.name) for a, b in repeat.enter] == [("halve.$carry.x", "$in.x")]
    assert [(a.name, b.name) for a, b in repeat.carried] == [("halve.$carry.x", "halve/half.x")]
    assert {(a.name, axis) for a, _, axis in repeat.collect} == {("halve.firsts", 1)}


def test_one_for_every_turn_of_the_loop_around_it() -> None:
    repeats = [i for i in programs([make_blocks(toy_graph(NESTED))])[0] if isinstance(i, Repeat)]
    assert [r.step for r in repeats] == [(0,), (1,), (2,)]


def test_every_member_knows_the_flag_and_only_readers_get_the_carry() -> None:
    graph = toy_graph(HALVING)
    plan = make_plan(graph, REGISTRY, nodes={"halve/half": 1, "twice": 0})
    found = programs([make_blocks(graph, plan)])
    here = {rank: [i for i in p if isinstance(i, Repeat)] for rank, p in found.items()}
    assert not here[0] and len(here[1]) == 1  # rank 0 only gets the result
