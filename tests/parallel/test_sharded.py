import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmm_graph.errors import RunError
from mmm_graph.nn.attention import Attention
from mmm_graph.parallel.exchange import SINGLE, install
from mmm_graph.parallel.sharded import Groups, ShardConfig, Sharded
from mmm_graph.parallel.tensor import shard_weights
from mmm_graph.plan.ops import At
from tests.parallel.toys import at
from tests.parallel.world import Shape, threads

Q, K, V = torch.randn(3, 2, 4, 6, 8)


def alone(place, **config):
    exchange = Sharded(Groups(), ShardConfig(**config))
    exchange.bind(place)
    return exchange


@pytest.mark.parametrize("place", [At("r", "n"), at((0, 6), 0)], ids=["nothing is shared", "one member"])
@pytest.mark.parametrize("tokens", ["patch", "ring"])
def test_one_member_computes_what_one_device_computes(place, tokens):
    exchange = alone(place, tokens=tokens)
    mask = torch.ones(6, 6, dtype=torch.bool).tril()
    for args in ((), (mask,), (None, True)):
        assert torch.equal(exchange.attention("a", Q, K, V, *args), SINGLE.attention("a", Q, K, V, *args))
    weight, bias = torch.randn(3, 8), torch.randn(3)
    assert torch.equal(exchange.row_linear("a", Q, weight, bias), F.linear(Q, weight, bias))
    assert len(exchange.state) == 0


def test_nothing_is_buffered_where_nothing_is_shared():
    exchange = alone(At("r", "n"), buffered=True)
    assert torch.equal(exchange.attention("a", Q, K, V), SINGLE.attention("a", Q, K, V))
    assert len(exchange.state) == 0


def test_a_buffer_of_the_whole_changes_no_bit():
    exchange = alone(at((0, 6), 0), buffered=True)
    assert torch.equal(exchange.attention("a", Q, K, V), SINGLE.attention("a", Q, K, V))
    assert len(exchange.state) > 0


@pytest.mark.parametrize(("mask", "causal"), [(torch.ones(6, 6, dtype=torch.bool), False), (None, True)])
def test_masks_are_refused_where_tokens_are_shared_or_buffered(mask, causal):
    with pytest.raises(RunError, match=r"E721"):
        alone(at((0, 6), 0), buffered=True).attention("a", Q, K, V, mask, causal)


@pytest.mark.dist
def test_masks_are_refused_on_every_member():
    def work(groups):
        exchange = Sharded(groups, ShardConfig())
        exchange.bind(at((0, 6, 12), groups.tokens.index))
        with pytest.raises(RunError, match=r"E721.*layer has causal attention"):
            exchange.attention("layer", Q, K, V, causal=True)

    threads(Shape(2), work)


@pytest.mark.dist
def test_masks_pass_where_only_weights_are_cut():
    torch.manual_seed(0)
    layer = Attention(20, 5, causal=True).double()
    x, weights = torch.randn(2, 7, 20, dtype=torch.float64), layer.state_dict()
    mask = torch.rand(2, 1, 1, 7) > 0.3
    mask[..., 0] = True

    def work(groups):
        mine = Attention(20, 5, causal=True).double()
        mine.load_state_dict(weights)
        shard_weights(mine, groups.tensor.index, 2)
        exchange = Sharded(groups, ShardConfig())
        install(mine, exchange)
        exchange.bind(At("r", "n"))
        return mine(x), mine(x, mask)

    for got in threads(Shape(1, 1, 2), work):
        torch.testing.assert_close(got[0], layer(x), rtol=0, atol=1e-12)
        torch.testing.assert_close(got[1], layer(x, mask), rtol=0, atol=1e-12)


@pytest.mark.dist
def test_gradients_are_refused():
    def work(groups):
        exchange = Sharded(groups, ShardConfig())
        exchange.bind(At("r", "n"))
        with torch.enable_grad(), pytest.raises(RunError, match=r"E723.*down"):
            exchange.row_linear("down", Q.clone().requires_grad_(), torch.randn(3, 8), None)

    threads(Shape(1, 1, 2), work)


@pytest.mark.parametrize("config", [{"tokens": "ring"}, {"buffered": True}])
def test_displaced_patches_go_with_neither_ring_nor_buffer(config):
    with pytest.raises(ValueError, match="displaced patches"):
        ShardConfig(displaced=True, **config)


def test_it_is_installed_like_any_exchange():
    model, exchange = nn.Sequential(Attention(8, 2)), alone(At("r", "n"))
    x = torch.randn(1, 3, 8)
    before = model(x)
    assert install(model, exchange) == ("0", "0.out")
    assert torch.equal(model(x), before)
