"""Grouping of patches as a list of parts. Axes: b batch, l features, n groups, d width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmm_bridge.grouping.assign import READER, Group, Mixer
from mmm_bridge.grouping.config import GroupingConfig
from mmm_bridge.grouping.parts import grouping_path, too_few
from mmm_graph.errors import RunError, problem
from mmm_graph.nn.encoder import EncoderBlock
from mmm_graph.nn.init import xavier
from mmm_graph.nn.parts import State, known, need, run_parts


class Grouping(nn.Module):
    """States of patches [b,l,in_dim], at least n of them, to concept tokens [b,n,out_dim].

    Source: Wu et al. 2024 (arXiv:2309.05519), section 3 and appendix C.1; the layers are those of Xu et al. 2022
    (arXiv:2202.11094), section 3.1.
    """

    def __init__(self, config: GroupingConfig) -> None:
        super().__init__()
        self.path = grouping_path(config, None)
        self.parts = nn.ModuleDict({name: make_part(config, name) for name in self.path})
        xavier(self)
        for part in self.parts.values():
            if isinstance(part, Tokens):
                nn.init.trunc_normal_(part.tokens, std=0.02)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{features} -> {embeds}."""
        return {"embeds": need(run_parts(self.parts, self.path, state), "embeds", READER)}


def make_part(config: GroupingConfig, name: str) -> nn.Module:
    """The part of that name."""
    if name in ("enter", "end"):
        return Enter(config) if name == "enter" else End(config)
    if name.startswith("block"):
        sizes = (config.width, config.num_heads, config.hidden)
        return EncoderBlock(*sizes, config.activation, qkv_bias=config.qkv_bias, eps=config.eps)
    stage = int(name.removeprefix("tokens").removeprefix("group"))
    return Tokens(config, stage) if name.startswith("tokens") else Group(config, stage)


class Enter(nn.Module):
    """features -> h [b,l,d].

    Raises:
        RunError: E788, fewer features than groups: a vector of the whole instead of its patches.
    """

    def __init__(self, config: GroupingConfig) -> None:
        super().__init__()
        self.num_embeds = config.num_embeds
        self.proj = nn.Linear(known(config.in_dim, "in_dim"), config.width)

    def forward(self, state: State) -> dict[str, Tensor]:
        features = need(state, "features", READER)
        if features.shape[1] < self.num_embeds:
            raise RunError(problem("E788", too_few(features.shape[1], self.num_embeds)))
        return {"h": self.proj(features)}


class Tokens(nn.Module):
    """h [b,l,d] -> h [b,l+n,d]: group tokens behind it, moved by the groups of the stage before."""

    def __init__(self, config: GroupingConfig, stage: int) -> None:
        super().__init__()
        count = config.groups[stage]
        self.tokens = nn.Parameter(torch.empty(1, count, config.width))
        self.moves = stage > 0
        if self.moves:
            self.norm = nn.LayerNorm(config.width, config.eps)
            self.mixer = Mixer(config, config.groups[stage - 1], count)

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", READER)
        tokens = self.tokens.expand(len(h), -1, -1)
        if self.moves:
            tokens = tokens + self.mixer(self.norm(need(state, "groups", READER)))
        return {"h": torch.cat([h, tokens], dim=1)}


class End(nn.Module):
    """h -> embeds."""

    def __init__(self, config: GroupingConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width, config.eps)
        self.proj = nn.Linear(config.width, known(config.out_dim, "out_dim"))

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"embeds": self.proj(self.norm(need(state, "h", READER)))}
