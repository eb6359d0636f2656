"""A value in pieces: a reader gets the piece that fits, or it is cut where it lies and joined where it is read."""

from __future__ import annotations

from typing import Any

import pytest

from mmm_graph.plan.ops import ALL, WHOLE, Share, Span, Value
from mmm_graph.plan.pieces import Pieces


def value(span: Span | None = None, share: Share = WHOLE, patch: int = ALL) -> Value:
    return Value("0", "v", (2,), patch, span, share)


def pieces(*held: tuple[Value, int], height: int = 8) -> Pieces:
    found = Pieces((2,), height)
    for piece, rank in held:
        found.add(piece, rank)
    return found


def want(held: Pieces, rank: int, span: Span | None = None, share: Share = WHOLE, patch: int = ALL) -> Any:
    """(what is read, copies as (rank, fn, reads))."""
    copies: list[Any] = []
    found = held.want(rank, span, share, patch, lambda *copy: copies.append(copy[:3]))
    return found, copies


def test_a_piece_that_fits_is_read_as_it_is() -> None:
    held = pieces((value((0, 4)), 0), (value((4, 8)), 1))
    assert want(held, 1, (4, 8)) == (value((4, 8)), [])
    assert want(pieces((value(), 3)), 0, (0, 8)) == (value(), [])


def test_rows_are_cut_where_they_lie() -> None:
    held = pieces((value(), 0))
    assert want(held, 1, (4, 6), patch=1) == (value((4, 6), patch=1), [(0, ("cut", 4, 6), (value(),))])
    assert want(held, 2, (4, 6), patch=1)[1] == [], "the copy is a piece like others"


def test_the_whole_is_joined_where_it_is_read_own_pieces_first() -> None:
    held = pieces((value((0, 4)), 0), (value((4, 8)), 1))
    assert want(held, 2) == (value(), [(2, ("join", "rows"), (value((0, 4)), value((4, 8))))])
    overlap = pieces((value((0, 8)), 0), (value((0, 5)), 1))
    _, copies = want(overlap, 1, (2, 8))
    assert [c[:2] for c in copies] == [(1, ("cut", 2, 5)), (0, ("cut", 5, 8)), (1, ("join", "rows"))]


def test_shares_of_the_batch_are_taken_and_joined() -> None:
    assert want(pieces((value(), 0)), 1, share=(1, 2)) == (
        value(share=(1, 2)),
        [(0, ("take", 1, 2), (value(),))],
    )
    halves = pieces((value(share=(0, 2)), 0), (value(share=(1, 2)), 1))
    assert want(halves, 1) == (
        value(),
        [(1, ("join", "batch"), (value(share=(0, 2)), value(share=(1, 2))))],
    )
    found, copies = want(pieces((value(share=(0, 2)), 0), (value(share=(1, 2)), 1)), 1, share=(2, 3))
    assert found == value(share=(2, 3)) and [c[1][0] for c in copies] == ["join", "take"]


def test_a_patch_reads_its_own_pieces_and_forgets_them() -> None:
    held = pieces((value((0, 4), patch=0), 0), (value((4, 8), patch=1), 0), height=8)
    assert want(held, 0, (4, 8), patch=1)[0].patch == 1
    assert held.forget(0) == (value((0, 4), patch=0),)
    assert held.values == (value((4, 8), patch=1),)


def test_without_rows_all_pieces_are_alike() -> None:
    held = pieces((value(patch=0), 0), (value(patch=1), 1), height=0)
    assert want(held, 1, None, patch=ALL) == (value(patch=1), [])
    assert want(held, 1, None, patch=0) == (value(patch=0), [])
    assert held.nearest(1).patch == 1


def test_several_ranks_may_make_the_same() -> None:
    held = pieces((value(), 0), (value(), 2), (value(), 0))
    assert held.held[0].ranks == (0, 2)
    assert want(held, 2, (0, 2))[1][0][0] == 2, "it is cut on the reader's rank where that has it"


@pytest.mark.parametrize("height", [0, 8])
def test_the_whole_of_one_piece(height: int) -> None:
    assert want(pieces((value(), 1), height=height), 0) == (value(), [])
