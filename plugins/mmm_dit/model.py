"""The diffusion transformer as a list of parts. Axes: b batch, c h w, l tokens, t text tokens, d width."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmm_dit.config import DiTConfig
from mmm_graph.nn.attention import Attention, CrossAttention
from mmm_graph.nn.embed import GridEmbedding, TimeEmbedding
from mmm_graph.nn.init import xavier, zero
from mmm_graph.nn.mlp import Mlp
from mmm_graph.nn.norm import add_gated, modulate
from mmm_graph.nn.parts import State, known, need, refuse, run_parts
from mmm_graph.nn.patch import from_patches, patch_grid, to_patches


class DiT(nn.Module):
    """Predicts noise, velocity or the clean sample from x [b,c,h,w] at times t [b] under a condition.

    Blocks are the identity and the prediction is zero at initialisation (adaLN-Zero).

    Source: Peebles and Xie 2022 (arXiv:2212.09748); cross-attention as in Chen et al. 2023 (arXiv:2310.00426).
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"embed": Embed(config)})
        self.parts.update({f"block{i}": Block(config) for i in range(config.depth)})
        self.parts["head"] = Head(config)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{x, t, cond.label?, cond.pooled?, cond.embeds?, cond.mask?} -> {pred, variance?}."""
        full = run_parts(self.parts, self.parts, state)
        return {key: need(full, key, "the DiT") for key in ("pred", "variance") if key in full}


class Embed(nn.Module):
    """x, t, cond.label, cond.pooled -> h [b,l,d], c [b,d] (condition after its activation)."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        patch = config.patch_size
        self.patch = nn.Linear(config.in_channels * patch * patch, config.width)
        self.positions = GridEmbedding(config.width, config.sample_size // patch)
        self.time = TimeEmbedding(config.freq_dim, config.width, shift=config.freq_shift, scale=config.times)
        self.label = nn.Embedding(config.num_classes, config.width) if config.num_classes else None
        self.pooled = (
            nn.Linear(known(config.pooled_dim, "pooled_dim"), config.width) if config.pooled else None
        )
        nn.init.xavier_uniform_(self.patch.weight)
        nn.init.zeros_(self.patch.bias)
        nn.init.normal_(self.time.up.weight, std=0.02)
        nn.init.normal_(self.time.down.weight, std=0.02)
        if self.label is not None:
            nn.init.normal_(self.label.weight, std=0.02)

    def forward(self, state: State) -> dict[str, Tensor]:
        x = need(state, "x", "the DiT")
        patch = self.config.patch_size
        grid = patch_grid(x, patch)
        h = self.patch(to_patches(x, patch))
        c = self.time(need(state, "t", "the DiT"))
        if self.label is not None:
            c = c + self.label(need(state, "cond.label", "a DiT with num_classes"))
        else:
            refuse(state, "cond.label", "a DiT without num_classes")
        if self.pooled is not None:
            c = c + self.pooled(need(state, "cond.pooled", "a DiT with pooled: true"))
        return {"h": h + self.positions(grid, h), "c": F.silu(c)}


class Block(nn.Module):
    """Attention, cross-attention if there is a condition, MLP: h -> h, modulated and gated by c."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        width = config.width
        self.norm1 = nn.LayerNorm(width, config.eps, elementwise_affine=False)
        self.attn = Attention(width, config.num_heads)
        self.cross = None
        if config.cross:
            self.cross = CrossAttention(width, known(config.cond_dim, "cond_dim"), config.num_heads)
        self.norm2 = nn.LayerNorm(width, config.mlp_eps or config.eps, elementwise_affine=False)
        self.mlp = Mlp(width, config.hidden, "gelu_tanh")
        xavier(self)
        if self.cross is not None:
            zero(self.cross.out)
        self.modulation = nn.Linear(width, 6 * width)
        zero(self.modulation)

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", "the DiT")
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(state["c"]).chunk(6, dim=1)
        h = add_gated(h, gate1, self.attn(modulate(self.norm1(h), shift1, scale1)))
        if self.cross is not None:
            h = h + self.cross(
                h, need(state, "cond.embeds", "a DiT with cross: true"), state.get("cond.mask")
            )
        return {"h": add_gated(h, gate2, self.mlp(modulate(self.norm2(h), shift2, scale2)))}


class Head(nn.Module):
    """h, c -> pred (and variance); x is read for the shape of the grid. Zero at initialisation."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.LayerNorm(config.width, config.eps, elementwise_affine=False)
        self.modulation = nn.Linear(config.width, 2 * config.width)
        channels = config.in_channels * (1 + config.learned_sigma)
        self.out = nn.Linear(config.width, config.patch_size**2 * channels)
        zero(self.modulation)
        zero(self.out)

    def forward(self, state: State) -> dict[str, Tensor]:
        shift, scale = self.modulation(state["c"]).chunk(2, dim=1)
        tokens = self.out(modulate(self.norm(need(state, "h", "the DiT")), shift, scale))
        image = from_patches(tokens, need(state, "x", "the DiT"), self.config.patch_size)
        if not self.config.learned_sigma:
            return {"pred": image}
        pred, variance = image.chunk(2, dim=1)
        return {"pred": pred, "variance": variance}
