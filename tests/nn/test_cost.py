"""Each row of the cost table against the layer it stands for: weights exactly, work by torch's own counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmm_graph.nn import cost
from mmm_graph.nn.attention import Attention, CrossAttention, PixelAttention
from mmm_graph.nn.conv import Conv2d
from mmm_graph.nn.embed import TimeEmbedding
from mmm_graph.nn.joint import JointAttention
from mmm_graph.nn.mlp import GatedMlp, Mlp
from mmm_graph.nn.norm import GroupNorm
from mmm_graph.nn.resnet import Resnet

TOKENS, PIXELS = (1, 6, 8), (1, 8, 4, 5)

CASES = {
    "linear": (lambda: torch.nn.Linear(8, 3), [TOKENS], cost.linear(8, 3, 6)),
    "conv": (lambda: Conv2d(8, 3), [PIXELS], cost.conv(8, 3, 20)),
    "conv1": (lambda: Conv2d(8, 3, 1), [PIXELS], cost.conv(8, 3, 20, kernel=1)),
    "norm": (lambda: GroupNorm(2, 8), [PIXELS], cost.norm(8)),
    "attention": (lambda: Attention(8, 2, bias=False), [TOKENS], cost.attention(8, 6, bias=False)),
    "cross": (lambda: CrossAttention(8, 5, 2), [TOKENS, (1, 7, 5)], cost.cross_attention(8, 6, 5, 7)),
    "joint": (
        lambda: JointAttention(8, 2, qk_norm=True),
        [TOKENS, (1, 7, 8)],
        cost.joint_attention(8, 6, 7, norm_dim=4),
    ),
    "last joint": (
        lambda: JointAttention(8, 2, context_only_kv=True),
        [TOKENS, (1, 7, 8)],
        cost.joint_attention(8, 6, 7, last=True),
    ),
    "pixels": (lambda: PixelAttention(8, 2, 4), [PIXELS], cost.pixel_attention(8, 20)),
    "mlp": (lambda: Mlp(8, 20), [TOKENS], cost.mlp(8, 20, 6)),
    "gated": (lambda: GatedMlp(8, 20), [TOKENS], cost.gated_mlp(8, 20, 6)),
    "resnet": (lambda: Resnet(8, 12, time_dim=9, num_groups=4), [PIXELS, (1, 9)], cost.resnet(8, 12, 20, 9)),
    "plain": (lambda: Resnet(8, 8, num_groups=4), [PIXELS], cost.resnet(8, 8, 20)),
    "time": (lambda: TimeEmbedding(6, 10), [(1,)], cost.time_embedding(6, 10)),
}


@pytest.mark.parametrize("name", CASES)
def test_costs_are_those_of_the_layer(name):
    make, shapes, want = CASES[name]
    with torch.device("meta"):
        layer, inputs = make(), [torch.zeros(shape) for shape in shapes]
    with FlopCounterMode(display=False) as counter:
        layer(*inputs)
    assert sum(p.numel() for p in layer.parameters()) == want.params
    assert counter.get_total_flops() == pytest.approx(want.flops)


def test_embedding_and_sums():
    assert cost.table(10, 4) == cost.Cost(40)
    assert cost.Cost(1, 2.0) * 3 + cost.Cost(1, 1.0) == cost.Cost(4, 7.0)
    twice = cost.attention(4, 3) * 2
    assert twice.pairs == 2 * cost.pairs(4, 3, 3).flops == 2 * 4 * 4 * 9 < twice.flops
