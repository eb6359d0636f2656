"""Programs for people: equal patches and turns are told once, and nothing is told under a wrong number."""

from __future__ import annotations

from mmm_graph.plan.block import Blocks
from mmm_graph.plan.lower import project
from mmm_graph.plan.ops import ALL, At, Run, Send, Value
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.tell import tell
from mmm_graph.spec.plan import LoopPlan
from tests.plan.cases import Case, blocks_of
from tests.plan.toys import DRAW, NESTED, SHARD_REGISTRY, UNTIL, shard_graph


def told(case: Case, rank: int = 0) -> list[str]:
    return list(tell(project(case.sequence, rank), case.blocks["0"]))


def plain(text: str = DRAW, patches: int = 1) -> Blocks:
    graph = shard_graph(text)
    return blocks_of(
        graph, make_plan(graph, SHARD_REGISTRY, loops={"denoise": LoopPlan(patches=patches, warmup=0)})
    )


def run(node: str, turn: int, patch: int = ALL) -> Run:
    return Run(("op", f"denoise/{node}"), (), (), At("0", f"denoise/{node}", (turn,), patch))


def test_equal_turns_are_told_once() -> None:
    found = told(Case(groups=(0,), patches=1, steps=(5,), text=DRAW))
    assert "turn 1..4  x 4" in found
    body = found[found.index("turn 1..4  x 4") + 1 :]
    assert body[:3] == ["  cat step.x", "  cat step.t", "  pc  embed..head -> pred"]
    assert found.count("  pc  embed..head -> pred") == 2 and found[-1] == "output sheet"


def test_turns_that_differ_stand_apart() -> None:
    found = list(tell([run("pc", 0), run("pu", 1), run("pu", 2), run("pc", 3)], plain()))
    assert found == ["turn 0", "  pc", "turn 1..2  x 2", "  pu", "turn 3", "  pc"]


def test_what_is_of_an_earlier_turn_says_so() -> None:
    """The numbers are those of the turns, not of groups that happen to follow each other."""
    items = [run("pc", 0), run("pc", 1), run("pu", 0), run("pc", 2), run("pu", 1), run("pu", 2)]
    assert list(tell(items, plain())) == [
        "turn 0", "  pc", "turn 1", "  pc", "  [-1 turn] pu", "turn 2", "  pc", "  [-1 turn] pu", "  pu",
    ]  # fmt: skip


def test_patches_of_a_turn_are_told_once_and_counted_over_turns() -> None:
    items = [run(node, t - (node == "pu" and p == 0), p if node == "pc" else 1 - p) for t in (1, 2, 3) for p in (0, 1)
             for node in ("pc", "pu")]  # fmt: skip
    assert list(tell(items, plain(patches=2))) == [
        "turn 1..3  x 3",
        "  patch 0..1  x 2",
        "    pc",
        "    [-1] pu",
    ]


def test_what_is_done_once_for_all_patches() -> None:
    items = [run("pu", 1), run("pc", 1, 0), run("pc", 1, 1), run("step", 1), run("pc", 2, 0), run("step", 1)]
    assert list(tell(items, plain(patches=2))) == [
        "turn 1", "  pu", "  patch 0", "    pc", "  patch 1", "    pc", "    [all] step",
        "turn 2", "  patch 0", "    pc", "    [-1 turn] step",
    ]  # fmt: skip


def test_warm_up_switch_and_steady_turns() -> None:
    found = told(Case(steps=(8,), patches=2), 0)
    heads = [line for line in found if line.startswith("turn")]
    assert heads[:2] == ["turn 0  (warm-up on whole images)", "turn 1  (the first in patches)"]
    assert any(line.startswith("turn 2..") for line in heads) and found[-3:] == [
        "sheet -> image", "output image", "output sheet",
    ]  # fmt: skip
    assert any("forget what denoise has kept" in line for line in found)
    warm = found[found.index(heads[0]) : found.index(heads[1])]
    assert not any("patch 0" in line for line in warm), (
        "rows that are cut there for the first patches are of the turn"
    )


def test_messages_with_the_same_ends_are_one_line() -> None:
    values = [Value("0", f"denoise/step.{k}", (1,)) for k in ("x", "t")]
    items = [
        Send(values[0], 1),
        Send(values[0], 2),
        Send(values[1], 1),
        Send(values[1], 2),
        Send(values[0], 3),
    ]
    assert list(tell(items[:4], plain())) == ["turn 1", "  send step.x, step.t to ranks 1, 2"]
    assert list(tell(items, plain()))[1:] == ["  send step.x to ranks 1, 2, 3", "  send step.t to ranks 1, 2"]


def test_both_ends_of_a_message_are_told() -> None:
    case = Case(steps=(3,), patches=1)
    sends = [line.strip() for line in told(case, 0) if "send" in line]
    receives = [line.strip() for line in told(case, 1) if "receive" in line]
    assert "send pc.h, pc.c, pc.skip to rank 1" in sends
    assert "receive pc.h, pc.c, pc.skip from rank 0" in receives


def test_rows_and_parts_of_a_batch() -> None:
    found = told(Case(groups=(0,), patches=1, sizes=(("patch", 2),), microbatches=2), 1)
    assert "  pc  embed..head (part 0 of 2, rows 8 to 16 of 16) -> pred" in found


def test_loops_in_loops() -> None:
    case = Case(text=NESTED, steps=(4,), groups=(0,), loops={"outer/denoise": LoopPlan(patches=2)})
    found = told(case)
    assert "turn 0..1  x 2" in found or "turn 0" in found
    assert "  turn 0  (warm-up on whole images)" in found
    assert any(line.strip().startswith("patch 0..1  x 2") for line in found)
    assert "collect outer/denoise/step.latents" in found


def test_loops_until() -> None:
    found = list(tell(project(Case(text=UNTIL, groups=(0,), patches=1).sequence, 0), plain(UNTIL)))
    at = found.index("repeat denoise until denoise/enough.small, at most 5 turns")
    assert found[at + 1].startswith("  ") and any("step -> " in line for line in found[at:])
