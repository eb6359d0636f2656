from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from mmm_graph.nn.noise import Noise
from mmm_losses.drop import config as c
from mmm_losses.drop import ops


def noise(elements, index=(0,)):
    return Noise((3,), "drop", tuple(elements), index)


def test_a_share_of_the_texts_is_dropped_and_always_the_same_ones():
    texts = [f"text {k}" for k in range(2000)]
    found = ops.drop_text(texts, c.DropConfig(p=0.1), noise(range(2000)))
    gone = [k for k, text in enumerate(found) if text == ""]
    assert 150 < len(gone) < 250
    assert all(text in ("", texts[k]) for k, text in enumerate(found))
    assert ops.drop_text(texts[: gone[0] + 1], c.DropConfig(p=0.1), noise(range(gone[0] + 1)))[-1] == ""
    later = ops.drop_text(texts, c.DropConfig(p=0.1), noise(range(2000), (1,)))
    assert later != found


def test_never_and_always():
    assert ops.drop_text(("a", "b"), c.DropConfig(p=0), noise(range(2))) == ["a", "b"]
    assert ops.drop_text(["a", "b"], c.DropConfig(p=1), noise(range(2))) == ["", ""]
    with pytest.raises(ValidationError):
        c.DropConfig(p=1.5)


def test_ids_are_replaced_whole():
    ids = torch.arange(1, 4001).view(1000, 4)
    found = ops.drop_ids(ids, c.IdsDropConfig(p=0.3, value=0), noise(range(1000)))
    rows = (found == 0).sum(dim=1)
    assert set(rows.tolist()) == {0, 4} and 250 < int((rows == 4).sum()) < 350
    assert torch.equal(found[rows == 0], ids[rows == 0])
    assert ops.drop_ids(torch.arange(5), c.IdsDropConfig(p=1, value=9), noise(range(5))).tolist() == [9] * 5
