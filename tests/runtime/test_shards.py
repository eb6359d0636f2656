"""What each rank holds of a model, and whom its layers ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mmm_graph as mmm
from mmm_graph.errors import InputError
from mmm_graph.parallel.sharded import Sharded
from mmm_graph.plan.arrange import arrange
from mmm_graph.runtime.build import Built, build_models
from mmm_graph.runtime.shards import Shards
from mmm_graph.runtime.world import ThreadWorld, World
from mmm_graph.spec.plan import PlanSpec
from tests.plans.graphs import graph, pipe, shared

pytestmark = pytest.mark.dist


def on_ranks(plan: dict[str, Any]) -> list[dict[str, Built]]:
    """The models of every rank."""
    session = mmm.load(graph("dit"))
    spec = PlanSpec.model_validate(_long(plan))
    placed = arrange(session.graph, session.registry, spec)
    base = build_models(session.graph.models, session.registry, base=Path())
    shards = Shards()

    def one(world: World) -> dict[str, Built]:
        return shards.models(base, placed, world)

    return ThreadWorld(placed.ranks).run(one)


def _long(plan: dict[str, Any]) -> dict[str, Any]:
    sizes = {m: {a: d if isinstance(d, dict) else {"size": d} for a, d in axes.items()}
             for m, axes in plan.get("axes", {}).items()}  # fmt: skip
    return {**plan, "axes": sizes} if sizes else plan


def test_a_stage_has_its_own_parts_only() -> None:
    first, second = on_ranks(pipe(2, patches=2))
    assert set(first["net"].object.parts) | set(second["net"].object.parts) == {
        "embed", *(f"block{i}" for i in range(5)), "head"}  # fmt: skip
    assert not set(first["net"].object.parts) & set(second["net"].object.parts)
    assert isinstance(first["net"].exchange, Sharded) and first["net"].exchange.config.buffered
    assert "vae" in first and "vae" not in second and "guide" in second, "what has no weights is everywhere"


def test_rows_in_the_warm_up_need_all_weights() -> None:
    ranks = on_ranks(pipe(2, patches=2, warm="rows"))
    assert all(len(r["net"].object.parts) == 7 for r in ranks)
    assert [r["net"].exchange.warm.tokens.size for r in ranks] == [2, 2]
    assert [r["net"].exchange.steady.tokens.size for r in ranks] == [1, 1]


def test_columns_are_cut_and_layers_hold_the_exchange() -> None:
    for found in on_ranks(shared({"tensor": 2})):
        attn = found["net"].object.parts["block0"].attn
        assert attn.num_heads == 2 and attn.q.weight.shape == (16, 32)
        assert attn.exchange is found["net"].exchange and attn.exchange.groups.tensor.size == 2


def test_groups_follow_the_axes() -> None:
    for rank, found in enumerate(on_ranks(shared({"cfg": 2, "ring": 2, "ulysses": 2}))):
        groups = found["net"].exchange.groups
        assert (groups.tokens.size, groups.outer.size, groups.inner.size, groups.tensor.size) == (4, 2, 2, 1)
        assert groups.tokens.index == rank % 4
        assert groups.tokens.index == groups.outer.index * 2 + groups.inner.index


def test_what_nobody_shares_is_the_model_itself() -> None:
    ranks = on_ranks(
        {"ranks": 2, "stages": [{"ranks": [0], "place": ["net"]}, {"ranks": [1], "place": ["vae"]}]}
    )
    assert ranks[0]["net"].base is None and ranks[1]["vae"].base is None


def test_two_slices_with_other_neighbours_are_refused() -> None:
    stages = [{"ranks": r, "place": [p]} for r, p in (([0, 1], "net[:2]"), ([1, 2], "net[2:]"))]
    with pytest.raises(InputError, match=r"E521.*rank 1 is in two slices of net"):
        on_ranks({"ranks": 3, "stages": stages, "axes": {"net": {"patch": 2}}})
