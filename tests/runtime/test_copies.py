"""Cutting and joining: rows, shares of a batch, the state of a sampler."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmm_graph.plan.ops import At
from mmm_graph.runtime.copies import bounds, copy, join, shared_keys, take
from mmm_graph.runtime.values import Absent

AT = At("r", "n")
X = torch.arange(2 * 3 * 4 * 2.0).view(2, 3, 4, 2)


def done(*fn: Any, **args: Any) -> Any:
    return copy(("copy", *fn)).function({k[1:]: v for k, v in args.items()}, AT)["x"]


def test_rows_are_cut_and_joined_as_they_are_stored() -> None:
    for x in (X, X.contiguous(memory_format=torch.channels_last)):
        parts = [done("cut", a, b, _0=x) for a, b in ((0, 1), (1, 4))]
        assert [p.shape[2] for p in parts] == [1, 3]
        assert all(p.is_contiguous(memory_format=torch.channels_last) == (x is not X) for p in parts)
        assert torch.equal(done("join", "rows", _0=parts[0], _1=parts[1]), x)


def test_a_state_is_cut_where_it_is_like_the_latents() -> None:
    state = {"x": X, "before": X + 1, "sigma": torch.tensor(3.0)}
    parts = [done("cut", a, b, _0=state) for a, b in ((0, 2), (2, 4))]
    assert parts[1]["sigma"] is state["sigma"] and torch.equal(parts[1]["before"], X[:, :, 2:] + 1)
    whole = done("join", "rows", _0=parts[0], _1=parts[1])
    assert all(torch.equal(whole[k], v) for k, v in state.items())
    shares = [take(state, (k, 2)) for k in range(2)]
    assert torch.equal(done("join", "batch", _0=shares[0], _1=shares[1])["x"], X)


def test_shares_are_even_the_larger_ones_first() -> None:
    assert [bounds(5, (k, 3)) for k in range(3)] == [(0, 2), (2, 4), (4, 5)]
    assert [bounds(1, (k, 2)) for k in range(2)] == [(0, 1), (1, 1)]
    assert done("take", 1, 2, _0=["a", "b", "c"]) == ["c"]
    assert done("join", "batch", _0=["a", "b"], _1=["c"]) == ["a", "b", "c"]


def test_a_share_that_is_not_there_is_left_out() -> None:
    gone = Absent("no rows")
    assert torch.equal(done("join", "batch", _0=gone, _1=X), X)
    assert done("join", "batch", _0=gone, _1=gone) is gone and done("join", "rows", _0=X, _1=gone) is gone
    assert join([], 0) is None


@pytest.mark.parametrize(("seeds", "found"), [((7,), (7,)), ((1, 2, 3), (3,))])
def test_noise_of_a_share_has_the_keys_of_its_elements(
    seeds: tuple[int, ...], found: tuple[int, ...]
) -> None:
    assert shared_keys(seeds, (4, 5, 6), (1, 2)) == (found, (6,))
    assert shared_keys(seeds, (4, 5, 6), (0, 1)) == (seeds, (4, 5, 6))
