"""Rows from top to bottom, few crossings."""

from __future__ import annotations

from mmm_graph.view.layering import Hop, Pins, arrange, bend, crossings, is_bend


def test_readers_stand_below_what_they_read():
    hops = [Hop("v", "a", ("b", "c")), Hop("w", "b", ("c",))]
    rows = arrange(["a", "b", "c"], hops, Pins(), {})
    assert [[n for n in row if not is_bend(n)] for row in rows.rows] == [["a"], ["b"], ["c"]]
    assert bend("v", 1) in rows.rows[1]
    assert set(rows.segments) == {
        ("a", "b", "v"),
        ("a", bend("v", 1), "v"),
        (bend("v", 1), "c", "v"),
        ("b", "c", "w"),
    }


def test_sources_move_down_to_their_readers():
    hops = [Hop("v", "a", ("b",)), Hop("w", "b", ("c",)), Hop("u", "late", ("c",))]
    rows = arrange(["a", "late", "b", "c"], hops, Pins(), {})
    assert "late" in rows.rows[1]


def test_pinned_things_stand_in_their_rows():
    hops = [Hop("v", "a", ("b",)), Hop("w", "carry", ("b",)), Hop("u", "b", ("next",))]
    rows = arrange(["next", "b", "a", "carry"], hops, Pins((("carry",),), (("next",),)), {})
    assert rows.rows[0] == ("carry",)
    assert rows.rows[-1] == ("next",)


def test_crossings_are_taken_out():
    hops = [Hop("v", "a", ("z",)), Hop("w", "b", ("y",)), Hop("u", "c", ("x",))]
    rows = arrange(["a", "b", "c", "x", "y", "z"], hops, Pins(), {})
    assert crossings(rows.rows, rows.segments) == 0


def test_crossings_of_one_value_do_not_count():
    rows = [["a", "b"], ["x", "y"]]
    assert crossings(rows, [("a", "y", "v"), ("b", "x", "w")]) == 1
    assert crossings(rows, [("a", "y", "v"), ("b", "x", "v")]) == 0


def test_the_best_of_many_sweeps_is_kept():
    """Two trees and a ladder, written in a bad order; there is a drawing without crossings."""
    hops = [
        Hop("a", "a", ("a1", "a2")),
        Hop("b", "b", ("b1", "b2")),
        Hop("a1", "a1", ("x",)),
        Hop("b1", "b1", ("y",)),
        Hop("a2", "a2", ("x", "z")),
        Hop("b2", "b2", ("z", "y")),
    ]
    names = ["b", "a", "b2", "a1", "b1", "a2", "y", "x", "z"]
    rows = arrange(names, hops, Pins(), {})
    assert crossings(rows.rows, rows.segments) == 0
