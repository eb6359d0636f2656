"""Hidden states and features of all tokens, then of the last one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmm_graph.errors import RunError
from mmm_graph.nn.last_token import Hidden, LastToken, chosen


def test_only_the_last_token_is_left() -> None:
    h = torch.randn(2, 3, 4)
    norm = nn.LayerNorm(4)
    found = Hidden(norm)({"h": h})
    assert torch.equal(found["hidden"], norm(h)) and found["features"] is found["hidden"]
    last = LastToken()(found)
    assert torch.equal(last["hidden"], norm(h)[:, 2:]) and torch.equal(last["features"], norm(h)[:, 2])
    with pytest.raises(RunError, match="the language model needs hidden"):
        LastToken()({})


def test_chosen_tokens_are_left_in_the_order_in_which_they_are_named() -> None:
    x, places = torch.randn(2, 5, 4), torch.tensor([[3, 0], [4, 4]])
    assert torch.equal(chosen(x, places), torch.stack([x[0, [3, 0]], x[1, [4, 4]]]))
    assert chosen(x, None) is x
