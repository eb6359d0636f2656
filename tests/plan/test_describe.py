"""A plan as plain data."""

from __future__ import annotations

import json

import pytest

from mmm_graph.errors import InputError
from mmm_graph.plan.axes import Axes
from mmm_graph.plan.describe import default_batch, describe_plan, program
from mmm_graph.plan.place import make_plan
from tests.plan.cases import Case
from tests.plan.toys import DRAW, GIVEN, SHARD_REGISTRY, shard_graph


def test_it_can_be_dumped_and_holds_everything() -> None:
    case = Case(sizes=(("cfg", 2),), steps=(4,))
    told = describe_plan(case.graphs[0], SHARD_REGISTRY, case.plan, 3)
    data = json.loads(json.dumps(told.data))
    assert data.keys() == {"batch", "requests", "in_flight", "ranks", "loops", "plan", "simulated"}
    assert (data["batch"], data["requests"], data["in_flight"], len(data["ranks"])) == (3, 3, 3, 4)
    assert data["ranks"][0].keys() == {
        "rank", "holds", "value_bytes", "unknown", "exchanges", "sends", "program", "peak",
    }  # fmt: skip
    assert data["loops"][0]["streams"] == 3 and 0 < data["loops"][0]["efficiency"] <= 1
    assert 0 < data["simulated"]["efficiency"] <= 1 and told.timeline is not None
    assert {r["to"] for r in data["ranks"][0]["sends"]} == {1, 2, 3}
    assert data["plan"]["axes"]["net"]["sizes"] == [["cfg", 2]]


def test_the_program_is_what_the_interpreter_gets() -> None:
    case = Case()
    assert list(program(case.graphs[0], SHARD_REGISTRY, case.plan, 1)) == case.programs[1]


def test_one_rank_without_a_plan() -> None:
    graph = shard_graph()
    data = describe_plan(graph, SHARD_REGISTRY, make_plan(graph, SHARD_REGISTRY)).data
    assert data["loops"] == [] and data["ranks"][0]["sends"] == []
    assert data["simulated"]["efficiency"] == pytest.approx(1)


def test_a_height_that_only_requests_know_leaves_the_schedule_untold() -> None:
    graph = shard_graph(GIVEN)
    plan = make_plan(graph, SHARD_REGISTRY, {"net": [((0, 1), 0, 6)]}, axes={"net": Axes((("patch", 2),))})
    told = describe_plan(graph, SHARD_REGISTRY, plan)
    assert "not known before the graph runs" in told.data["untold"] and told.timeline is None
    assert told.data["ranks"][1]["holds"] and told.data["ranks"][1]["program"] == []


def test_other_refusals_are_raised() -> None:
    case = Case(patches=4, sizes=(("patch", 2),), units=4)
    with pytest.raises(InputError, match="E516"):
        describe_plan(case.graphs[0], SHARD_REGISTRY, case.plan)


def test_the_batch_is_that_of_the_defaults() -> None:
    assert default_batch(shard_graph()) == 3
    assert default_batch(shard_graph(DRAW.replace("[a, b, c]", '""').replace("[x, y, z]", '""'))) is None
