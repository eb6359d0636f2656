"""Bit-wise comparison, copies, and the watch over global generators."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from mmm_graph.testing.same import copied, same, untouched_rng


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (torch.ones(2), torch.ones(2), True),
        (torch.ones(2), torch.ones(2).double(), False),
        (torch.ones(2), torch.ones(1, 2), False),
        (torch.tensor([float("nan")]), torch.tensor([float("nan")]), True),
        ({"x": [torch.ones(2), "a"]}, {"x": [torch.ones(2), "a"]}, True),
        ({"x": [torch.ones(2), "a"]}, {"x": [torch.zeros(2), "a"]}, False),
        ({"x": 1}, {"y": 1}, False),
        ([1, 2], [1], False),
        ("a", "b", False),
    ],
)
def test_same(a: Any, b: Any, equal: bool) -> None:
    assert same(a, b) is equal


def test_copied_tensors_do_not_follow_the_original() -> None:
    value = {"x": [torch.zeros(2)], "y": "text"}
    copy = copied(value)
    value["x"][0].add_(1)  # type: ignore[union-attr]
    assert same(copy, {"x": [torch.zeros(2)], "y": "text"})


@pytest.mark.parametrize(
    ("name", "draw"),
    [("torch", lambda: torch.rand(1)), ("random", random.random), ("numpy", np.random.rand)],
    ids=["torch", "random", "numpy"],
)
def test_a_draw_from_a_global_generator_is_noticed(name: str, draw: Any) -> None:
    with (
        pytest.raises(AssertionError, match=f"toy draws from the global generator of {name}"),
        untouched_rng("toy"),
    ):
        draw()
    with untouched_rng("toy"):
        torch.rand(1, generator=torch.Generator().manual_seed(0))
    with untouched_rng("toy", torch_too=False):
        torch.rand(1)
