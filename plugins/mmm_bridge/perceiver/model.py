"""Perceiver resampler as a list of parts. Axes: b batch, l features, n latents, d width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmm_bridge.perceiver.attention import ResamplerAttention
from mmm_bridge.perceiver.config import PerceiverConfig
from mmm_bridge.perceiver.parts import perceiver_path
from mmm_graph.nn.mlp import Mlp
from mmm_graph.nn.parts import State, known, need, run_parts

READER = "the perceiver resampler"


class Perceiver(nn.Module):
    """Features [b,l,in_dim], any number of them, to embeds [b,n,out_dim].

    Source: Alayrac et al. 2022 (arXiv:2204.14198), section 2.1 and appendix A.1.1.
    """

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.path = perceiver_path(config, None)
        width = known(config.in_dim, "in_dim")
        self.parts = nn.ModuleDict({"latents": Latents(config.num_latents, width)})
        self.parts.update({f"layer{i}": Layer(config, width) for i in range(config.depth)})
        self.parts["end"] = End(config, width)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{features} -> {embeds}."""
        return {"embeds": need(run_parts(self.parts, self.path, state), "embeds", READER)}


class Latents(nn.Module):
    """features -> h [b,n,d], the same for each element."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(count, width))

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"h": self.latents.expand(len(need(state, "features", READER)), -1, -1)}


class Layer(nn.Module):
    """h + attn(h, features), h + mlp(norm(h))."""

    def __init__(self, config: PerceiverConfig, width: int) -> None:
        super().__init__()
        self.attn = ResamplerAttention(width, config.num_heads, config.head_dim, qk_norm=config.qk_norm)
        self.norm = nn.LayerNorm(width)
        self.mlp = Mlp(width, config.expand * width, config.activation, bias=False)

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", READER)
        h = h + self.attn(h, need(state, "features", READER))
        return {"h": h + self.mlp(self.norm(h))}


class End(nn.Module):
    """h -> embeds, normalised, and projected if the widths differ."""

    def __init__(self, config: PerceiverConfig, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        out_dim = known(config.out_dim, "out_dim")
        self.proj = nn.Linear(width, out_dim) if config.projects else nn.Identity()

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"embeds": self.proj(self.norm(need(state, "h", READER)))}
