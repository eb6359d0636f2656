"""`parallel:` as written -> a Plan; and whatever cannot be done, refused with what could be."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from mmm_graph.errors import InputError, Place
from mmm_graph.plan.arrange import arrange, check_plans, cut_by_cost
from mmm_graph.plan.axes import Axes
from mmm_graph.plan.place import Plan, Slice
from mmm_graph.registry import Part
from mmm_graph.spec import load_spec
from mmm_graph.spec.plan import LoopPlan, PlanSpec
from tests.plan.toys import ALONE, DRAW, GIVEN, SHARD_REGISTRY, shard_graph

HERE = Place("toy.yaml", 7, 3)


def arranged(spec: dict[str, Any], text: str = DRAW, **params: Any) -> Plan:
    made = PlanSpec.model_validate(spec)
    return arrange(shard_graph(text, **params), SHARD_REGISTRY, made, name="p", place=HERE)


def test_the_short_form() -> None:
    plan = arranged(
        {"ranks": 4, "pipe": {"net": 2}, "axes": {"net": {"cfg": 2}}, "loops": {"denoise": {"patches": 2}},
         "in_flight": 3}
    )  # fmt: skip
    assert plan.models["net"] == (Slice((0, 1), 0, 3), Slice((2, 3), 3, 6))
    assert plan.models["text"] == (Slice((0,), 0, 1),) and plan.models["vae"] == (Slice((0,), 0, 2),)
    assert plan.axes["net"] == Axes((("cfg", 2),)) and plan.loops == {"denoise": LoopPlan(patches=2)}
    assert (plan.ranks, plan.name, plan.in_flight, plan.microbatches) == (4, "p", 3, 1)
    assert plan.pipelined == {"net"} and plan.branch == {"denoise/pc": 0, "denoise/pu": 1}


def test_the_long_form_counts_blocks() -> None:
    stages = [{"ranks": [1, 0], "place": ["net[:1]", "vae"]}, {"ranks": [2, 3], "place": ["net[1:]"]}]
    plan = arranged({"ranks": 4, "stages": stages, "axes": {"net": {"patch": 2}, "vae": {"patch": 2}}})
    assert plan.models["net"] == (Slice((0, 1), 0, 2), Slice((2, 3), 2, 6))  # embed goes with the first
    assert plan.models["vae"] == (Slice((0, 1), 0, 2),)


def test_a_group_may_come_back() -> None:
    stages = [{"ranks": [0], "place": ["net[:1]", "net[3:]"]}, {"ranks": [1], "place": ["net[1:3]"]}]
    chain = arranged({"ranks": 2, "stages": stages}).models["net"]
    assert [(s.ranks, s.a, s.b) for s in chain] == [((0,), 0, 2), ((1,), 2, 4), ((0,), 4, 6)]


def test_displaced_patches() -> None:
    axes = arranged(
        {"ranks": 2, "axes": {"net": {"patch": {"size": 2, "mode": "displaced", "group_norm": "stale"}}}}
    ).axes["net"]
    assert axes.displaced and axes.group_norm == "stale"


@pytest.mark.parametrize(
    ("spec", "code", "message", "hint"),
    [
        ({"ranks": 2, "stages": [{"ranks": [0], "place": ["net[:1]"]}, {"ranks": [1], "place": ["net[2:]"]}]},
         "E511", "hold the parts 0:2, 3:6 of net, which has 6", "count its 4 blocks"),
        ({"ranks": 2, "stages": [{"ranks": [0], "place": ["net[:7]"]}, {"ranks": [1], "place": ["net[7:]"]}]},
         "E511", "net[7:] holds no blocks", "net has 4 blocks, 0 to 3"),
        ({"ranks": 2, "stages": [{"ranks": [0], "place": ["vae[:1]"]}, {"ranks": [1], "place": ["net"]}]},
         "E511", "vae has 2 parts, no blocks to cut", "place vae whole"),
        ({"ranks": 3, "stages": [{"ranks": [0, 1, 2], "place": ["net"]}], "axes": {"net": {"patch": 2}}},
         "E512", "net[0:6] is on 3 ranks, its axes (patch 2) have 2", "put each slice on 2 ranks"),
        ({"ranks": 3, "stages": [{"ranks": [0, 1], "place": ["net[:1]"]}, {"ranks": [2], "place": ["net[1:]"]}]},
         "E512", "on 2 and on 1 ranks", "share its axes"),
        ({"ranks": 4, "axes": {"net": {"cfg": 4}}},
         "E514", "cfg: 4 of net: denoise/pc is one of 2 branches", "the nearest legal degree is 2"),
        ({"ranks": 5, "axes": {"net": {"patch": 5}}},
         "E516", "too few for 5", "the nearest legal degree is 4"),
        ({"ranks": 2, "pipe": {"net": 2}, "loops": {"denoize": {"patches": 2}}},
         "E517", "there is no loop 'denoize'", "did you mean denoise?"),
        ({"ranks": 2, "pipe": {"net": 3}},
         "E518", "net needs 3 stages x 1 = 3 ranks, there are 2", "at most 2 stages, or ranks: 3"),
        ({"ranks": 9, "pipe": {"net": 8}},
         "E518", "net has 6 parts, not enough for 8 stages", "the nearest legal degree is 6"),
        ({"ranks": 3, "pipe": {"net": 2}},
         "E518", "nothing is on rank 2", "ranks: 2 would do"),
        ({"ranks": 2, "axes": {"vae": {"ulysses": 2}}},
         "E519", "ulysses: 2 of vae: it has one head", "the nearest legal degree of ulysses is 1"),
        ({"ranks": 2, "axes": {"net": {"ring": {"size": 2, "mode": "displaced"}}}},
         "E519", "ring of net: `mode` and `group_norm` are for patch", "leave them out"),
        ({"ranks": 2, "axes": {"net": {"patch": {"size": 2, "group_norm": "stale"}}}},
         "E519", "group_norm: stale of net is for `mode: displaced`", "group_norm: sync"),
        ({"ranks": 2, "pipe": {"net": 2}, "loops": {"denoise": {"patches": 5}}},
         "E520", "at most 4 patches, not 5", "the nearest legal number is 4"),
    ],
)  # fmt: skip
def test_what_is_refused_says_what_would_be_legal(
    spec: dict[str, Any], code: str, message: str, hint: str
) -> None:
    with pytest.raises(InputError) as caught:
        arranged(spec)
    (found,) = caught.value.problems
    assert (found.code, found.message.startswith("plan p: ")) == (code, True)
    assert message in found.message and hint in found.hint
    assert found.place is not None


def test_a_rank_has_one_piece_of_a_shared_warm_up() -> None:
    stages = [{"ranks": [0], "place": ["net[:1]", "net[3:]"]}, {"ranks": [1], "place": ["net[1:3]"]}]
    loops = {"denoise": {"patches": 2, "warm": "rows"}}
    with pytest.raises(InputError, match=r"E520.*rank 0 holds several slices of net"):
        arranged({"ranks": 2, "stages": stages, "loops": loops})
    assert arranged({"ranks": 2, "pipe": {"net": 2}, "loops": loops}).warm_rows == {"net"}


def test_all_problems_are_found_at_once() -> None:
    spec = {
        "ranks": 8,
        "pipe": {"net": 9},
        "axes": {"vae": {"ulysses": 2}},
        "loops": {"x": {}},
        "shard": "full",
    }
    with pytest.raises(InputError) as caught:
        arranged(spec)
    assert [p.code for p in caught.value.problems] == ["E517", "E209", "E518", "E519"]


def test_one_branch_is_no_axis_for_cfg() -> None:
    with pytest.raises(InputError, match="E514"):
        arranged({"ranks": 4, "axes": {"net": {"cfg": 4}}}, ALONE)


def test_a_height_that_only_requests_know_is_not_refused() -> None:
    assert arranged({"ranks": 5, "axes": {"net": {"patch": 5}}}, GIVEN).ranks == 5


def test_plans_of_a_file_are_checked_together() -> None:
    section = (
        "\nparallel:\n  plans:\n    a: {ranks: 2, pipe: {net: 3}}\n    b: {ranks: 4, axes: {net: {cfg: 4}}}\n"
    )
    spec = load_spec(DRAW + section)
    with pytest.raises(InputError) as caught:
        check_plans(spec, shard_graph(), SHARD_REGISTRY)
    assert [(p.code, p.message.split(":")[0]) for p in caught.value.problems] == [
        ("E518", "plan a"),
        ("E514", "plan b"),
    ]
    check_plans(load_spec(DRAW), shard_graph(), SHARD_REGISTRY)


@pytest.mark.parametrize(
    ("flops", "stages", "bounds"),
    [
        ([1, 1, 1, 1], 2, [0, 2, 4]), ([1, 1, 1, 9], 2, [0, 3, 4]), ([9, 1, 1, 1], 3, None),
        ([5, 5, 5], 3, [0, 1, 2, 3]), ([4, 4], 1, [0, 2]),
    ],
)  # fmt: skip
def test_models_are_cut_by_cost(flops: list[int], stages: int, bounds: list[int] | None) -> None:
    parts = [Part(str(i), (), (), 0, f * 1e12) for i, f in enumerate(flops)]
    found = cut_by_cost(parts, stages)
    costs = [sum(flops[a:b]) for a, b in pairwise(found)]
    assert len(found) == stages + 1 and all(costs)
    assert found == bounds or (bounds is None and max(costs) == max(flops))


def test_another_graph_of_the_file_need_not_have_the_loops() -> None:
    """An evaluation that only encodes and decodes runs under the plan of the drawing."""
    text = (
        DRAW.partition("  denoise:")[0]
        + "  image: {call: vae.decode, in: {latents: noise}}\noutputs: {image: image}\n"
    )
    spec = PlanSpec(ranks=2, pipe={"net": 2}, loops={"denoise": {"patches": 2}})
    plan = arrange(shard_graph(text), SHARD_REGISTRY, spec, partial=True)
    assert plan.ranks == 2 and not plan.loops
    with pytest.raises(InputError, match="E517"):
        arrange(shard_graph(text), SHARD_REGISTRY, spec)
