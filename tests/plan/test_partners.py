"""With whom a rank exchanges in layers."""

from __future__ import annotations

from mmm_graph.plan.partners import exchanges
from mmm_graph.plan.sizes import Sizes
from tests.plan.cases import Case
from tests.plan.toys import WIDTH

KEPT = 2 * 16 * WIDTH


def found(case: Case):
    blocks = case.blocks["0"]
    return list(exchanges(blocks, Sizes(blocks, 3)))


def test_ranks_of_the_same_branch_and_share() -> None:
    others = {e.rank: e.ranks for e in found(Case(groups=(0,), sizes=(("cfg", 2), ("patch", 2)), patches=1))}
    assert others == {0: (1,), 1: (0,), 2: (3,), 3: (2,)}
    assert {e.axes for e in found(Case(sizes=(("tensor", 2), ("ulysses", 2))))} == {"tensor 2, ulysses 2"}
    assert found(Case(sizes=(("data", 2),))) == []


def test_keys_and_values_of_a_call() -> None:
    """Each rank gives its own part to the other: half of what all four blocks keep, for both branches at once."""
    (first, _) = found(Case(groups=(0,), sizes=(("ring", 2),), patches=1, units=4))
    assert first.call_bytes == 4 * KEPT * 3 * 4 // 2 * 2
    assert first.dump() == {
        "rank": 0, "model": "net", "axes": "ring 2", "ranks": (1,), "call_bytes": first.call_bytes,
    }  # fmt: skip


def test_what_more_is_exchanged_nobody_says() -> None:
    assert {e.call_bytes for e in found(Case(sizes=(("ulysses", 2),)))} == {None}
    case = Case(groups=(0,), patches=1, vae=2)
    assert [(e.model, e.call_bytes) for e in found(case)] == [("vae", None)] * 2
