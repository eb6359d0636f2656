"""The simulator against formulas, and against the clock of the schedule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmm_graph.plan.ops import ALL, WHOLE, At, Drop, Move, Task, Value
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.schedule import Schedule
from mmm_graph.plan.simulate import Costs, Measured, kind_of, replay, simulate
from mmm_graph.plan.steady import Steady
from mmm_graph.plan.whole import whole_blocks
from tests.plan.cases import Case, blocks_of
from tests.plan.toys import ALONE, SHARD_REGISTRY, shard_graph


def per_patch(patches: int, stages: int) -> Costs:
    """An evaluation takes a second on one rank; everything but the denoiser is free."""

    def seconds(task: Task, member: int) -> float:
        if task.fn[0] != "slice" or not str(task.fn[1]).startswith("denoise/"):
            return 0.0
        return 1 / stages / (patches if task.at[member].patch != ALL else 1)

    return Costs(seconds)


def loop_of(case: Case, costs: Costs, requests: int = 1):
    return simulate(case.blocks["0"], costs, requests=requests).within("denoise")


@pytest.mark.parametrize(("patches", "groups"), [(4, (0, 1)), (2, (0, 1)), (4, (0, 1, 2)), (3, (0, 1, 2))])
def test_patches_without_warm_up(patches: int, groups: tuple[int, ...]) -> None:
    """M S / (M S + N - 1): no bubble but the start. Source: PipeFusion (arXiv:2405.14430)."""
    steps, stages = 6, len(groups)
    case = Case(steps=(steps,), warmup=0, patches=patches, groups=groups, text=ALONE, units=patches)
    found = loop_of(case, per_patch(patches, stages))
    assert found.efficiency == pytest.approx(patches * steps / (patches * steps + stages - 1))


@pytest.mark.parametrize("warmup", [1, 2])
def test_the_warm_up_goes_stage_by_stage(warmup: int) -> None:
    """T = W T1 + T1 (M (S - W) + N - 1) / (N M)."""
    steps, patches, stages = 8, 4, 2
    case = Case(steps=(steps,), warmup=warmup, patches=patches, text=ALONE)
    found = loop_of(case, per_patch(patches, stages))
    assert found.span_s == pytest.approx(
        warmup + (patches * (steps - warmup) + stages - 1) / (stages * patches)
    )
    assert found.work_s == pytest.approx(steps)


def test_branches_and_requests_fill_the_stages() -> None:
    case = Case(steps=(10,), patches=1)
    costs = per_patch(1, 2)
    assert loop_of(case, costs).efficiency == pytest.approx(
        2 / 3
    )  # two streams wait for each other's guidance
    assert loop_of(case, costs, requests=2).efficiency > 0.75  # the second one gets what the first leaves
    assert loop_of(case, costs, requests=6).efficiency > 0.9


def test_without_exchanges_it_is_the_clock_of_the_schedule() -> None:
    case = Case(steps=(4,), groups=(0, 1, 2), patches=3, units=6)
    blocks = case.blocks["0"]
    streams = [case._stream("0", blocks)]
    schedule = Schedule([s.tasks() for s in streams], case.start, Steady(blocks))
    ends = [schedule.span for item in schedule.run() if isinstance(item, Task)]
    found = replay(case.sequence, case.plan.ranks, Costs())
    assert max(d.end_s for d in found.done) == pytest.approx(max(end for _, end in ends))


def test_what_ranks_do_alike_counts_once() -> None:
    case = Case(sizes=(("tensor", 2),), groups=(0,), patches=1)
    found = simulate(case.blocks["0"], Costs(lambda task, member: 1.0))
    slices = [d for d in found.done if d.task.fn[0] == "slice" and d.at.node == "denoise/pc"]
    assert {found.distinct(d.task) for d in slices} == {2}
    assert {found.distinct(d.task) for d in found.done if d.task.fn == ("op", "noise")} == {1}
    graph = shard_graph(steps=2)
    twice = make_plan(graph, SHARD_REGISTRY, {"net": [((0, 1), 0, 6)]})
    found = simulate(whole_blocks(graph, SHARD_REGISTRY, twice), Costs(lambda task, member: 1.0))
    assert {found.distinct(d.task) for d in found.done} == {1} and found.efficiency < 0.6


def task(name: str, ranks: tuple[int, ...], reads=(), fn: str = "slice") -> Task:
    at = At("0", name)
    value = Value("0", name)
    own = (tuple((str(i), v) for i, v in enumerate(reads)),) * len(ranks)
    return Task((name,), ranks, (fn, name), own, ((("x", value),),) * len(ranks), (at,) * len(ranks), 1.0)


def test_a_gang_starts_when_all_can_and_lasts_as_long_as_the_one_that_does_not_wait() -> None:
    order = [task("a", (0,)), task("both", (0, 1))]
    found = replay(order, 2, Costs(lambda task, member: 3.0 - member))
    both = [d for d in found.done if d.task.id == ("both",)]
    assert [(d.start_s, d.end_s) for d in both] == [(3.0, 5.0)] * 2
    alone = replay([task("a", (0,)), task("both", (0, 1), fn="op")], 2, Costs())
    assert [(d.start_s, d.end_s) for d in alone.done[1:]] == [(1.0, 2.0), (0.0, 1.0)]


def test_messages_take_time_and_may_keep_their_ends() -> None:
    value = Value("0", "a")
    order = [
        task("a", (0,)),
        Move(value, 0, 1),
        task("b", (1,), (value,)),
        task("c", (0,)),
        Drop(1, (value,)),
    ]
    found = replay(order, 2, Costs(move_s=lambda move: 0.5, hold_s=0.25))
    times = {d.task.id[0]: (d.start_s, d.end_s) for d in found.done}
    assert times == {"a": (0, 1), "b": (1.5, 2.5), "c": (1.25, 2.25)}
    assert found.messages[0][1:] == (1.0, 1.5)
    assert found.span_s == 2.5 and found.busy_s(0) == 2 and found.waiting_s(1) == 1.5


def test_measured_costs() -> None:
    one, other = At("0", "n", (1,), 0), At("1", "n", (7,), 0)
    assert kind_of(("slice", "n"), one) == kind_of(("slice", "n"), other)
    costs = Measured.of([(("slice", "n"), one, s) for s in (1.0, 9.0, 2.0)])
    made = task("n", (0,))._replace(fn=("slice", "n"), at=(other,))
    assert costs(made, 0) == 2.0
    assert costs(made._replace(fn=("output", "x")), 0) == 0.0
    with pytest.raises(KeyError):
        costs(made._replace(at=(replace_patch(other),)), 0)


def replace_patch(at: At) -> At:
    return at._replace(patch=1)


def test_a_run_measured_kind_by_kind_is_simulated_as_it_was() -> None:
    """Costs that are known for each kind of Run say how long all takes."""
    case = Case(steps=(5,), sizes=(("cfg", 2),), patches=2)
    blocks = blocks_of(case.graphs[0], case.plan)
    truth = Costs(lambda task, member: 0.1 + hash_of(task, member))
    first = simulate(blocks, truth)
    measured = Measured.of((d.task.fn, d.at, d.end_s - d.start_s) for d in first.done)
    assert simulate(blocks, Costs(measured)).span_s == pytest.approx(first.span_s)
    assert first.efficiency == pytest.approx(first.work_s / (4 * first.span_s))


def hash_of(task: Task, member: int) -> float:
    return sum(map(ord, str((task.fn, task.at[member].patch)))) % 7 / 10


def test_an_empty_timeline() -> None:
    found = replay([], 2, Costs())
    assert (found.span_s, found.work_s, found.efficiency) == (0, 0, 1)
    assert replace(found, ranks=1).busy_s(0) == 0 and WHOLE == (0, 1)
