"""Peaks of values and state, and the buffers of pipelined and displaced models."""

from __future__ import annotations

import pytest

from mmm_graph.plan.axes import Axes
from mmm_graph.plan.lower import project
from mmm_graph.plan.memory import buffer_bytes, peak_of
from mmm_graph.plan.ops import At, Free, Recv, Run, Value
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.sizes import Sizes
from mmm_graph.plan.whole import whole_blocks
from tests.plan.cases import Case
from tests.plan.toys import SHARD_REGISTRY, UNTIL, WIDTH, shard_graph

BATCH, TOKENS = 3, 16
KEPT = 2 * TOKENS * WIDTH  # of a block and a batch element


def sizes(case: Case) -> Sizes:
    return Sizes(whole_blocks(case.graphs[0], SHARD_REGISTRY, case.plan), BATCH)


def test_the_peak_is_the_most_that_is_alive_at_once() -> None:
    found = sizes(Case(units=4))
    x, embeds, state = (Value("0", n) for n in ("denoise/step.x", "cond.embeds", "denoise/step.state"))
    at = At("0", "n")
    program = [
        Run(("op", "n"), (), (("x", x),), at),
        Recv(embeds, 1),
        Free((x,)),
        Run(("op", "n"), (), (("s", state),), at),
    ]
    peak = peak_of(program, found)
    assert peak.bytes == BATCH * (4 * 8 * 8 + 4 * WIDTH) * 4 and peak.unknown == {"denoise/step.state"}


def test_state_between_the_parts_of_a_slice_counts() -> None:
    """Most is there at the head: h, the skip, c, and the prediction that is made of them."""
    found = sizes(Case(units=4, groups=(0,), patches=1, branches="turn"))
    at = At("0", "denoise/pc", (0,))
    peak = peak_of([Run(("slice", "denoise/pc", 0, 6), (), (), at)], found)
    assert peak.bytes == BATCH * (2 * TOKENS * WIDTH + WIDTH + 4 * 8 * 8) * 4
    half = at._replace(spans=((0, 4), (4, 8)), total=8)
    assert peak_of([Run(("slice", "denoise/pc", 0, 6), (), (), half)], found).bytes == peak.bytes // 2


def test_a_peak_does_not_grow_with_the_turns() -> None:
    def peak(steps: int) -> int:
        case = Case(steps=(steps,))
        return peak_of(project(case.sequence, 0), sizes(case)).bytes

    assert peak(4) == peak(9) > 0


def test_a_loop_until_is_one_turn() -> None:
    case = Case(text=UNTIL, groups=(0,), patches=1)
    assert peak_of(project(case.sequence, 0), sizes(case)).bytes > 0


@pytest.mark.parametrize(
    ("sizes_", "divided"),
    [
        ((), 1),
        ((("cfg", 2),), 2),
        ((("ulysses", 2),), 2),
        ((("ring", 2),), 2),
        ((("tensor", 2),), 2),
        ((("patch", 2),), 1),
    ],
)
def test_pipelined_attention_keeps_all_keys_and_values(
    sizes_: tuple[tuple[str, int], ...], divided: int
) -> None:
    """blocks x kept x batch x branches x requests x 4 bytes."""
    case = Case(units=4, sizes=sizes_)
    first, last = case.plan.models["net"]  # embed and two blocks; two blocks and head
    for piece in (first, last):
        found = buffer_bytes(case.blocks["0"], sizes(case), "net", piece, 3)
        assert found == 2 * KEPT * BATCH * 2 * 3 * 4 // divided
    assert buffer_bytes(case.blocks["0"], sizes(case), "vae", case.plan.models["vae"][0], 3) == 0


def test_shares_of_a_batch_keep_their_own_and_larger_images_more() -> None:
    case = Case(units=8, sizes=(("data", 2),))
    piece = case.plan.models["net"][0]
    assert buffer_bytes(case.blocks["0"], sizes(case), "net", piece, 1) == 2 * (4 * KEPT) * 2 * 2 * 4


def test_displaced_attention_keeps_what_the_others_had() -> None:
    graph = shard_graph()
    axes = {"net": Axes((("patch", 2),), displaced=True)}
    plan = make_plan(graph, SHARD_REGISTRY, {"net": [((0, 1), 0, 6)]}, axes=axes)
    blocks = whole_blocks(graph, SHARD_REGISTRY, plan)
    assert (
        buffer_bytes(blocks, Sizes(blocks, BATCH), "net", plan.models["net"][0], 1)
        == 4 * KEPT * BATCH * 2 * 4
    )
