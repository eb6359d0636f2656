"""Group normalisation with statistics over all ranks, and the modulation of adaptive layer norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmm_graph.parallel.exchange import SINGLE, Exchange
from mmm_graph.parallel.few_rows import can_take, kernels


class RmsNorm(nn.RMSNorm):
    """nn.RMSNorm; a few rows on a CPU by the kernel of parallel/few_rows.py: ... d -> ... d."""

    def forward(self, x: Tensor) -> Tensor:
        if len(self.normalized_shape) == 1 and self.eps is not None and self.weight is not None:
            kernel = kernels() if can_take(x, others=(self.weight,)) else None
            if kernel is not None:
                return kernel.norm(x, self.weight, self.eps)
        return super().forward(x)


class GroupNorm(nn.Module):
    """Group normalisation through the exchange: b c h w -> b c h w.

    Raises:
        ValueError: `channels` is not a multiple of `num_groups`.
    """

    def __init__(self, num_groups: int, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        if channels % num_groups:
            raise ValueError(f"{channels} channels do not divide into {num_groups} groups")
        self.exchange: Exchange = SINGLE
        self.layer = ""
        self.num_groups = num_groups
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.exchange.group_norm(self.layer, x, self.num_groups, self.weight, self.bias, self.eps)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x * (1 + scale) + shift, with x [b,l,d] and shift, scale [b,d].

    Source: Peebles and Xie 2022 (arXiv:2212.09748), section 3.2.
    """
    return torch.addcmul(shift.unsqueeze(1), x, 1 + scale.unsqueeze(1))


def add_gated(h: Tensor, gate: Tensor, x: Tensor) -> Tensor:
    """h + gate * x, with h and x [b,l,d] and gate [b,d], in one pass."""
    return torch.addcmul(h, gate.unsqueeze(1), x)
