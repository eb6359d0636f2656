"""Where a node runs that no weights tie to a rank."""

from __future__ import annotations

from typing import Any

import pytest

from mmm_graph.errors import InputError
from mmm_graph.plan.axes import Axes, Member, alone
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.homes import state_groups
from mmm_graph.plan.place import Plan, make_plan
from tests.plan.toys import DRAW, SHARD_REGISTRY, shard_graph


def plan(placement: Any, sizes: tuple[tuple[str, int], ...] = (), text: str = DRAW, **options: Any) -> Plan:
    params = {k: options.pop(k) for k in ("pointwise",) if k in options}
    return make_plan(
        shard_graph(text, **params), SHARD_REGISTRY, placement, axes={"net": Axes(sizes)}, **options
    )


def test_cheap_nodes_that_read_only_inputs_are_on_every_rank() -> None:
    found = plan({"net": [((1,), 0, 6)], "vae": [((2,), 0, 2)]})
    assert found.nodes["noise"] == tuple(Member(r) for r in range(3))
    assert "cond" not in found.nodes  # its encoder has weights


def test_ops_are_beside_what_they_read_and_states_stay_with_the_last_part() -> None:
    found = plan({"net": [((0,), 0, 3), ((1,), 3, 6)], "vae": [((2,), 0, 2)]})
    assert {found.nodes[p] for p in ("start", "denoise/pred", "denoise/step")} == {alone(1)}
    assert found.nodes["sheet"] == alone(2)


def test_ops_share_what_the_model_shares() -> None:
    pieces = (Member(0, (0, 1), 0, 2), Member(1, (0, 1), 1, 2))
    found = plan({"net": [((0, 1), 0, 6)]}, (("patch", 2),))
    assert {found.nodes[p] for p in ("start", "denoise/pred", "denoise/step")} == {pieces}
    shares = (Member(0, (0, 2)), Member(1, (1, 2)))
    assert plan({"net": [((0, 1), 0, 6)]}, (("data", 2),)).nodes["denoise/step"] == shares


def test_what_needs_whole_images_has_them_and_what_would_do_the_same_is_done_once() -> None:
    found = plan({"net": [((0, 1), 0, 6)]}, (("patch", 2),), pointwise=False)
    assert found.nodes["denoise/step"] == found.nodes["start"] == alone(0)
    assert len(found.nodes["denoise/pred"]) == 2
    assert plan({"net": [((0, 1), 0, 6)]}, (("tensor", 2),)).nodes["denoise/step"] == alone(0)
    assert plan({"net": [((0, 1), 0, 6)]}, (("cfg", 2),)).nodes["denoise/pred"] == alone(1)


def test_a_state_is_where_one_of_its_nodes_was_put() -> None:
    found = plan({"net": [((0,), 0, 6)]}, nodes={"start": 1})
    assert found.nodes["denoise/step"] == found.nodes["start"] == alone(1)
    with pytest.raises(InputError, match="E513"):
        plan({"net": [((0,), 0, 6)]}, nodes={"start": 1, "denoise/step": 0})


def test_nodes_that_hand_on_a_state_belong_together() -> None:
    assert state_groups(Flow(shard_graph()))["start"] == ("start", "denoise/step")
