import copy

import pytest
import torch
from torch import nn

from mmm_graph.nn.attention import merge_heads, split_heads
from mmm_graph.nn.relative import RelativeAttention, RelativeBias, find_buckets, mask_keys
from mmm_graph.parallel.exchange import install
from mmm_graph.parallel.sharded import Groups, ShardConfig, Sharded
from mmm_graph.parallel.tensor import shard_weights
from mmm_graph.parallel.thread_group import run_members
from mmm_graph.plan.ops import ALL, At


def test_near_distances_have_buckets_of_their_own_and_far_ones_share():
    offsets = torch.tensor([-1000, -128, -127, -8, -7, -1, 0, 1, 7, 8, 127, 128, 1000])
    assert find_buckets(offsets, 32, 128).tolist() == [15, 15, 15, 8, 7, 1, 0, 17, 23, 24, 31, 31, 31]


@pytest.mark.parity
@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (8, 20), (16, 100), (12, 50), (4, 7)])
def test_buckets_are_those_of_transformers(buckets, distance):
    from transformers.models.t5.modeling_t5 import T5Attention

    offsets = torch.arange(-700, 701)
    for causal in (False, True):
        want = T5Attention._relative_position_bucket(offsets, not causal, buckets, distance)
        assert torch.equal(find_buckets(offsets, buckets, distance, causal=causal), want)


def test_a_causal_bias_hides_what_comes_after_and_its_last_row_is_that_of_one_token_more():
    bias = RelativeBias(2, 8, 20, causal=True)
    whole = bias(30)
    never = torch.finfo(whole.dtype).min
    assert torch.equal(whole == never, torch.ones(30, 30).triu(1).bool().expand(1, 2, -1, -1))
    for length in (1, 2, 30):
        assert torch.equal(bias.last(length), whole[:, :, length - 1 : length, :length])


def test_a_bias_by_positions_is_that_of_the_places_they_stand_for():
    bias = RelativeBias(2, 8, 20)
    positions = torch.tensor([[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]])
    found = bias(5, positions)
    assert torch.equal(found[1:], bias(5)) and torch.equal(found[:1, :, 2:, 2:], bias(3))


def test_attention_is_softmax_of_products_and_bias_without_scale():
    layer = RelativeAttention(12, 3, 5).double()
    x, bias = torch.randn(2, 4, 12, dtype=torch.float64), torch.randn(1, 3, 4, 4, dtype=torch.float64)
    q, k, v = (split_heads(p(x), 3) for p in (layer.q, layer.k, layer.v))
    weights = torch.softmax(q @ k.transpose(-1, -2) + bias, dim=-1)
    assert torch.allclose(layer(x, bias), layer.out(merge_heads(weights @ v)))


def test_the_bias_depends_on_the_distance_only():
    bias = RelativeBias(2, 8, 20)(6)
    assert bias.shape == (1, 2, 6, 6)
    for shift in range(-5, 6):
        diagonal = bias.diagonal(shift, 2, 3)
        assert torch.equal(diagonal, diagonal[..., :1].expand_as(diagonal))
    assert not torch.equal(bias, bias.transpose(2, 3))


def test_masked_keys_count_nothing_and_a_text_of_padding_stays_finite():
    layer, bias = RelativeAttention(8, 2, 4), torch.randn(1, 2, 5, 5)
    mask = torch.tensor([[True] * 3 + [False] * 2, [False] * 5])
    x = torch.randn(2, 5, 8)
    out = layer(x, mask_keys(bias, mask))
    assert torch.allclose(out[0, :3], layer(x[:1, :3], bias[..., :3, :3])[0], atol=1e-6)
    assert out.isfinite().all()
    assert mask_keys(bias, None) is bias


@pytest.mark.parametrize("size", [2, 3])
def test_ranks_of_a_tensor_axis_each_have_the_bias_of_their_heads(size):
    torch.manual_seed(0)
    x = torch.randn(1, 6, 8, dtype=torch.float64)
    whole = nn.ModuleList([RelativeBias(5, 8, 20), RelativeAttention(8, 5, 3)]).double()

    def run(group):
        exchange = Sharded(Groups(tensor=group), ShardConfig())
        exchange.bind(At("check", "check", (0,), ALL))
        layers = copy.deepcopy(whole)
        install(layers, exchange)
        shard_weights(layers, group.index, group.size)
        bias, attention = layers
        assert bias.num_heads == attention.num_heads < 5
        with torch.no_grad():
            return attention(x, bias(6))

    with torch.no_grad():
        want = whole[1](x, whole[0](6))
    for got in run_members(size, run, 30.0):
        assert torch.allclose(got, want)
