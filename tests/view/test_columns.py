"""Places from left to right: no overlap, straight lines where there is room."""

from __future__ import annotations

import pytest

from mmm_graph.view.columns import Pull, columns


def test_a_chain_is_straight():
    left = columns(
        [["a"], ["b"], ["c"]], {"a": 40, "b": 100, "c": 20}, [Pull("a", 20, "b", 50), Pull("b", 50, "c", 10)]
    )
    assert left["a"] + 20 == pytest.approx(left["b"] + 50, abs=0.5)
    assert left["b"] + 50 == pytest.approx(left["c"] + 10, abs=0.5)


def test_neighbours_keep_their_order_and_their_room():
    pulls = [Pull("top", 20, name, 25) for name in "abcd"]
    left = columns([["top"], list("abcd")], {"top": 40} | dict.fromkeys("abcd", 50), pulls)
    for one, two in zip("abc", "bcd", strict=True):
        assert left[two] - left[one] >= 50 - 1e-6


def test_one_of_three_lines_is_straight_rather_than_none():
    widths = {"a": 200, "b": 200, "c": 500, "z": 60}
    pulls = [Pull("a", 100, "z", 10), Pull("b", 100, "z", 30), Pull("c", 250, "z", 50)]
    left = columns([["a", "b", "c"], ["z"]], widths, pulls)
    assert left["b"] + 100 == pytest.approx(left["z"] + 30, abs=1)


def test_the_leftmost_stands_at_zero():
    assert min(columns([["a", "b"]], {"a": 10, "b": 10}, []).values()) == 0
