"""Projector of signals as a list of parts. Axes: b signals, l their tokens, n queries, d width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmm_graph.nn.attention import Attention, CrossAttention
from mmm_graph.nn.encoder import EncoderBlock
from mmm_graph.nn.init import xavier
from mmm_graph.nn.mlp import Mlp
from mmm_graph.nn.parts import State, known, need, run_parts
from mmm_signal.projector.config import SignalConfig
from mmm_signal.projector.parts import readers, signal_path, writers

READER = "the projector of signals"


class SignalProjector(nn.Module):
    """States [b,l,in_dim] of signals, of any length l, to embeds [b,n,out_dim].

    Source: Wu et al. 2024 (arXiv:2309.05519), section 3 and table 1; the layers as Koh et al. 2023 (arXiv:2305.17216),
    section 3.2, published them.
    """

    def __init__(self, config: SignalConfig) -> None:
        super().__init__()
        self.path = signal_path(config, None)
        self.parts = nn.ModuleDict({"enter": Enter(config)})
        self.parts.update({name: make_reader(config) for name in readers(config)})
        self.parts["turn"] = Turn(config)
        self.parts.update({name: Writer(config) for name in writers(config)})
        self.parts["leave"] = Leave(config)
        xavier(self)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{features} -> {embeds}."""
        return {"embeds": need(run_parts(self.parts, self.path, state), "embeds", READER)}


class Enter(nn.Module):
    """features -> h [b,l,d]."""

    def __init__(self, config: SignalConfig) -> None:
        super().__init__()
        self.proj = nn.Linear(known(config.in_dim, "in_dim"), config.width)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"h": self.proj(need(state, "features", READER))}


def make_reader(config: SignalConfig) -> EncoderBlock:
    """A block that reads the signal."""
    return EncoderBlock(config.width, config.num_heads, config.hidden, "relu", eps=config.eps)


class Turn(nn.Module):
    """h [b,l,d], normalised -> memory; h [b,n,d], the queries, the same for each signal.

    They differ from the start: equal ones would see the same and stay equal, whatever is learnt.
    """

    def __init__(self, config: SignalConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width, config.eps)
        self.queries = nn.Parameter(torch.randn(1, config.num_queries, config.width))

    def forward(self, state: State) -> dict[str, Tensor]:
        memory = self.norm(need(state, "h", READER))
        return {"memory": memory, "h": self.queries.expand(len(memory), -1, -1)}


class Writer(nn.Module):
    """h + attn(norm(h)), h + cross(norm(h), memory), h + mlp(norm(h)).

    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.1, with the norms first.
    """

    def __init__(self, config: SignalConfig) -> None:
        super().__init__()
        width = config.width
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width, config.eps) for _ in range(3))
        self.attn = Attention(width, config.num_heads)
        self.cross = CrossAttention(width, width, config.num_heads)
        self.mlp = Mlp(width, config.hidden, "relu")

    def forward(self, state: State) -> dict[str, Tensor]:
        h, memory = need(state, "h", READER), need(state, "memory", READER)
        h = h + self.attn(self.norm1(h))
        h = h + self.cross(self.norm2(h), memory)
        return {"h": h + self.mlp(self.norm3(h))}


class Leave(nn.Module):
    """h -> embeds."""

    def __init__(self, config: SignalConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width, config.eps)
        self.proj = nn.Linear(config.width, known(config.out_dim, "out_dim"))

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"embeds": self.proj(self.norm(need(state, "h", READER)))}
