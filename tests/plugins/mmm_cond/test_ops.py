"""Ops around conditions."""

from __future__ import annotations

import pytest
import torch

from mmm_cond import ops
from mmm_cond.config import ConcatConfig, LabelConfig, NormaliseConfig, NumberConfig, SizeConfig


def test_side_by_side() -> None:
    a, b = torch.randn(2, 3, 4), torch.randn(2, 3, 5)
    assert torch.equal(ops.concat([a, b], ConcatConfig()), torch.cat([a, b], -1))
    assert torch.equal(ops.concat_pooled([a[:, 0], b[:, 0]]), torch.cat([a[:, 0], b[:, 0]], -1))


def test_one_after_the_other() -> None:
    a, b = torch.randn(2, 3, 4), torch.randn(2, 7, 6)
    found = ops.concat([a, b], ConcatConfig(axis="t", pad=True))
    assert found.shape == (2, 10, 6) and torch.equal(found[:, 3:], b)
    assert torch.equal(found[:, :3, :4], a) and not found[:, :3, 4:].any()
    with pytest.raises(ValueError, match="widths 4, 6"):
        ops.concat([a, b], ConcatConfig(axis="t"))
    for axis in ("t", "d"):
        with pytest.raises(ValueError, match="by embeds"):
            ops.concat([a[:, 0]], ConcatConfig(axis=axis))


def test_a_mask_of_all() -> None:
    mask = ops.count_all(torch.zeros(2, 3, 4))
    assert mask.shape == (2, 3) and mask.dtype == torch.bool and mask.all()


def test_empty_texts() -> None:
    embeds, pooled = torch.randn(2, 3, 4), torch.randn(2, 5)
    found = ops.zero_empty(["", "a cat"], embeds, pooled)
    assert not found["embeds"][0].any() and torch.equal(found["embeds"][1], embeds[1])
    assert not found["pooled"][0].any() and torch.equal(found["pooled"][1], pooled[1])


def test_constants_of_a_batch() -> None:
    assert ops.number(["a", "b"], NumberConfig(value=3.5)).tolist() == [3.5, 3.5]
    found = ops.label(torch.zeros(3), LabelConfig(value=7))
    assert found.tolist() == [7, 7, 7] and found.dtype == torch.int64


def test_sizes() -> None:
    found = ops.sizes(["a", "b"], SizeConfig(height=20, width=10, crop_top=3, original_width=40))
    assert found["sizes"].tolist() == [[20, 40, 3, 0, 20, 10]] * 2
    assert found["resolution"].tolist() == [[20, 10]] * 2 and found["aspect"].tolist() == [[2]] * 2


def test_plain_texts() -> None:
    assert ops.normalise([" A Cat ", ""], NormaliseConfig()) == ["a cat", ""]
    assert ops.normalise([" A "], NormaliseConfig(lower=False)) == ["A"]
