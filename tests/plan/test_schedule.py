"""The global order: lazy, the stream's own order on one rank, a pipeline on several."""

from __future__ import annotations

from itertools import islice
from typing import Any

from mmm_graph.plan.expand import Stream
from mmm_graph.plan.ops import At, Repeat, Task, Value
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.repeat import repeat_task
from mmm_graph.plan.schedule import Schedule, order
from tests.plan.cases import Case
from tests.plan.helpers import REGISTRY, make_blocks
from tests.runtime.toys import toy_graph


def tasks(name: str, num: int, ranks: tuple[int, ...], cost: float = 1.0) -> Any:
    """A chain of `num` tasks that walks over the ranks, each reading what the one before wrote."""
    for i in range(num):
        reads = ((("x", Value(name, "v", (i - 1,))),),) if i else ((),)
        value = Value(name, "v", (i,))
        yield (
            Task(
                (name, i),
                (ranks[i % len(ranks)],),
                ("op", "n"),
                reads,
                ((("x", value),),),
                (At(name, "n"),),
                cost,
            ),
            ((Value(name, "v", (i - 1,)),) if i else ()),
        )


def test_a_thousand_steps_are_not_made_at_once() -> None:
    for placement in (None, {"unet": [([0], 0, 3), ([1], 3, 6)]}):
        graph = toy_graph(steps=10**9)
        blocks = make_blocks(graph, make_plan(graph, REGISTRY, placement))
        stream = Stream(blocks, "0", repeat_task)
        start = {Value("0", n) for n in blocks.start}
        found = list(islice(order([stream.tasks()], blocks.plan.ranks, start=start), 500))
        assert len(found) == 500


def test_one_rank_is_request_after_request_as_the_general_rule_says() -> None:
    def streams() -> list[Any]:
        return [tasks("a", 5, (0,)), tasks("b", 4, (0,), 0.1)]

    simple = [t.id for t in order(streams(), 1) if isinstance(t, Task)]
    general = [t.id for t in Schedule(streams(), (), lambda v: False).run() if isinstance(t, Task)]
    assert simple == general == [("a", i) for i in range(5)] + [("b", i) for i in range(4)]


def test_two_requests_fill_two_ranks() -> None:
    found = [t for t in order([tasks("a", 6, (0, 1)), tasks("b", 6, (0, 1))], 2) if isinstance(t, Task)]
    by_rank = {r: [t.id[0] for t in found if t.ranks == (r,)] for r in (0, 1)}
    assert by_rank == {0: list("ababab"), 1: list("ababab")}


def test_the_order_does_not_depend_on_the_window_for_one_stream() -> None:
    graph = toy_graph(steps=4)
    plan = make_plan(graph, REGISTRY, {"unet": [([0], 0, 3), ([1], 3, 6)]})

    def ids(window: int) -> list[Any]:
        blocks = make_blocks(graph, plan)
        start = {Value("0", n) for n in blocks.start}
        stream = Stream(blocks, "0", repeat_task).tasks()
        return [
            t.id
            for t in order([stream], 2, start=start, window=window)
            if isinstance(t, Task) and t.ranks == (1,)
        ]

    assert ids(4) == ids(64)


def test_what_every_rank_does_for_itself_does_not_wait_until_all_are_free() -> None:
    """Or the requests behind one that keeps a rank busy would never begin."""
    found = [t for t in Case(steps=(6, 6), patches=1).sequence if isinstance(t, Task) and t.fn[0] == "slice"]
    turns = [(t.at[0].request, t.at[0].step) for t in found]
    assert turns.index(("1", (0,))) < turns.index(("0", (2,)))


def test_no_more_requests_than_may_be_in_flight() -> None:
    case = Case(steps=(2, 4, 1, 3), patches=1, in_flight=2)
    requests = [t.at[0].request for t in case.sequence if isinstance(t, Task)]
    ends = {r: len(requests) - requests[::-1].index(r) for r in set(requests)}
    assert all(requests.index(str(i + 2)) >= sorted(ends.values())[i] for i in range(2))


def test_a_loop_that_one_rank_does_alone_comes_before_what_it_does_itself() -> None:
    """And waits for no other one: the next rank draws for the first request while the second one's loop turns."""

    def stream(name: str) -> Any:
        asked, said, drawn, heard = (Value(name, key) for key in ("asked", "said", "drawn", "heard"))
        at, loop = (At(name, "n"),), Repeat("loop", name, (), (), limit=1)

        def task(key: str, rank: int, read: Value | None, write: Value, **more: Any) -> Task:
            reads = ((("x", read),),) if read is not None else ((),)
            fn = ("repeat", "loop") if more else ("op", "n")
            return Task((name, key), (rank,), fn, reads, ((("x", write),),), at, 1.0, (), **more)

        yield task("ask", 0, None, asked), ()
        yield task("say", 0, asked, said, repeat={0: loop}), (asked,)
        yield task("draw", 1, said, drawn), ()
        yield task("hear", 0, said, heard), (said,)
        yield Task((name, "show"), (0,), ("output", "n"), ((("x", drawn),),), ((),), at), (drawn, heard)

    found = [t for t in order([stream(name) for name in "ab"], 2) if isinstance(t, Task)]
    assert all(t.repeat is None or t.repeat[0].beside == () for t in found)
    by_rank = {r: [" ".join(map(str, t.id)) for t in found if t.ranks == (r,)] for r in (0, 1)}
    assert by_rank == {
        0: ["a ask", "a say", "b ask", "a show", "b say", "a hear", "b show", "b hear"],
        1: ["a draw", "b draw"],
    }
