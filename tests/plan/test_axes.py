"""Axes of a slice of ranks: who does which share, branch and rows; intervals cut at multiples of a unit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_graph.plan.axes import Axes, Member, alone, divide, split


def test_the_first_axis_varies_slowest() -> None:
    axes = Axes((("cfg", 2), ("patch", 2)))
    assert (axes.ranks, axes.pieces, axes["cfg"], axes["tensor"]) == (4, 2, 2, 1)
    assert [dict(at) for at in axes.coordinates()] == [{"cfg": c, "patch": p} for c in (0, 1) for p in (0, 1)]
    assert [m.rank for m in axes.team((10, 11, 12, 13), branch=1)] == [12, 13]


def test_pieces_are_chunks_of_the_outer_split_cut_again_by_ulysses() -> None:
    for outer in ("patch", "ring"):
        team = Axes((("ulysses", 2), (outer, 3))).team(tuple(range(6)))
        assert {m.rank: m.piece for m in team} == {0: 0, 1: 2, 2: 4, 3: 1, 4: 3, 5: 5}
        assert all(m.pieces == 6 for m in team)


def test_without_rows_the_first_piece_does_it_all() -> None:
    team = Axes((("data", 2), ("patch", 2))).team((0, 1, 2, 3), rowed=False)
    assert team == (Member(0, (0, 2)), Member(2, (1, 2)))


def test_members_along_tensor_are_of_one_piece() -> None:
    assert Axes((("tensor", 2),)).team((4, 5)) == (Member(4), Member(5))


def test_ranks_without_axes_do_the_same() -> None:
    assert Axes().team((3, 1)) == (Member(3), Member(1))
    assert (Axes().ranks, Axes().pieces, alone(2)) == (1, 1, (Member(2),))


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 12), st.integers(0, 5))
def test_intervals_are_cut_evenly(units: int, unit: int, pieces: int, first: int) -> None:
    span = (first * unit, (first + units) * unit)
    if pieces > units:
        with pytest.raises(ValueError, match=f"at most {units} pieces"):
            split(span, pieces, unit)
        return
    found = split(span, pieces, unit)
    assert [a for a, _ in found] + [span[1]] == [span[0], *(b for _, b in found)]
    sizes = [b - a for a, b in found]
    assert all(s % unit == 0 and s > 0 for s in sizes) and max(sizes) - min(sizes) in (0, unit)
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("span", [(0, 7), (1, 5)])
def test_only_whole_units_are_cut(span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not a whole number of 2"):
        split(span, 1, 2)


def test_a_part_of_a_share() -> None:
    assert [divide((1, 2), 3, k) for k in range(3)] == [(3, 6), (4, 6), (5, 6)]
