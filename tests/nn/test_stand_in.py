"""A layer that stands in for another has its tensors, its names and its answers."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from mmm_graph.nn.linear import RowLinear
from mmm_graph.nn.stand_in import StandIn, names_beside, stand_in


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.ones(()))

    def add(self, y: Tensor, x: Tensor) -> Tensor:
        return y + self.own * y


def test_tensors_are_the_layers_under_their_names():
    module = nn.Sequential(RowLinear(3, 2))
    weight, x = module[0].weight, torch.randn(1, 3)
    plain = module(x)
    stand_in(module, "0", StandIn(module[0], Twice()))
    assert torch.equal(module(x), 2 * plain) and module[0].weight is weight
    assert module[0].exchange is module[0].base.exchange and module[0].out_features == 2
    assert list(module.state_dict()) == ["0.weight", "0.bias", "0.beside.own"]
    assert names_beside(module) == ("0.beside.",)
    module.double()
    assert module(x.double()).dtype is torch.float64, "moving it moves the layer"
    module[0].weight = nn.Parameter(torch.zeros(2, 3, dtype=torch.float64))
    assert torch.equal(module(x.double()), (2 * module[0].bias).expand(1, 2)), "so does replacing a tensor"
    other = copy.deepcopy(module)
    with torch.no_grad():
        other[0].weight += 1
    assert other[0].base.weight is other[0].weight and module[0].weight.abs().max() == 0
