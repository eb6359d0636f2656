"""What a plan means for a loop, in words."""

from __future__ import annotations

from typing import Any

import pytest

from mmm_graph.plan.axes import Axes
from mmm_graph.plan.pipeline import Pipeline, pipelines
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.whole import whole_blocks
from mmm_graph.spec.plan import LoopPlan
from tests.plan.cases import Case
from tests.plan.toys import SHARD_REGISTRY, UNTIL, shard_graph


def loop_of(case: Case, requests: int = 1) -> Pipeline:
    (found,) = pipelines(case.blocks["0"], requests)
    return found


def test_patches() -> None:
    found = loop_of(Case(steps=(6,), patches=3, warmup=2, microbatches=2, units=9), 3)
    assert list(found.lines()) == [
        "6 evaluations, approximate",
        "warm-up: 2 evaluations on whole images; then 3 patches, those to come one evaluation old",
        "12 streams (2 branches x 2 parts of a batch x 3 requests) flow through 2 stages",
    ]
    assert found.dump()["streams"] == 12 and found.dump()["loop"] == "denoise"


@pytest.mark.parametrize(
    ("options", "exact", "warmup"),
    [
        ({"warmup": "all"}, True, "all evaluations on whole images"),
        ({"warmup": 9}, True, "9 evaluations on whole images"),
        ({"warmup": 0}, False, "none, the first evaluation reads zeros for what it has not seen"),
        (
            {"warmup": 1, "warm": "rows"},
            False,
            "1 evaluation on whole images, whose rows the ranks of all stages share",
        ),
    ],
)
def test_warm_ups(options: dict[str, Any], exact: bool, warmup: str) -> None:
    found = loop_of(Case(patches=2, **options))
    assert found.exact == exact
    assert any(line.startswith(f"warm-up: {warmup};") for line in found.lines())


def test_branches_are_shared_by_cfg_and_requests_bounded() -> None:
    found = loop_of(Case(sizes=(("cfg", 2),), in_flight=2), 5)
    assert (found.branches, found.requests, found.streams) == (1, 2, 2)


def test_displaced_patches_and_exact_ones() -> None:
    graph = shard_graph()
    placement = {"net": [((0, 1), 0, 6)]}
    for displaced in (False, True):
        axes = {"net": Axes((("patch", 2),), displaced)}
        plan = make_plan(graph, SHARD_REGISTRY, placement, axes=axes, loops={"denoise": LoopPlan(warmup=2)})
        (found,) = pipelines(whole_blocks(graph, SHARD_REGISTRY, plan))
        assert found.exact != displaced
        assert ("what other ranks hold is one evaluation old" in found.steady) == displaced


def test_a_loop_on_one_rank_is_not_told_and_one_until_a_flag_is() -> None:
    assert pipelines(Case(groups=(0,), patches=1).blocks["0"])[0].streams == 1  # the case names the loop
    graph = shard_graph()
    assert pipelines(whole_blocks(graph, SHARD_REGISTRY, make_plan(graph, SHARD_REGISTRY))) == []
    assert next(loop_of(Case(text=UNTIL, patches=1)).lines()) == "turns until its flag is true, exact"
