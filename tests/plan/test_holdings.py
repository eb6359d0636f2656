"""What every rank holds: shares of bytes and of work, buffers, and what is there twice."""

from __future__ import annotations

from mmm_graph.plan.holdings import Holding, holdings
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.sizes import Sizes
from mmm_graph.plan.whole import whole_blocks
from tests.plan.cases import Case
from tests.plan.toys import SHARD_REGISTRY, shard_graph

PARAMS = (32, 64, 64, 64, 64, 24)


def held(case: Case, model: str = "net") -> list[Holding]:
    blocks = case.blocks["0"]
    return [h for h in holdings(blocks, Sizes(blocks, 3), 2) if h.model == model]


def test_slices_hold_their_share_of_the_bytes_and_the_work() -> None:
    first, second = held(Case(patches=1))
    assert (first.rank, first.parts, first.weight_bytes) == (0, "embed..block1", 4 * sum(PARAMS[:3]))
    assert (second.rank, second.parts, second.weight_bytes) == (1, "block2..head", 4 * sum(PARAMS[3:]))
    assert first.flops_per_call == second.flops_per_call == 2.1e9 and first.buffer_bytes == 0
    assert first.dump()["kind"] == "denoiser.toy"


def test_axes_say_how_the_work_is_shared() -> None:
    found = held(Case(groups=(0,), sizes=(("cfg", 2), ("patch", 2)), patches=1))
    assert [h.rank for h in found] == [0, 1, 2, 3] and {h.shared for h in found} == {"cfg 2, patch 2"}
    assert {h.weight_bytes for h in found} == {4 * sum(PARAMS)}
    assert {h.flops_per_call for h in found} == {2.1e9}


def test_tensor_divides_the_weights() -> None:
    assert {h.weight_bytes for h in held(Case(groups=(0,), sizes=(("tensor", 2),), patches=1))} == {
        2 * sum(PARAMS)
    }


def test_a_model_without_axes_on_several_ranks_is_replicated_and_says_so() -> None:
    graph = shard_graph()
    plan = make_plan(graph, SHARD_REGISTRY, {"net": [((0, 1), 0, 6)]})
    blocks = whole_blocks(graph, SHARD_REGISTRY, plan)
    found = [h for h in holdings(blocks, Sizes(blocks, 1)) if h.model == "net"]
    assert [(h.rank, h.shared, h.flops_per_call) for h in found] == [
        (0, "replicated", 4.2e9),
        (1, "replicated", 4.2e9),
    ]


def test_a_shared_warm_up_needs_all_weights() -> None:
    found = held(Case(warm="rows"))
    assert {h.weight_bytes for h in found} == {4 * sum(PARAMS)}
    assert {h.shared for h in found} == {"all weights, for the warm-up"}
    assert [h.parts for h in found] == ["embed..block1", "block2..head"]


def test_buffers_are_of_the_requests_in_flight() -> None:
    assert {h.buffer_bytes for h in held(Case(units=4))} == {2 * (2 * 16 * 8) * 3 * 2 * 2 * 4}
