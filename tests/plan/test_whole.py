"""The order of alike requests, as it is told and simulated."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.plan.axes import Axes
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.ops import Task
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.whole import node_of, whole_blocks, whole_order
from tests.plan.cases import Case
from tests.plan.toys import GIVEN, SHARD_REGISTRY, shard_graph


def test_it_is_what_the_ranks_follow() -> None:
    case = Case(sizes=(("cfg", 2),), steps=(3, 3))
    blocks = whole_blocks(case.graphs[0], SHARD_REGISTRY, case.plan)
    assert list(whole_order(blocks, 2)) == case.sequence
    assert {t.at[0].request for t in whole_order(blocks, 2) if isinstance(t, Task)} == {"0", "1"}


def test_a_height_that_nobody_knows() -> None:
    graph = shard_graph(GIVEN)
    plan = make_plan(graph, SHARD_REGISTRY, {"net": [((0, 1), 0, 6)]}, axes={"net": Axes((("patch", 2),))})
    blocks = whole_blocks(graph, SHARD_REGISTRY, plan)
    with pytest.raises(InputError, match=r"E515.*not known before the graph runs"):
        list(whole_order(blocks))
    assert list(whole_order(blocks, symbols={":h": 8, ":w": 8}))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("denoise/pc.h@0", "denoise/pc"), ("denoise/pc&.pred", "denoise/pc"), ("denoise.$carry.x", "denoise"),
        ("denoise.latents", "denoise"), ("$in.prompt", ""), ("denoise/pc&.cond.embeds", "denoise/pc"),
    ],
)  # fmt: skip
def test_whose_value_it_is(name: str, path: str) -> None:
    assert node_of(Flow(shard_graph()), name) == path
