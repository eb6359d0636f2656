"""Pydantic's errors in the words of the file."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field, ValidationError

from mmm_graph.errors import Place, problem
from mmm_graph.spec.base import Items, Spec
from mmm_graph.spec.explain import dotted, explain, in_order, nearest
from mmm_graph.spec.files import parse_text


class Inner(Spec):
    size: int = Field(1, ge=1, lt=10)
    mode: Literal["a", "b"] | int = "a"


class Outer(Spec):
    name: str
    many: dict[str, Inner] = {}  # noqa: RUF012
    row: Items[Inner] = ()
    two: Inner | bool = False


def messages(text):
    tree = parse_text(text, "f")
    with pytest.raises(ValidationError) as found:
        Outer.model_validate(tree.value)
    return [str(p) for p in explain(found.value, Outer, tree.value, tree.places)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("many: {}\n", ["f:1:1 error[E111] the key `name:` is missing"]),
        ("name: 1\nmany: {x: {size: 0}, y: {size: 10}}\n", [
            "f:1:7 error[E112] name: expects text, got 1",
            "f:2:18 error[E112] many.x.size: expects at least 1, got 0",
            "f:2:32 error[E112] many.y.size: expects less than 10, got 10",
        ]),
        ("name: a\nmany: {x: {mode: c}}\n",
         ["f:2:18 error[E112] many.x.mode: expects 'a' or 'b' or an integer, got 'c'"]),
        ("name: a\nrow: [{}, {siz: 1}]\n",
         ["f:2:12 error[E110] unknown key 'siz' in row.1\n    hint: did you mean size?"]),
        ("name: a\nrow: 3\n", ["f:2:6 error[E112] row: expects a list, got 3"]),
        ("name: a\nqqqqqq: 3\n", ["f:2:1 error[E110] unknown key 'qqqqqq'\n    hint: known: many, name, row, two"]),
    ],
)  # fmt: skip
def test_messages(text, expected):
    assert messages(text) == expected


def test_without_places_the_path_still_helps():
    with pytest.raises(ValidationError) as found:
        Outer.model_validate({"name": "a", "many": {"x": {"size": 0}}})
    (one,) = explain(found.value, Outer, {"name": "a", "many": {"x": {"size": 0}}}, {})
    assert str(one) == "error[E112] many.x.size: expects at least 1, got 0"


def test_order_is_by_file_line_and_column():
    made = [problem("E1", c, Place(f, line)) for c, f, line in [("b", "x", 9), ("c", "y", 1), ("a", "x", 2)]]
    assert [p.message for p in in_order([*made, problem("E1", "no place")])] == ["a", "b", "c", "no place"]


def test_nearest_and_dotted():
    places = {(): Place("f", 1), ("a",): Place("f", 2)}
    assert nearest(("a", "b", 0), places) == Place("f", 2)
    assert nearest(("b",), {}) is None
    assert dotted(("a", 0, "k" * 100)) == "a.0." + "k" * 57 + "..."
