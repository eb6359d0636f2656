"""Absence, sizes, descriptions, content keys."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmm_graph.runtime.values import Absent, content_key, describe, is_empty, num_bytes, truth


def test_the_reason_stays_and_the_nodes_add_up() -> None:
    absent = Absent("no rows").after("a").after("b").after("a")
    assert str(absent) == "no rows; skipped: a, b"
    for i in range(50):
        absent = absent.after(str(i))
    assert len(absent.skipped) == 8


@pytest.mark.parametrize("value", [None, torch.zeros(0, 3), [], ()])
def test_empty(value: Any) -> None:
    assert is_empty(value)


@pytest.mark.parametrize(
    "value", [torch.zeros(()), torch.zeros(2, 0), [""], 0, False, {}, torch.nn.Parameter(torch.ones(1))]
)
def test_not_empty(value: Any) -> None:
    assert not is_empty(value)


def test_bytes_of_what_a_value_holds() -> None:
    assert num_bytes({"a": torch.zeros(3), "b": [torch.zeros(2, dtype=torch.float64), "x"]}) == 28


def test_descriptions() -> None:
    assert describe({"x": torch.zeros(2, 3), "t": ["a" * 50] * 2, "n": 1.5}) == (
        "{x: float32[2, 3], t: 2 x '" + "a" * 37 + "...', n: 1.5}"
    )


def test_equal_content_has_equal_keys() -> None:
    a, b = torch.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(3, 2)
    assert content_key(a) == content_key(a.clone()) == content_key(a.t().contiguous().t())
    keys = [
        content_key(v)
        for v in (a, b, a.double(), ["a"], ["a", ""], "a", 1, 1.0, True, None, {"a": a}, torch.zeros(0))
    ]
    assert len(set(keys)) == len(keys) and None not in keys


def test_what_has_no_key() -> None:
    assert content_key(object()) is None and content_key([object()]) is None
    assert content_key(torch.ones(1, requires_grad=True)) is None


def test_truth() -> None:
    assert (
        truth(True)
        and truth(torch.tensor([True, True]))
        and not truth(torch.tensor([False, False]))
        and not truth(0)
    )
    with pytest.raises(ValueError, match="disagree"):
        truth(torch.tensor([True, False]))
