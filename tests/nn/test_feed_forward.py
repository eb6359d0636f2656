import copy

import pytest
import torch

from mmm_graph.nn.feed_forward import FeedForward, GatedFeedForward
from mmm_graph.parallel.exchange import install
from mmm_graph.parallel.sharded import Groups, ShardConfig, Sharded
from mmm_graph.parallel.tensor import shard_weights
from mmm_graph.parallel.thread_group import run_members


def test_what_they_compute():
    x = torch.randn(2, 3, 4)
    plain, gated = FeedForward(4, 6, "relu"), GatedFeedForward(4, 6, "relu")
    assert torch.allclose(plain(x), plain.down(plain.up(x).relu()))
    assert torch.allclose(gated(x), gated.down(gated.gate(x).relu() * gated.up(x)))


@pytest.mark.parametrize("kind", [FeedForward, GatedFeedForward])
def test_the_last_product_is_float32_of_float16_weights(kind):
    layer = kind(4, 64, "relu").half()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(8.0)
        out = layer(torch.full((1, 1, 4), 2.0, dtype=torch.float16))
    assert out.dtype is torch.float32
    hidden = 64.0 if kind is FeedForward else 64.0**2
    assert torch.equal(out, torch.full((1, 1, 4), 64 * 8 * hidden))
    assert kind is FeedForward or float(out[0, 0, 0]) > torch.finfo(torch.float16).max


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_other_weights_keep_their_dtype(dtype):
    layer = GatedFeedForward(4, 6, "gelu_tanh").to(dtype)
    assert layer(torch.randn(1, 2, 4, dtype=dtype)).dtype is dtype


@pytest.mark.parametrize("kind", [FeedForward, GatedFeedForward])
def test_ranks_of_a_tensor_axis_add_up_to_the_whole(kind):
    whole, x = kind(4, 6, "relu").double(), torch.randn(1, 3, 4, dtype=torch.float64)

    def run(group):
        layer = copy.deepcopy(whole)
        install(layer, Sharded(Groups(tensor=group), ShardConfig()))
        shard_weights(layer, group.index, group.size)
        with torch.no_grad():
            return layer(x)

    for got in run_members(2, run, 30.0):
        assert torch.allclose(got, whole(x))
