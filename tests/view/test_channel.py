"""Tracks between rows."""

from __future__ import annotations

from mmm_graph.view.channel import Net, tracks


def test_straight_lines_need_no_track():
    assert tracks([Net("v", 10, (10,)), Net("w", 50, (50.4,))]) == {}


def test_lines_that_do_not_meet_share_a_track():
    assert tracks([Net("v", 0, (40,)), Net("w", 100, (160,))]) == {"v": 0, "w": 0}


def test_lines_that_meet_do_not():
    found = tracks([Net("v", 0, (100,)), Net("w", 50, (160,))])
    assert found["v"] != found["w"]


def test_what_comes_down_where_another_goes_on_turns_off_above_it():
    assert tracks([Net("v", 0, (50,)), Net("w", 50, (90,))]) == {"w": 0, "v": 1}


def test_nested_lines_do_not_cross():
    """Both go to the right; the one that starts further right must turn off above, or they cross twice."""
    found = tracks([Net("outer", 0, (100,)), Net("inner", 20, (80,))])
    assert found["inner"] < found["outer"]


def test_lines_that_block_each_other_still_get_tracks():
    found = tracks([Net("v", 0, (50,)), Net("w", 50, (0,))])
    assert sorted(found.values()) == [0, 1]
