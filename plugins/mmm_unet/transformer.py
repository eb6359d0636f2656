"""A transformer over the pixels of a feature map that reads the condition by cross-attention."""

from __future__ import annotations

from torch import Tensor, nn

from mmm_graph.nn.attention import Attention, CrossAttention
from mmm_graph.nn.conv import Conv2d
from mmm_graph.nn.init import zero
from mmm_graph.nn.mlp import GatedMlp
from mmm_graph.nn.norm import GroupNorm
from mmm_graph.nn.parts import State, known, need
from mmm_unet.config import Level, UNetConfig

NORM_EPS = 1e-6


class PixelTransformer(nn.Module):
    """x + project(layers(project(norm(x)))), identity at initialisation: b c h w -> b c h w.

    Source: Rombach et al. 2021 (arXiv:2112.10752), appendix E.2.1.
    """

    def __init__(self, config: UNetConfig, level: Level) -> None:
        super().__init__()
        cond_dim = known(config.cond_dim, "cond_dim")
        width = level.channels
        self.is_linear = config.linear_projection
        self.norm = GroupNorm(config.groups, width, NORM_EPS)
        self.proj_in: nn.Module = (
            nn.Linear(width, width) if self.is_linear else Conv2d(width, width, kernel=1)
        )
        self.layers = nn.ModuleList(
            Layer(width, cond_dim, level.num_heads) for _ in range(level.transformer_layers)
        )
        self.proj_out: nn.Module = (
            nn.Linear(width, width) if self.is_linear else Conv2d(width, width, kernel=1)
        )
        zero(self.proj_out)

    def forward(self, x: Tensor, state: State) -> Tensor:
        cond, mask = need(state, "cond.embeds", "a U-Net with cross-attention"), state.get("cond.mask")
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

    def __init__(self, dim: int, cond_dim: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, num_heads, bias=False)
        self.norm2 = nn.LayerNorm(dim)
        self.cross = CrossAttention(dim, cond_dim, num_heads, bias=False)
        self.norm3 = nn.LayerNorm(dim)
        self.mlp = GatedMlp(dim, 4 * dim)

    def forward(self, x: Tensor, cond: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.attn(self.norm1(x))
        x = x + self.cross(self.norm2(x), cond, mask)
        y: Tensor = x + self.mlp(self.norm3(x))
        return y
