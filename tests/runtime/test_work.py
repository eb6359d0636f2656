"""A run as a whole: threads, locks, grad mode, failures on ranks."""

from __future__ import annotations

import threading

import pytest
import torch

from mmm_graph.errors import Cancelled, RunError
from mmm_graph.plan.place import make_plan
from mmm_graph.runtime.engine import Request
from tests.runtime.toys import toy_engine, toy_graph, toy_registry

REQUEST = Request("a", {"prompt": ["hi"]})


def test_grad_mode_is_left_as_it_was() -> None:
    graph = toy_graph(steps=1)
    toy_engine(graph).run(graph, [REQUEST])
    assert torch.is_grad_enabled()
    with torch.no_grad():
        toy_engine(graph).run(graph, [REQUEST], train=frozenset(("unet",)))
        assert not torch.is_grad_enabled()


@pytest.mark.dist
def test_a_failure_on_one_rank_ends_the_run() -> None:
    graph = toy_graph(steps=3)
    engine = toy_engine(graph)
    engine.models["vae"].object.lin = None
    plan = make_plan(graph, toy_registry(), {"unet": [([0], 0, 3), ([1], 3, 6)], "vae": [([1], 0, 1)]})
    with pytest.raises(RunError, match="image"):
        engine.run(graph, [REQUEST], plan=plan)


@pytest.mark.dist
def test_cancelling_ends_every_rank() -> None:
    graph = toy_graph(steps=50)
    plan = make_plan(graph, toy_registry(), {"unet": [([0], 0, 3), ([1], 3, 6)]})
    stop = threading.Event()
    with pytest.raises(Cancelled):
        toy_engine(graph).run(
            graph,
            [REQUEST],
            plan=plan,
            cancel=stop.is_set,
            on_event=lambda e: stop.set() if e.kind == "loop_step" and e.step == 2 else None,
        )


def test_two_threads_take_turns() -> None:
    graph = toy_graph(steps=2)
    engine = toy_engine(graph, cache_bytes=0)
    expected = {
        seed: engine.run(graph, [Request("a", {"prompt": ["hi"]}, (seed,))])["a"].values["image"]
        for seed in range(4)
    }
    found: dict[int, torch.Tensor] = {}

    def work(seed: int) -> None:
        found[seed] = engine.run(graph, [Request("a", {"prompt": ["hi"]}, (seed,))])["a"].values["image"]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[seed], expected[seed]) for seed in range(4))


@pytest.mark.dist
@pytest.mark.parametrize("ranks", [1, 2])
def test_nothing_is_left_of_a_request(ranks: int) -> None:
    graph = toy_graph(steps=2)
    engine = toy_engine(graph)
    plan = make_plan(graph, toy_registry(), {"unet": [([0], 0, 3), ([ranks - 1], 3, 6)]})
    engine.run(graph, [REQUEST, Request("b", {"prompt": ["ho"]})], plan=plan)
    (prepared,) = engine._preparer._kept.values()
    assert len(prepared.binders) == ranks
    assert not any(binder.context.seeds for binder in prepared.binders.values())
