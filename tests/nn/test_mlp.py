import pytest
import torch
import torch.nn.functional as F

from mmm_graph.nn.mlp import ACTIVATIONS, GatedMlp, Mlp


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_mlp_applies_the_named_activation(name):
    layer, x = Mlp(4, 6, name), torch.randn(2, 3, 4)
    assert torch.equal(layer(x), layer.down(ACTIVATIONS[name](layer.up(x))))


def test_quick_gelu_is_close_to_gelu_and_not_equal():
    x = torch.linspace(-4, 4, 50)
    difference = (ACTIVATIONS["quick_gelu"](x) - F.gelu(x)).abs().max()
    assert 1e-3 < difference < 0.03


def test_gate_is_the_second_half():
    layer, x = GatedMlp(4, 6), torch.randn(2, 4)
    value, gate = layer.up(x)[:, :6], layer.up(x)[:, 6:]
    assert torch.allclose(layer(x), layer.down(value * F.gelu(gate)))
