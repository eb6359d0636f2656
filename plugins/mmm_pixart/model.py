"""The PixArt transformer as a list of parts. Axes: b batch, c h w, l image tokens, t text tokens, d width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.attention import Attention, CrossAttention
from mmm_graph.nn.embed import TimeEmbedding
from mmm_graph.nn.init import xavier, zero
from mmm_graph.nn.kept import Kept
from mmm_graph.nn.mlp import Mlp, gelu_tanh
from mmm_graph.nn.norm import add_gated, modulate
from mmm_graph.nn.parts import State, known, need, refuse, run_parts
from mmm_graph.nn.patch import from_patches, patch_grid, to_patches
from mmm_graph.nn.scaled_grid import ScaledGridEmbedding
from mmm_pixart.config import PixArtConfig


class PixArt(nn.Module):
    """Predicts noise, velocity or the clean sample from x [b,c,h,w] at times t [b] under a text.

    The prediction and what the text adds are zero at initialisation.

    Source: Chen et al. 2023 (arXiv:2310.00426), section 2.3; Chen et al. 2024 (arXiv:2403.04692).
    """

    def __init__(self, config: PixArtConfig) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"embed": Embed(config)})
        self.parts.update({f"block{i}": Block(config) for i in range(config.depth)})
        self.parts["head"] = Head(config)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{x, t, cond.embeds, cond.mask?, cond.resolution?, cond.aspect?} -> {pred, variance?}."""
        full = run_parts(self.parts, self.parts, state)
        return {key: need(full, key, "PixArt") for key in ("pred", "variance") if key in full}


class Embed(nn.Module):
    """x, t, size, cond.embeds -> h [b,l,d], time [b,d], c [b,6*d] (modulation of every block), text [b,t,d]."""

    def __init__(self, config: PixArtConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        width = config.width
        self.patch = nn.Linear(config.in_channels * config.patch_size**2, width)
        self.positions = ScaledGridEmbedding(width, config.grid, config.interpolation_scale)
        self.time = TimeEmbedding(config.freq_dim, width, scale=config.times)
        self.size = SizeEmbedding(config.freq_dim, width) if config.size_condition else None
        self.modulation = nn.Linear(width, 6 * width)
        self.text = TextEmbedding(known(config.cond_dim, "cond_dim"), width)
        self.kept = Kept()
        xavier(self)
        for module in (self.time, self.size, self.modulation, self.text):
            _draw_normal(module)

    def forward(self, state: State) -> dict[str, Tensor]:
        x = need(state, "x", "PixArt")
        grid = patch_grid(x, self.patch_size)
        h = self.patch(to_patches(x, self.patch_size))
        time = self.time(need(state, "t", "PixArt"))
        if self.size is not None:
            asker = "PixArt with size_condition: true"
            time = time + self.size(need(state, "cond.resolution", asker), need(state, "cond.aspect", asker))
        else:
            refuse(state, "cond.resolution", "PixArt with size_condition: false")
            refuse(state, "cond.aspect", "PixArt with size_condition: false")
        return {
            "h": h + self.positions(grid, h),
            "time": time,
            "c": self.modulation(F.silu(time)),
            "text": self.kept.of(need(state, "cond.embeds", "PixArt"), self.text),
        }


class SizeEmbedding(nn.Module):
    """Height and width in pixels [b,2] and height / width [b,1], each in a third of the result: b d."""

    def __init__(self, freq_dim: int, dim: int) -> None:
        super().__init__()
        self.resolution = TimeEmbedding(freq_dim, dim // 3)
        self.aspect = TimeEmbedding(freq_dim, dim // 3)

    def forward(self, resolution: Tensor, aspect: Tensor) -> Tensor:
        pairs = ((self.resolution, resolution), (self.aspect, aspect))
        return torch.cat([embed(n.flatten()).view(len(n), -1) for embed, n in pairs], dim=1)


class TextEmbedding(nn.Module):
    """Tokens of the text, through two layers: b t cond_dim -> b t d."""

    def __init__(self, cond_dim: int, dim: int) -> None:
        super().__init__()
        self.up = nn.Linear(cond_dim, dim)
        self.down = nn.Linear(dim, dim)

    def forward(self, embeds: Tensor) -> Tensor:
        y: Tensor = self.down(gelu_tanh(self.up(embeds)))
        return y


class Block(nn.Module):
    """Attention, cross-attention to the text, MLP: h -> h; c plus a table of the block modulates and gates."""

    def __init__(self, config: PixArtConfig) -> None:
        super().__init__()
        width = config.width
        self.norm1 = nn.LayerNorm(width, config.eps, elementwise_affine=False)
        self.attn = Attention(width, config.num_heads)
        self.cross = CrossAttention(width, width, config.num_heads)
        self.norm2 = nn.LayerNorm(width, config.eps, elementwise_affine=False)
        self.mlp = Mlp(width, config.hidden, "gelu_tanh")
        self.table = _table(6, width)
        xavier(self)
        zero(self.cross.out)

    def forward(self, state: State) -> dict[str, Tensor]:
        h, c = need(state, "h", "PixArt"), need(state, "c", "PixArt")
        rows = self.table + c.view(len(c), 6, -1)  # b 6 d
        shift1, scale1, gate1, shift2, scale2, gate2 = rows.unbind(1)
        h = add_gated(h, gate1, self.attn(modulate(self.norm1(h), shift1, scale1)))
        h = h + self.cross(h, need(state, "text", "PixArt"), state.get("cond.mask"))
        return {"h": add_gated(h, gate2, self.mlp(modulate(self.norm2(h), shift2, scale2)))}


class Head(nn.Module):
    """h, time -> pred (and variance); x is read for the shape of the grid. Zero at initialisation."""

    def __init__(self, config: PixArtConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.LayerNorm(config.width, config.head_eps, elementwise_affine=False)
        self.table = _table(2, config.width)
        channels = config.in_channels * (1 + config.learned_sigma)
        self.out = nn.Linear(config.width, config.patch_size**2 * channels)
        zero(self.out)

    def forward(self, state: State) -> dict[str, Tensor]:
        time = need(state, "time", "PixArt").unsqueeze(1)
        shift, scale = (self.table + time).unbind(1)
        tokens = self.out(modulate(self.norm(need(state, "h", "PixArt")), shift, scale))
        image = from_patches(tokens, need(state, "x", "PixArt"), self.config.patch_size)
        if not self.config.learned_sigma:
            return {"pred": image}
        pred, variance = image.chunk(2, dim=1)
        return {"pred": pred, "variance": variance}


def _table(rows: int, width: int) -> nn.Parameter:
    """What a layer adds of its own to the shared modulation, small as in the paper's code."""
    table = nn.Parameter(torch.empty(rows, width))
    nn.init.normal_(table, std=width**-0.5)
    return table


def _draw_normal(module: nn.Module | None) -> None:
    """Normal weights of the embeddings, as in the paper's code."""
    for layer in module.modules() if module is not None else ():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.02)
