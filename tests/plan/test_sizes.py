"""Bytes of values, from parts tables and port types."""

from __future__ import annotations

from typing import Any

import pytest

from mmm_graph.plan.ops import Value
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.sizes import Size, Sizes
from mmm_graph.plan.whole import whole_blocks
from tests.plan.cases import Case
from tests.plan.toys import DRAW, GIVEN, NESTED, SHARD_REGISTRY, WIDTH, shard_graph

BATCH, TOKENS = 3, 64  # of images of 16 rows


def sizes(case: Case, batch: int = BATCH) -> Sizes:
    return Sizes(whole_blocks(case.graphs[0], SHARD_REGISTRY, case.plan), batch)


def value(name: str, **place: Any) -> Value:
    return Value("0", name, (1,), **place)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("denoise/pc.h@0", BATCH * TOKENS * WIDTH * 4),  # the table is for 8 rows, the call has 16
        ("denoise/pc.c@0", BATCH * WIDTH * 4),
        ("denoise/pc.pred", BATCH * 4 * 16 * 16 * 4),
        ("denoise/step.t", BATCH * 4),
        ("cond.embeds", BATCH * 4 * WIDTH * 4),
        ("image.image", BATCH * 3 * 32 * 32 * 4),
        ("denoise.$carry.x", BATCH * 4 * 16 * 16 * 4),
        ("denoise.latents", BATCH * 4 * 16 * 16 * 4),
        ("$in.prompt", 0),
        ("denoise/step.state", None),
        ("sheet.image", None),
        ("who.knows", None),
    ],
)
def test_whole_values(name: str, expected: int | None) -> None:
    assert sizes(Case()).bytes(value(name)) == expected


def test_pieces() -> None:
    found = sizes(Case())
    assert found.bytes(value("denoise/pc.h@0", span=(4, 8))) == BATCH * TOKENS * WIDTH * 4 // 4
    assert found.bytes(value("denoise/pc.c@0", span=(4, 8))) == BATCH * WIDTH * 4, "it has no rows"
    assert found.bytes(value("denoise/step.x", span=(0, 8), share=(0, 2))) == 2 * 4 * 8 * 16 * 4
    assert found.bytes(value("denoise/step.x", span=(0, 8), share=(1, 2))) == 1 * 4 * 8 * 16 * 4


def test_calls_that_run_as_one_have_both_batches() -> None:
    found = sizes(Case(groups=(0,), patches=1))
    whole = BATCH * 4 * 16 * 16 * 4
    assert found.bytes(value("denoise/pc&.pred")) == found.bytes(value("denoise/pc&.x")) == 2 * whole
    assert found.bytes(value("denoise/pc.pred")) == whole


def test_a_model_says_its_dtype() -> None:
    graph = shard_graph(DRAW.replace("{kind: $params.net,", "{kind: $params.net, dtype: bf16,"))
    plan = make_plan(graph, SHARD_REGISTRY, {"net": [((0,), 0, 3), ((1,), 3, 6)]})
    found = Sizes(whole_blocks(graph, SHARD_REGISTRY, plan), 1)
    assert found.bytes(value("denoise/pc.h@0")) == 16 * WIDTH * 2
    assert found.bytes(value("denoise/step.x")) == 4 * 8 * 8 * 4


def test_what_a_loop_collects() -> None:
    found = sizes(Case(text=NESTED))
    assert found.bytes(value("outer.all")) == 2 * found.bytes(value("outer/denoise.latents"))  # type: ignore[operator]


def test_heights_that_requests_bring() -> None:
    graph = shard_graph(GIVEN)
    blocks = whole_blocks(graph, SHARD_REGISTRY, make_plan(graph, SHARD_REGISTRY))
    assert Sizes(blocks, 1).bytes(value("denoise/step.x")) is None
    assert Sizes(blocks, 1, {":h": 8, ":w": 6}).bytes(value("denoise/step.x")) == 4 * 8 * 6 * 4


def test_a_size() -> None:
    assert Size(10, 5, 4, 2).bytes(value("x", span=(1, 3), share=(1, 3))) == 10 * 2 // 2 * 2
    assert Size(7).bytes(value("x", span=(1, 3), share=(1, 3))) == 28
