import pytest
import torch
from torch import nn

from mmm_graph.nn.conv import Conv2d, Downsample, Upsample, channels_last


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1)])
def test_conv_is_torch_s(kernel, stride):
    ours = Conv2d(3, 5, kernel, stride)
    theirs = nn.Conv2d(3, 5, kernel, stride, padding=kernel // 2)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 8, 6)
    assert torch.equal(ours(x), theirs(x))


def test_initial_weights_have_the_spread_of_torch_s():
    weight = Conv2d(16, 64).weight
    assert weight.std().item() == pytest.approx((3 * 16 * 9) ** -0.5, rel=0.05)


@pytest.mark.parametrize("padding", [(1, 1), (0, 1)])
def test_resampling_halves_and_doubles(padding):
    x = torch.randn(1, 4, 8, 6)
    assert Downsample(4, padding)(x).shape == (1, 4, 4, 3)
    assert Upsample(4)(x).shape == (1, 4, 16, 12)


def test_channels_last_changes_the_format_and_not_the_values():
    x = torch.randn(2, 3, 4, 4)
    y = channels_last(x)
    assert torch.equal(x, y)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert Conv2d(3, 4)(y).is_contiguous(memory_format=torch.channels_last)
