"""Tasks in pieces: warm-up, the switch to patches, rows and shares of members, what is copied and forgotten."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.plan.axes import Axes
from mmm_graph.plan.ops import ALL, At, Task, Value
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.repeat import repeat_task
from mmm_graph.plan.shard import ShardStream
from mmm_graph.plan.whole import whole_blocks, whole_order
from mmm_graph.spec.plan import LoopPlan
from tests.plan.cases import Case, assert_same
from tests.plan.test_properties import check_all, tasks
from tests.plan.toys import DRAW, GIVEN, NESTED, SHARD_REGISTRY, TWICE, UNIT, UNTIL, shard_graph


def places(case: Case, node: str) -> list[At]:
    return [at for task in tasks(case) for at in task.at if at.node == node and task.fn[0] in ("slice", "op")]


def test_the_warm_up_is_whole_then_patches() -> None:
    case = Case(groups=(0,), steps=(3,), patches=2)
    found = [(at.step, at.patch, at.spans, at.sync) for at in places(case, "denoise/pc")]
    whole = [((0,), ALL, ((0, 16),), True)]
    assert found == whole + [
        ((t,), p, (span,), False) for t in (1, 2) for p, span in enumerate(((0, 8), (8, 16)))
    ]


def test_everything_that_a_body_shares_is_cut_at_the_same_rows() -> None:
    """The update could be cut at any row, the denoiser at every second: 10 rows in two patches are 6 and 4."""
    case = Case(groups=(0,), patches=2, units=5)
    spans = {node: {at.spans[0] for at in places(case, f"denoise/{node}")} for node in ("pc", "pred", "step")}
    assert spans["pc"] == spans["pred"] == spans["step"] == {(0, 10), (0, 6), (6, 10)}


def test_members_have_their_rows_and_exact_plans_say_so() -> None:
    case = Case(groups=(0,), patches=1, sizes=(("patch", 2),), warmup="all")
    found = places(case, "denoise/pc")
    assert {(at.member, at.spans, at.total, at.sync) for at in found} == {
        (m, ((0, 8), (8, 16)), 16, True) for m in (0, 1)
    }


def test_text_is_with_the_first_member_of_the_first_patch() -> None:
    case = Case(joint=True, sizes=(("patch", 2),), patches=2, steps=(2,))
    for task in tasks(case):
        if task.fn[:2] == ("slice", "denoise/pc") and task.fn[2]:
            has = [any(key == "text" for key, _ in reads) for reads in task.reads]
            assert has == [at.patch <= 0 and at.member == 0 for at in task.at]


def test_a_step_that_needs_the_whole_is_done_once_for_all_patches() -> None:
    case = Case(groups=(0,), patches=4, pointwise=False)
    steady = [at.patch for at in places(case, "denoise/step") if at.step == (2,)]
    assert steady == [ALL] and len([at for at in places(case, "denoise/pred") if at.step == (2,)]) == 4
    joined = [t for t in tasks(case) if t.fn == ("copy", "join", "rows") and t.at[0].node == "denoise/step"]
    assert len(joined) == 3  # in each turn in patches


def test_parts_of_a_batch_one_after_the_other() -> None:
    case = Case(groups=(0,), patches=1, microbatches=3, steps=(1,))
    assert [at.share for at in places(case, "denoise/pc")] == [(0, 3), (1, 3), (2, 3)]
    made = [v for t in tasks(case) for writes in t.writes for _, v in writes]
    assert len(made) == len(set(made)), "nothing is made twice, what is not of the batch neither"


def test_what_cannot_be_cut_is_found_before_anything_runs() -> None:
    """Two patches of two ranks need four units of rows; the image, an input, brings its height."""
    placement, axes = {"net": [((0, 1), 0, 6)]}, {"net": Axes((("patch", 2),))}
    graph = shard_graph(GIVEN)
    plan = make_plan(graph, SHARD_REGISTRY, placement, axes=axes, loops={"denoise": LoopPlan(patches=2)})
    blocks = whole_blocks(graph, SHARD_REGISTRY, plan)

    def check(**symbols: int) -> None:
        ShardStream(blocks, "0", repeat_task, symbols).check()

    check(**{":h": 4 * UNIT, ":w": 2})
    for height, message in (
        (3 * UNIT, "E516.*patch 1 of 2"),
        (UNIT, "E516.*at most 1"),
        (4 * UNIT + 1, "not a whole number"),
    ):
        with pytest.raises(InputError, match=message):
            check(**{":h": height, ":w": 2})
    with pytest.raises(InputError, match="E515"):
        check()


def test_costs_follow_the_rows() -> None:
    costs = {
        t.at[0].patch: t.cost
        for t in tasks(Case(groups=(0,), patches=2, units=5))
        if t.fn[1:2] == ("denoise/pc",)
    }
    assert costs[0] == pytest.approx(0.6 * costs[ALL]) and costs[1] == pytest.approx(0.4 * costs[ALL])
    halves = [
        t.cost
        for t in tasks(Case(groups=(0,), patches=1, sizes=(("tensor", 2),)))
        if t.fn[1:2] == ("denoise/pc",)
    ]
    assert halves[0] == pytest.approx(costs[ALL] / 2)


def test_each_loop_forgets_on_its_own_ranks() -> None:
    """The place names the loop: another loop of the request may be under way."""
    case = Case(text=TWICE, patches=2, loops={"again": LoopPlan(patches=2)})
    forgotten = [(t.at[0].node, t.ranks) for t in tasks(case) if t.fn == ("forget",)]
    assert forgotten == [("denoise", (0, 1)), ("again", (0, 1))]
    assert_same(case.values(), case.expected())


def test_a_pipelined_loop_in_a_loop_warms_up_each_time() -> None:
    case = Case(text=NESTED, steps=(3,), loops={"outer/denoise": LoopPlan(patches=2)})
    steps = [(at.step, at.patch) for at in places(case, "outer/denoise/pc") if at.member == 0]
    assert [s for s in dict.fromkeys(steps) if s[1] == ALL] == [((0, 0), ALL), ((1, 0), ALL)]
    assert_same(case.values(), case.expected())
    assert sum(t.fn == ("forget",) for t in tasks(case)) == 2


def test_a_loop_until_reads_whole_values() -> None:
    case = Case(text=UNTIL, patches=1, sizes=(("patch", 2),), microbatches=2, loops={})
    (repeat,) = [t for t in tasks(case) if t.repeat is not None]
    assert all(v.span is None and v.share == (0, 1) for reads in repeat.reads for _, v in reads)
    assert {r.node for r in repeat.repeat.values()} == {"denoise"}  # type: ignore[union-attr]


def test_an_image_that_cannot_be_cut_so() -> None:
    with pytest.raises(InputError, match=r"E516.*patch 0 of 4 of denoise/pc cannot be cut into 2 pieces"):
        list(Case(patches=4, sizes=(("patch", 2),), units=4).sequence)


def test_displaced_patches_are_stale_after_the_warm_up() -> None:
    graph = shard_graph(steps=3)
    plan = make_plan(
        graph, SHARD_REGISTRY, {"net": [((0, 1), 0, 6)]},
        axes={"net": Case(sizes=(("patch", 2),)).plan.axes["net"]}, loops={"denoise": LoopPlan(warmup=2)},
    )  # fmt: skip
    order = whole_order(whole_blocks(graph, SHARD_REGISTRY, plan))
    sync = [t.at[0].sync for t in order if isinstance(t, Task) and t.fn[1:2] == ("denoise/pc",)]
    assert sync == [True, True, False]


def test_the_latents_may_be_an_input() -> None:
    case = Case(text=DRAW.replace("inputs:", 'inputs:\n  x: "Latents[b,4,8,8]"').replace("{x: noise}}", "{x: $in.x}}"),
                units=4, patches=1, sizes=(("data", 2), ("patch", 2)))  # fmt: skip
    check_all(case)
    cut = [t for t in tasks(case) if t.fn[:2] == ("copy", "cut")]
    assert {v.name for t in cut for _, v in t.reads[0]} == {"$in.x"}
    assert Value("0", "$in.x") in case.start
