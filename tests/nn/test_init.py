import torch
from torch import nn

from mmm_graph.nn.init import xavier, zero


def test_zero_covers_bias():
    layer = nn.Linear(3, 4)
    zero(layer)
    assert not layer(torch.randn(2, 3)).any()


def test_xavier_reaches_nested_linears_and_allows_no_bias():
    module = nn.Sequential(nn.Linear(3, 5), nn.Sequential(nn.Linear(5, 400, bias=False)))
    xavier(module)
    assert not module[0].bias.any()
    bound = (6 / 405) ** 0.5
    assert bound * 0.9 < module[1][0].weight.abs().max() <= bound
