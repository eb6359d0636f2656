"""Blocks unrolled into tasks: names of values, and where they die."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.graph import Loop
from mmm_graph.plan.expand import Stream
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.repeat import repeat_task
from tests.plan.helpers import REGISTRY, make_blocks
from tests.runtime.toys import toy_graph


def test_every_turn_has_values_of_its_own() -> None:
    stream = Stream(make_blocks(toy_graph(steps=3)), "r", repeat_task)
    tasks = [t for t, _ in stream.tasks() if t is not None]
    steps = [t for t in tasks if t.fn == ("op", "denoise/step")]
    assert [t.at[0].step for t in steps] == [(0,), (1,), (2,)]
    reads = [dict(t.reads[0])["state"] for t in steps]
    assert [(v.name, v.step) for v in reads] == [
        ("start.state", ()),
        ("denoise/step.state", (0,)),
        ("denoise/step.state", (1,)),
    ]
    assert len({t.id for t in tasks}) == len(tasks)


def test_values_die_once_and_after_their_last_reader() -> None:
    stream = Stream(make_blocks(toy_graph(steps=3)), "r", repeat_task)
    dead: set[object] = set()
    for task, gone in stream.tasks():
        assert task is None or not dead & {v for reads in task.reads for _, v in reads}
        assert not dead & set(gone)
        dead |= set(gone)
    assert not stream.env, "every name is gone at the end"


def test_calls_of_one_step_are_chained_where_there_are_ranks() -> None:
    graph = toy_graph(steps=2)
    plan = make_plan(graph, REGISTRY, {"unet": [([0], 0, 3), ([1], 3, 6)]})
    tasks = [t for t, _ in Stream(make_blocks(graph, plan), "r", repeat_task).tasks() if t is not None]
    first, second = (t for t in tasks if t.fn == ("op", "denoise/step"))
    assert second.after == (first.id,)


def test_a_loop_of_unknown_length_is_refused() -> None:
    graph = toy_graph()
    nodes = tuple(replace(n, count=None) if isinstance(n, Loop) else n for n in graph.nodes)
    with pytest.raises(InputError, match=r"E506.*how often denoise turns"):
        list(Stream(make_blocks(replace(graph, nodes=nodes)), "r", repeat_task).tasks())
