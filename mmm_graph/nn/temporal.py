"""Layers along the frames of clips. Axes: b batch, c channels, f frames, h w.

A clip `b c f h w` lies in memory as its frames do, one after the other, so that `as_frames` and `as_clip` copy nothing.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.attention import Attention
from mmm_graph.nn.init import zero
from mmm_graph.nn.mlp import GatedMlp
from mmm_graph.nn.norm import GroupNorm

NORM_EPS = 1e-6


def as_frames(x: Tensor) -> Tensor:
    """b c f h w -> (b f) c h w."""
    return x.transpose(1, 2).flatten(0, 1)


def as_clip(x: Tensor, batch: int) -> Tensor:
    """(b f) c h w -> b c f h w."""
    return x.unflatten(0, (batch, -1)).transpose(1, 2)


class FrameConv(nn.Conv2d):
    """A convolution over each frame and its two neighbours in time, pixel by pixel: b c f h w -> b out f h w."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, (3, 1), padding=(1, 0))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(3)  # b c f (h w): an image whose rows are frames
        return super().forward(flat).view(len(x), self.out_channels, *x.shape[2:])


class TemporalConv(nn.Module):
    """x + four times conv(silu(norm(x))) along the frames, identity at initialisation: b c f h w -> b c f h w.

    Args:
        channels: of x.
        groups: of the norms, whose statistics are of all frames.
    Source: Wang et al. 2023 (arXiv:2308.06571), section 3.2, as the published weights have it.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(GroupNorm(groups, channels) for _ in range(4))
        self.convs = nn.ModuleList(FrameConv(channels, channels) for _ in range(4))
        zero(self.convs[3])

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv(F.silu(over_all(norm, h)))
        return x + h


class TemporalTransformer(nn.Module):
    """x + project(layers(project(norm(x)))) along the frames of each pixel, identity at first: b c f h w -> b c f h w.

    Args:
        channels: of x.
        num_heads, head_dim: heads and the width of one; together they are the width of its tokens.
        groups: of the norm, whose statistics are of all frames.
        layers: how many of them.
    Source: Wang et al. 2023 (arXiv:2308.06571), section 3.2; with positions, Guo et al. 2023 (arXiv:2307.04725),
    section 4.2.
    """

    def __init__(self, channels: int, num_heads: int, head_dim: int, groups: int, *, layers: int = 1) -> None:
        super().__init__()
        width = num_heads * head_dim
        self.norm = GroupNorm(groups, channels, NORM_EPS)
        self.proj_in = nn.Linear(channels, width)
        self.layers = nn.ModuleList(TemporalLayer(width, num_heads, head_dim) for _ in range(layers))
        self.proj_out = nn.Linear(width, channels)
        zero(self.proj_out)

    def forward(self, x: Tensor, positions: Tensor | float = 0.0) -> Tensor:
        """Positions [f, width of its tokens], if any, are told to each layer."""
        b, c, f, h, w = x.shape
        tokens = self.proj_in(over_all(self.norm, x).permute(0, 3, 4, 2, 1).reshape(b * h * w, f, c))
        for layer in self.layers:
            tokens = layer(tokens, positions)
        tokens = self.proj_out(tokens)
        y: Tensor = x + tokens.view(b, h, w, f, c).permute(0, 4, 3, 1, 2)
        return y


class TemporalLayer(nn.Module):
    """Self-attention twice and a gated MLP, each after a layer norm: b f d -> b f d.

    Positions [f,d], if any, are added to what each attention reads.
    """

    def __init__(self, dim: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn1 = Attention(dim, num_heads, head_dim, bias=False)
        self.norm2 = nn.LayerNorm(dim)
        self.attn2 = Attention(dim, num_heads, head_dim, bias=False)
        self.norm3 = nn.LayerNorm(dim)
        self.mlp = GatedMlp(dim, 4 * dim)

    def forward(self, x: Tensor, positions: Tensor | float = 0.0) -> Tensor:
        x = x + self.attn1(self.norm1(x) + positions)
        x = x + self.attn2(self.norm2(x) + positions)
        y: Tensor = x + self.mlp(self.norm3(x))
        return y


def over_all(norm: nn.Module, x: Tensor) -> Tensor:
    """A group norm with the statistics of all frames: they are one image, above one another."""
    y: Tensor = norm(x.flatten(2, 3))
    return y.view_as(x)
