"""The residual convolution block of U-Nets and latent autoencoders."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.conv import Conv2d
from mmm_graph.nn.init import zero
from mmm_graph.nn.norm import GroupNorm


class Resnet(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x))) + time))), identity at initialisation: b c h w -> b out h w.

    Args:
        in_channels, out_channels: where they differ, a 1x1 convolution carries x across.
        time_dim: width of the time vector that is added between the convolutions; None: no time.
        num_groups, eps: of the group norms.
    Source: Ho et al. 2020 (arXiv:2006.11239), appendix B.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        time_dim: int | None = None,
        num_groups: int = 32,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.norm1 = GroupNorm(num_groups, in_channels, eps)
        self.conv1 = Conv2d(in_channels, out_channels)
        self.time = None if time_dim is None else nn.Linear(time_dim, out_channels)
        self.norm2 = GroupNorm(num_groups, out_channels, eps)
        self.conv2 = Conv2d(out_channels, out_channels)
        self.skip = None if in_channels == out_channels else Conv2d(in_channels, out_channels, kernel=1)
        zero(self.conv2)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """`time` [b, time_dim], already through its activation."""
        h: Tensor = self.conv1(F.silu(self.norm1(x)))
        if self.time is not None:
            assert time is not None, "a block built with time_dim needs the time vector"
            h = h + self.time(time)[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        carried: Tensor = x if self.skip is None else self.skip(x)
        return carried + h
