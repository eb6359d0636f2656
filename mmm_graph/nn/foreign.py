"""Which layers of torch.nn can work on some of the rows of an image: a table of those that cannot, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.modules.utils import _pair


def is_local(part: nn.Module) -> bool:
    """Whether it is a convolution that reads one pixel for each pixel that it writes."""
    return (
        isinstance(part, nn.Conv2d)
        and part.kernel_size == (1, 1)
        and part.stride == (1, 1)
        and part.padding in ((0, 0), "same", "valid")
    )


def reason_against(part: nn.Module) -> str:
    """Why the rows of this layer (its sub-modules aside) cannot be shared among ranks; "" when they can."""
    if hasattr(part, "exchange"):
        return "asks an exchange already"
    return next((why for kind, against in REASONS if isinstance(part, kind) and (why := against(part))), "")


def conv(part: Any) -> str:
    """An exchange knows square kernels and zeros, of the size that keeps height / stride."""
    if is_local(part):
        return ""
    if type(part).forward is not nn.Conv2d.forward or type(part)._conv_forward is not nn.Conv2d._conv_forward:
        return f"{type(part).__name__} convolves in a way of its own"
    kernel, stride, padding = part.kernel_size, part.stride, part.padding
    if part.groups != 1:
        return f"a convolution of {part.groups} groups"
    if part.dilation != (1, 1):
        return f"a convolution of dilation {part.dilation}"
    if part.padding_mode != "zeros":
        return f"a convolution that pads with {part.padding_mode}"
    if isinstance(padding, str) or any(len(set(pair)) > 1 for pair in (kernel, stride, padding)):
        return f"a convolution with kernel {kernel}, stride {stride}, padding {padding!r}: both axes must be alike"
    if not kernel[0] - stride[0] <= 2 * padding[0] < kernel[0]:
        what = f"a convolution with kernel {kernel[0]}, stride {stride[0]}, padding {padding[0]}"
        return f"{what} does not keep height / stride"
    return ""


def group_norm(part: Any) -> str:
    if type(part).forward is not nn.GroupNorm.forward:
        return f"{type(part).__name__} normalises in a way of its own"
    return "" if part.affine else "a group norm without weight and bias"


def pool(part: Any) -> str:
    """Pools that do not overlap stay within the rows of a rank, which are multiples of the model's stride."""
    is_apart = _pair(part.stride) == _pair(part.kernel_size) and _pair(part.padding) == (0, 0)
    return "" if is_apart else "pools that overlap"


def zero_pad(part: Any) -> str:
    return NEIGHBOURS(part) if any(part.padding[2:]) else ""


def upsample(part: Any) -> str:
    return "" if part.mode == "nearest" else f"upsampling that is {part.mode}"


def batch_norm(part: Any) -> str:
    is_fixed = not part.training and part.track_running_stats
    return "" if is_fixed else "a batch norm that takes the statistics of its input"


def always(what: str) -> Callable[[Any], str]:
    return lambda part: what


ALL_ROWS = always("reads all rows")
NEIGHBOURS = always("reads neighbouring rows")
REASONS: tuple[tuple[type[nn.Module], Callable[[Any], str]], ...] = (
    (nn.Conv2d, conv),
    (nn.GroupNorm, group_norm),
    (nn.Conv3d, NEIGHBOURS),
    (nn.ConvTranspose2d, NEIGHBOURS),
    (nn.ConvTranspose3d, NEIGHBOURS),
    (nn.ReflectionPad2d, NEIGHBOURS),
    (nn.ReplicationPad2d, NEIGHBOURS),
    (nn.CircularPad2d, NEIGHBOURS),
    (nn.ZeroPad2d, zero_pad),
    (nn.Unfold, NEIGHBOURS),
    (nn.Fold, NEIGHBOURS),
    (nn.AvgPool2d, pool),
    (nn.MaxPool2d, pool),
    (nn.Upsample, upsample),
    (nn.BatchNorm2d, batch_norm),
    (nn.InstanceNorm2d, ALL_ROWS),
    (nn.AdaptiveAvgPool2d, ALL_ROWS),
    (nn.AdaptiveMaxPool2d, ALL_ROWS),
    (nn.MultiheadAttention, always("attends in a way of its own")),
)
