import pytest
import torch
from torch import nn

from mmm_graph.nn.resnet import Resnet


def test_starts_as_the_identity_or_the_projection():
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(Resnet(8, 8, num_groups=4)(x), x)
    wider = Resnet(8, 12, num_groups=4)
    assert torch.equal(wider(x), wider.skip(x))


def test_time_is_added_between_the_convolutions():
    layer = Resnet(8, 8, time_dim=6, num_groups=4)
    nn.init.normal_(layer.conv2.weight)
    x = torch.randn(2, 8, 4, 4)
    assert not torch.allclose(layer(x, torch.zeros(2, 6)), layer(x, torch.randn(2, 6)))


def test_a_block_with_time_needs_it():
    with pytest.raises(AssertionError, match="time_dim"):
        Resnet(8, 8, time_dim=6, num_groups=4)(torch.randn(1, 8, 4, 4))
