import torch

from mmm_graph.nn.attention import merge_heads, split_heads
from mmm_graph.nn.unscaled import UnscaledAttention


def test_it_is_softmax_of_products_and_bias_without_scale_over_other_tokens():
    layer = UnscaledAttention(12, 3, 5).double()
    x, seen = (torch.randn(2, length, 12, dtype=torch.float64) for length in (4, 7))
    bias = torch.randn(1, 3, 4, 7, dtype=torch.float64)
    keys, values = (y.transpose(1, 2) for y in layer.look_at(seen))
    weights = torch.softmax(split_heads(layer.q(x), 3) @ keys.transpose(-1, -2) + bias, dim=-1)
    assert torch.allclose(layer(x, keys, values, bias), layer.out(merge_heads(weights @ values)))
    assert not torch.allclose(layer(x, keys, values, None), layer(x, keys, values, bias))
