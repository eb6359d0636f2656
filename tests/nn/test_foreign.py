import pytest
from torch import nn

from mmm_graph.nn.conv import Conv2d
from mmm_graph.nn.foreign import is_local, reason_against


class OwnConv(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


class OwnNorm(nn.GroupNorm):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    "part",
    [
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(4, 4, 2, stride=2),
        nn.Conv2d(4, 4, 4, stride=2, padding=1),
        nn.Conv2d(4, 4, 1, stride=2),
        nn.Conv2d(4, 4, 1, groups=4),
        nn.GroupNorm(2, 4),
        nn.Linear(4, 4),
        nn.LayerNorm(4),
        nn.AvgPool2d(2),
        nn.MaxPool2d(2, stride=(2, 2)),
        nn.Upsample(scale_factor=2),
        nn.ZeroPad2d((1, 1, 0, 0)),
        nn.BatchNorm2d(4).eval(),
        nn.Sequential(nn.InstanceNorm2d(4)),  # its sub-modules are looked at by themselves
    ],
)
def test_rows_can_be_shared(part):
    assert reason_against(part) == ""


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (nn.Conv2d(4, 4, 3, padding=1, groups=2), "a convolution of 2 groups"),
        (nn.Conv2d(4, 4, 3, padding=2, dilation=2), "a convolution of dilation (2, 2)"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), "a convolution that pads with circular"),
        (nn.Conv2d(4, 4, (3, 1), padding=(1, 0)), "both axes must be alike"),
        (nn.Conv2d(4, 4, 3, padding="same"), "padding 'same'"),
        (nn.Conv2d(4, 4, 3), "kernel 3, stride 1, padding 0 does not keep height / stride"),
        (nn.Conv2d(4, 4, 3, stride=2), "kernel 3, stride 2, padding 0 does not keep height / stride"),
        (nn.Conv2d(4, 4, 1, padding=1), "kernel 1, stride 1, padding 1 does not keep height / stride"),
        (OwnConv(4, 4, 3, padding=1), "OwnConv convolves in a way of its own"),
        (OwnNorm(2, 4), "OwnNorm normalises in a way of its own"),
        (nn.GroupNorm(2, 4, affine=False), "a group norm without weight and bias"),
        (nn.ConvTranspose2d(4, 4, 2, stride=2), "reads neighbouring rows"),
        (nn.ReflectionPad2d(1), "reads neighbouring rows"),
        (nn.ZeroPad2d((0, 1, 0, 1)), "reads neighbouring rows"),
        (nn.InstanceNorm2d(4), "reads all rows"),
        (nn.AdaptiveAvgPool2d(1), "reads all rows"),
        (nn.AvgPool2d(3, stride=2, padding=1), "pools that overlap"),
        (nn.Upsample(scale_factor=2, mode="bilinear"), "upsampling that is bilinear"),
        (nn.BatchNorm2d(4), "a batch norm that takes the statistics of its input"),
        (nn.MultiheadAttention(4, 2), "attends in a way of its own"),
        (Conv2d(4, 4), "asks an exchange already"),
    ],
)
def test_rows_cannot_be_shared(part, why):
    assert why in reason_against(part)


def test_convolutions_of_one_pixel_are_local():
    assert is_local(nn.Conv2d(4, 4, 1, groups=2))
    assert not is_local(nn.Conv2d(4, 4, 1, stride=2))
    assert not is_local(nn.Conv2d(4, 4, 1, padding=1))
    assert not is_local(nn.Linear(4, 4))
