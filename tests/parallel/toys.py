"""A small transformer with every layer that tokens or weights are shared in, and its input as ranks hold it."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn

from mmm_graph.nn.attention import Attention, CrossAttention
from mmm_graph.nn.joint import JointAttention
from mmm_graph.nn.mlp import GatedMlp, Mlp
from mmm_graph.parallel.exchange import install
from mmm_graph.parallel.sharded import ShardConfig, Sharded
from mmm_graph.parallel.tensor import shard_weights
from mmm_graph.plan.ops import ALL, At
from tests.parallel.world import Shape

SCALE, WIDTH = 2, 3  # rows of the input to a row of tokens; tokens in a row


class Toy(nn.Module):
    """Joint attention between layers that see image tokens only."""

    def __init__(self, heads: int):
        super().__init__()
        dim = 4 * heads
        self.joint = JointAttention(dim, heads, text_dim=6, qk_norm=True)
        self.attn = Attention(dim, heads)
        self.cross = CrossAttention(dim, 7, heads)
        self.mlp = Mlp(dim, 13)
        self.gated = GatedMlp(dim, 11)
        self.words = Mlp(6, 9)
        self.last = JointAttention(dim, heads, text_dim=6, context_only_kv=True)

    def forward(self, x, text, cond):
        image, words = self.joint(x, text)
        x = x + image
        if text is not None:
            text = text + words
            text = text + self.words(text)
        x = x + self.attn(x)
        x = x + self.cross(x, cond)
        x = x + self.mlp(x)
        x = x + self.gated(x)
        return x + self.last(x, text)[0], text


class Exact(NamedTuple):
    """A plan whose result is that of one device."""

    name: str
    shape: Shape
    config: ShardConfig
    bounds: tuple[int, ...]  # first row of each member, and the end
    text: int = 0
    heads: int = 4

    def whole(self):
        """Model and full input: float64."""
        torch.manual_seed(0)
        model = Toy(self.heads).double()
        b, rows = 2, self.bounds[-1] // SCALE
        x = torch.randn(b, rows * WIDTH, 4 * self.heads, dtype=torch.float64)
        text = torch.randn(b, self.text, 6, dtype=torch.float64) if self.text else None
        return model, x, text, torch.randn(b, 5, 7, dtype=torch.float64)

    def run(self, groups, whole):
        """Two evaluations of a rank's part: [x, text or nothing] of each."""
        model, x, text, cond = whole
        model = copy.deepcopy(model)
        shard_weights(model, groups.tensor.index, groups.tensor.size)
        exchange = Sharded(groups, self.config)
        install(model, exchange)
        member = groups.tokens.index
        a, b = (row // SCALE * WIDTH for row in self.bounds[member : member + 2])
        results = []
        for step in range(2):
            exchange.bind(at(self.bounds, member, step))
            y, words = model(x[:, a:b] + step, text if member == 0 else None, cond)
            results += [y] if words is None else [y, words]
        return results

    def expected(self, member):
        """The same from one device."""
        model, x, text, cond = self.whole()
        a, b = (row // SCALE * WIDTH for row in self.bounds[member : member + 2])
        results = []
        for step in range(2):
            with torch.no_grad():
                y, words = model(x + step, text, cond)
            results += [y[:, a:b]] if member or words is None else [y[:, a:b], words]
        return results


def at(bounds, member, step=0, patch=ALL, request="r", node="n", share=(0, 1), total=0, sync=True):
    """The place of a member that holds rows bounds[member] to bounds[member + 1]."""
    spans = tuple(pairwise(bounds))
    return At(request, node, (step,), patch, share, spans, member, total or bounds[-1], sync)


PATCH, RING = ShardConfig(), ShardConfig(tokens="ring")
EVEN = {1: (0, 16), 2: (0, 8, 16), 4: (0, 4, 8, 12, 16)}
UNEVEN = {1: (0, 16), 2: (0, 10, 16), 4: (0, 2, 8, 10, 16)}
SHAPES = {
    "patch2": (Shape(2), PATCH),
    "patch4": (Shape(4), PATCH),
    "ring2": (Shape(2), RING),
    "ring4": (Shape(4), RING),
    "ulysses2": (Shape(1, 2), PATCH),
    "ulysses4": (Shape(1, 4), PATCH),
    "tensor2": (Shape(1, 1, 2), PATCH),
    "tensor4": (Shape(1, 1, 4), PATCH),
    "patch2-ulysses2": (Shape(2, 2), PATCH),
    "ring2-ulysses2": (Shape(2, 2), RING),
    "patch2-tensor2": (Shape(2, 1, 2), PATCH),
    "ring2-tensor2": (Shape(2, 1, 2), RING),
    "ulysses2-tensor2": (Shape(1, 2, 2), PATCH),
}
EXACT = [
    Exact(f"{name}-{kind}-text{text}-heads{heads}", shape, config, bounds[shape.members], text, heads)
    for name, (shape, config) in SHAPES.items()
    for kind, bounds, text, heads in (
        ("even", EVEN, 0, 4),
        ("even", EVEN, 5, 4),
        ("uneven", UNEVEN, 0, 5),
        ("uneven", UNEVEN, 5, 5),
    )
]
LARGE = [
    Exact(f"{name}-tensor2", Shape(2, 2, 2), config, UNEVEN[4], 5, 5)
    for name, config in (("patch2-ulysses2", PATCH), ("ring2-ulysses2", RING))
]
