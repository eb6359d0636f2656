"""Placements: short and long form, and structure that cannot be meant."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mmm_graph.spec.plan import ParallelSpec, PlanSpec, split_placed


def test_the_short_form():
    plan = PlanSpec.model_validate(
        {
            "ranks": 8,
            "pipe": {"mmdit": 4},
            "axes": {
                "mmdit": {"cfg": 2},
                "vae": {"patch": {"size": 8, "mode": "displaced", "group_norm": "corrected"}},
            },
            "loops": {"denoise": {"patches": 4, "warmup": "all"}},
        }
    )
    assert (plan.axes["mmdit"]["cfg"].size, plan.axes["mmdit"]["cfg"].mode) == (2, "sync")
    assert plan.loops["denoise"].warmup == "all"
    assert PlanSpec.model_validate(plan.model_dump(exclude_unset=True)) == plan


def test_the_long_form():
    stages = [
        {"ranks": [0, 1], "place": ["text", "sd.vae", "dit[:14]"]},
        {"ranks": [2, 3], "place": ["dit[14:]"]},
    ]
    plan = ParallelSpec.model_validate(
        {"plans": {"p": {"ranks": 4, "stages": stages, "in_flight": 2}}}
    ).plans["p"]
    assert [stage.ranks for stage in plan.stages] == [(0, 1), (2, 3)]
    assert [split_placed(text) for text in plan.stages[0].place] == [
        ("text", None, None), ("sd.vae", None, None), ("dit", None, 14),
    ]  # fmt: skip
    assert split_placed("dit[14:]") == ("dit", 14, None)


@pytest.mark.parametrize(
    "plan",
    [
        {}, {"ranks": 0}, {"ranks": True}, {"ranks": 2, "pipe": {"a": 0}}, {"ranks": 2, "axes": {"a": {"rows": 2}}},
        {"ranks": 2, "axes": {"a": {"patch": {"size": 2, "mode": "fast"}}}},
            {"ranks": 2, "axes": {"a": {"patch": True}}},
        {"ranks": 2, "stages": [{"ranks": [2], "place": ["a"]}]}, {"ranks": 2, "stages": [{"ranks": [0, 0],
            "place": ["a"]}]},
        {"ranks": 2, "stages": [{"ranks": [], "place": ["a"]}]}, {"ranks": 2, "stages": [{"ranks": [0],
            "place": ["a[1]"]}]},
        {"ranks": 2, "pipe": {"a": 2}, "stages": [{"ranks": [0], "place": ["a"]}]},
        {"ranks": 2, "loops": {"a": {"warmup": "most"}}}, {"ranks": 2, "loops": {"a": {"warmup": -1}}},
    ],
)  # fmt: skip
def test_what_is_no_plan(plan):
    with pytest.raises(ValidationError):
        PlanSpec.model_validate(plan)
