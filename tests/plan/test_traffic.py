"""What travels: counted on a pipeline of two stages whose sizes are easy."""

from __future__ import annotations

from mmm_graph.plan.sizes import Sizes
from mmm_graph.plan.traffic import edges_of, steady_turns
from mmm_graph.plan.whole import whole_blocks
from mmm_graph.spec.plan import LoopPlan
from tests.plan.cases import Case, blocks_of
from tests.plan.toys import NESTED, SHARD_REGISTRY, UNTIL, WIDTH

BATCH, TOKENS, PIXELS = 3, 16, 4 * 8 * 8


def edges(case: Case):
    blocks = whole_blocks(case.graphs[0], SHARD_REGISTRY, case.plan)
    return {(e.source, e.to): e for e in edges_of(case.sequence, blocks, Sizes(blocks, BATCH))}


def test_a_steady_turn_and_the_whole_run() -> None:
    case = Case(units=4, steps=(5,), patches=2)
    found = edges(case)
    there, back = found[0, 1], found[1, 0]
    turn = there.turns["denoise"]
    assert turn.values == [f"denoise/{branch}.{key}" for branch in ("pc", "pu") for key in ("h", "c", "skip")]
    assert turn.messages == 2 * 2 * 3  # patches, branches, keys
    assert turn.bytes == 2 * BATCH * 4 * (2 * TOKENS * WIDTH + 2 * WIDTH)  # c goes with every patch
    assert back.turns["denoise"].bytes == BATCH * 4 * (PIXELS + 2) and back.turns["denoise"].messages == 4
    assert there.total.messages == 6 + 4 * 12 + 2  # the warm-up whole; both conditions before
    assert there.dump()["turns"]["denoise"]["messages"] == 12


def test_what_nobody_can_weigh_is_counted_apart() -> None:
    case = Case(steps=(4,), sizes=(("cfg", 2),), patches=1, groups=(0,))
    total = edges(case)[0, 1].total
    assert total.unknown == 0 and total.bytes > 0
    case = Case(text=UNTIL, steps=(4,), patches=1)
    assert all(e.turns == {} for e in edges(case).values()), "how often it turns is not known"


def test_which_turn_is_like_its_neighbours() -> None:
    assert steady_turns(Case(steps=(6,), warmup=2).blocks["0"]) == {"denoise": (4,)}
    assert steady_turns(Case(steps=(3,), warmup=2).blocks["0"]) == {}
    assert steady_turns(Case(steps=(3,), warmup="all").blocks["0"]) == {"denoise": (1,)}
    nested = Case(text=NESTED, loops={"outer/denoise": LoopPlan(patches=2)})
    assert steady_turns(blocks_of(nested.graphs[0], nested.plan)) == {"outer": (0,), "outer/denoise": (0, 2)}
