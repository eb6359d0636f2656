"""A transformer over the pixels of a feature map, which reads a condition by cross-attention or attends twice."""

from __future__ import annotations

from torch import Tensor, nn

from mmm_graph.nn.attention import Attention, CrossAttention
from mmm_graph.nn.conv import Conv2d
from mmm_graph.nn.init import zero
from mmm_graph.nn.mlp import GatedMlp
from mmm_graph.nn.norm import GroupNorm

NORM_EPS = 1e-6


class PixelTransformer(nn.Module):
    """x + project(layers(project(norm(x)))), identity at initialisation: b c h w -> b c h w.

    Args:
        width: channels of the feature map.
        cond_dim: width of the condition; None: there is none, and pixels attend to each other in its place too.
        num_heads: of self- and cross-attention.
        layers: how many of them.
        groups: of the group norm.
        linear: it projects by linear layers instead of 1x1 convolutions.
    Source: Rombach et al. 2021 (arXiv:2112.10752), appendix E.2.1.
    """

    def __init__(
        self,
        width: int,
        cond_dim: int | None,
        num_heads: int,
        *,
        layers: int = 1,
        groups: int = 32,
        linear: bool,
    ) -> None:
        super().__init__()
        self.is_linear, self.reads = linear, cond_dim is not None
        self.norm = GroupNorm(groups, width, NORM_EPS)
        self.proj_in: nn.Module = nn.Linear(width, width) if linear else Conv2d(width, width, kernel=1)
        self.layers = nn.ModuleList(Layer(width, cond_dim, num_heads) for _ in range(layers))
        self.proj_out: nn.Module = nn.Linear(width, width) if linear else Conv2d(width, width, kernel=1)
        zero(self.proj_out)

    def forward(self, x: Tensor, cond: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """`cond` [b,t,d] and `mask` [b,t]; where x has more rows, as frames, so many in turn read one condition."""
        tokens = self.enter(self.norm(x))
        for layer in self.layers:
            tokens = layer(tokens, cond, mask)
        return x + self.leave(tokens, x)

    def enter(self, x: Tensor) -> Tensor:
        """b c h w -> b l c."""
        if self.is_linear:
            x = x.flatten(2).transpose(1, 2)
        y: Tensor = self.proj_in(x)
        return y if self.is_linear else y.flatten(2).transpose(1, 2)

    def leave(self, tokens: Tensor, like: Tensor) -> Tensor:
        """b l c -> b c h w."""
        if not self.is_linear:
            tokens = tokens.transpose(1, 2).reshape(like.shape)
        y: Tensor = self.proj_out(tokens)
        return y.transpose(1, 2).reshape(like.shape) if self.is_linear else y


class Layer(nn.Module):
    """Self-attention, cross-attention, gated MLP, each after a layer norm: b l d -> b l d."""

    def __init__(self, dim: int, cond_dim: int | None, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, num_heads, bias=False)
        self.norm2 = nn.LayerNorm(dim)
        self.cross: nn.Module = (
            Attention(dim, num_heads, bias=False)
            if cond_dim is None
            else CrossAttention(dim, cond_dim, num_heads, bias=False)
        )
        self.norm3 = nn.LayerNorm(dim)
        self.mlp = GatedMlp(dim, 4 * dim)

    def forward(self, x: Tensor, cond: Tensor | None, mask: Tensor | None) -> Tensor:
        x = x + self.attn(self.norm1(x))
        if cond is None:
            x = x + self.cross(self.norm2(x))
        else:
            by_cond = (len(cond), -1, x.shape[2])  # queries do not see each other
            x = x + self.cross(self.norm2(x).reshape(by_cond), cond, mask).view_as(x)
        y: Tensor = x + self.mlp(self.norm3(x))
        return y
