"""Graphs that are kept prepared, and plans carried over."""

from __future__ import annotations

from mmm_graph.plan.place import make_plan
from mmm_graph.runtime.engine import Engine, Request
from mmm_graph.runtime.prepare import KEPT, Call
from tests.runtime.toys import toy_engine, toy_graph, toy_registry

ALL = Call(None, {}, frozenset(), None, False)
REQUEST = Request("a", {"prompt": ["x"]})


def test_the_same_question_is_prepared_once() -> None:
    graph = toy_graph()
    preparer = toy_engine(graph, cache_bytes=0)._preparer
    first = preparer.job(graph, REQUEST, ALL).prepared
    assert preparer.job(graph, REQUEST, ALL).prepared is first
    assert preparer.job(graph, REQUEST, ALL._replace(outputs=("noise",))).prepared is not first
    assert preparer.job(toy_graph(), REQUEST, ALL).prepared is not first


def test_not_too_many_are_kept() -> None:
    graph = toy_graph()
    preparer = toy_engine(graph, cache_bytes=0)._preparer
    for _ in range(KEPT + 5):
        preparer.job(toy_graph(steps=1), REQUEST, ALL)
    assert len(preparer._kept) == KEPT


def test_training_does_not_join_calls() -> None:
    graph = toy_graph()
    preparer = toy_engine(graph)._preparer
    assert preparer.job(graph, REQUEST, ALL).prepared.blocks.batches
    assert not preparer.job(graph, REQUEST, ALL._replace(train=frozenset(("unet",)))).prepared.blocks.batches


def test_a_plan_serves_graphs_it_was_not_made_for() -> None:
    graph, other = toy_graph(), toy_graph(steps=2)
    plan = make_plan(graph, toy_registry(), {"unet": [([0], 0, 3), ([1], 3, 6)]}, branches="turn")
    made = toy_engine(graph)._preparer.job(other, REQUEST, ALL._replace(plan=plan)).prepared.blocks.plan
    assert made == plan


def test_a_model_that_was_replaced_is_forgotten() -> None:
    graph = toy_graph(steps=1)
    models = dict(toy_engine(graph).models)
    engine = Engine(toy_registry(), models, cache_bytes=0)
    before = engine.run(graph, [REQUEST])["a"].values["image"]
    models["vae"] = toy_engine(toy_graph(), toy_registry()).models["vae"]
    models["vae"].object.lin.bias.data.add_(1.0)
    assert not engine.run(graph, [REQUEST])["a"].values["image"].equal(before)
