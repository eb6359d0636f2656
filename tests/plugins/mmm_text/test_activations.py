"""Activations by transformers' names compute what transformers computes."""

import pytest
import torch

from mmm_graph.nn.mlp import ACTIVATIONS as OURS
from mmm_text.activations import ACTIVATIONS, read_activation


@pytest.mark.parity
@pytest.mark.parametrize("act", list(ACTIVATIONS))
def test_the_function_is_theirs(act):
    from transformers.activations import ACT2FN

    x = torch.linspace(-6, 6, 101, dtype=torch.float64)
    assert torch.allclose(OURS[read_activation(act)](x), ACT2FN[act](x), rtol=0, atol=1e-10)


def test_others_are_refused():
    with pytest.raises(ValueError, match="hidden_act: 'relu' is not supported; expected one of quick_gelu"):
        read_activation("relu")
