"""LoRA beside a layer = LoRA added to its weight; it is cut with the layer, and gone at scale 0."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmm_graph.nn.attention import Attention
from mmm_graph.nn.conv import Conv2d
from mmm_graph.nn.linear import RowLinear
from mmm_graph.nn.lora import Factors, LoraLinear, attach, can_attach, merge, set_scales
from mmm_graph.nn.mlp import GatedMlp
from mmm_graph.parallel.tensor import shard_weights

SCALES = (0.7, -0.4)
LAYERS = {
    "linear": (lambda: nn.Linear(6, 5), (2, 3, 6)),
    "row linear": (lambda: RowLinear(6, 5, bias=False), (2, 3, 6)),
    "convolution": (lambda: Conv2d(6, 5, stride=2, padding=(0, 1)), (2, 6, 4, 8)),
    "1x1 convolution": (lambda: Conv2d(6, 5, kernel=1), (2, 6, 3, 4)),
}


def factors(weight, source, rank, seed):
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(rank, weight[0].numel(), generator=generator, dtype=torch.float64)
    up = torch.randn(weight.shape[0], rank, generator=generator, dtype=torch.float64)
    return Factors(source, down, up, 2.0 / rank)


def double(make):
    torch.manual_seed(0)
    return nn.ModuleDict({"layer": make()}).double()


@pytest.mark.parametrize("name", LAYERS)
def test_live_is_merged(name):
    make, shape = LAYERS[name]
    live, merged = double(make), double(make)
    x = torch.randn(shape, dtype=torch.float64)
    plain, state = live["layer"](x), live.state_dict()
    pieces = [factors(live["layer"].weight, i, rank=3 - i, seed=i) for i in range(2)]
    attach(live, "layer", pieces)
    assert torch.equal(live["layer"](x), plain)  # until it has a scale
    for scales in (SCALES, (0.0, 1.5)):
        set_scales(live, scales)
        merged = double(make)
        for piece, scale in zip(pieces, scales, strict=True):
            merge(merged["layer"], piece, scale)
        assert (live["layer"](x) - merged["layer"](x)).abs().max() <= 1e-12
        assert (live["layer"](x) - plain).abs().max() > 0.1
    set_scales(live, (0.0, 0.0))
    assert torch.equal(live["layer"](x), plain)
    assert live.state_dict().keys() == state.keys()  # what is saved has no LoRA


def test_other_scales_go_to_the_same_memory():
    net = double(LAYERS["linear"][0])
    attach(net, "layer", [factors(net["layer"].weight, 0, 2, 0)])
    set_scales(net, (0.5,))
    kept = net["layer"].lora.up
    before, address = kept.clone(), kept.data_ptr()
    set_scales(net, (1.0,))
    assert kept is net["layer"].lora.up and kept.data_ptr() == address and torch.equal(kept, 2 * before)


def test_half_precision_keeps_its_dtype_and_a_wider_product():
    net = nn.ModuleDict({"layer": RowLinear(6, 5, bias=False)}).half()
    attach(net, "layer", [factors(net["layer"].weight, 0, 2, 0)])
    set_scales(net, (0.5,))
    assert net["layer"].lora.up.dtype is torch.float16
    assert net["layer"](torch.ones(1, 6), torch.float32).dtype is torch.float32
    assert net["layer"](torch.ones(1, 6).half()).dtype is torch.float16


def test_autocast_chooses_the_dtype():
    net = nn.ModuleDict({"layer": nn.Linear(6, 5)})
    attach(net, "layer", [factors(net["layer"].weight, 0, 2, 0)])
    set_scales(net, (0.5,))
    x = torch.randn(3, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = net["layer"](x)
    assert y.dtype is torch.bfloat16 and (y - net["layer"](x)).abs().max() < 0.3


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn, self.mlp = Attention(8, 4), GatedMlp(8, 12)

    def forward(self, x):
        return self.mlp(self.attn(x))


def adapted():
    torch.manual_seed(0)
    net = Pair().double()
    for i, name in enumerate(("attn.q", "attn.out", "mlp.up", "mlp.down")):
        attach(net, name, [factors(net.get_submodule(name).weight, 0, 2, i)])
    set_scales(net, (0.7,))
    return net


def test_it_is_cut_with_heads_and_columns():
    """Shares of a tensor axis, each merged into the weights that it has, are the shares of the merged weights."""
    whole = adapted()
    for index in range(2):
        share = adapted()
        shard_weights(share, index, 2)
        q, up, out = share.attn.q, share.mlp.up, share.attn.out
        rows = slice(4 * index, 4 * index + 4)
        assert torch.equal(q.lora.up, whole.attn.q.lora.up[rows]) and torch.equal(
            q.lora.unscaled, whole.attn.q.lora.unscaled[rows]
        )
        assert torch.equal(q.lora.down, whole.attn.q.lora.down)
        assert torch.equal(out.lora.down, whole.attn.out.lora.down[:, rows])
        both = [half[6 * index : 6 * index + 6] for half in whole.mlp.up.lora.up.chunk(2)]
        assert torch.equal(up.lora.up, torch.cat(both)) and up.out_features == 12
        set_scales(share, (0.0,))
        set_scales(share, (0.7,))
        assert torch.equal(q.lora.up, whole.attn.q.lora.up[rows])


def test_only_layers_that_are_just_that():
    assert can_attach(nn.Linear(1, 1)) and can_attach(Conv2d(1, 1)) and not can_attach(nn.Embedding(2, 1))
    net = adapted()
    assert type(net.attn.q) is LoraLinear and not can_attach(net.attn.q)
