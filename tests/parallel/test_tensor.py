import copy

import pytest
import torch
from torch import nn

from mmm_graph.errors import RunError
from mmm_graph.nn.attention import Attention, CrossAttention
from mmm_graph.nn.causal import CausalAttention
from mmm_graph.nn.joint import JointAttention
from mmm_graph.nn.mlp import GatedMlp, Mlp
from mmm_graph.parallel.shares import shares
from mmm_graph.parallel.tensor import shard_weights

LAYERS = {
    "attention": lambda: Attention(20, 5),
    "attention-wide": lambda: Attention(6, 5, head_dim=4, bias=False),
    "grouped": lambda: CausalAttention(20, 10, 5, 4, bias=True, out_bias=True),
    "cross": lambda: CrossAttention(20, 7, 5),
    "joint": lambda: JointAttention(20, 5, text_dim=6, qk_norm=True),
    "joint-last": lambda: JointAttention(20, 5, context_only_kv=True),
    "mlp": lambda: Mlp(6, 13),
    "gated": lambda: GatedMlp(6, 13),
}


def share(layer, index, size):
    cut = copy.deepcopy(layer)
    shard_weights(cut, index, size)
    return cut


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
def test_shares_hold_every_column_and_row_once(make, size):
    layer = make()
    cuts = [share(layer, index, size) for index in range(size)]
    for name, fused in layer.tensor_split.columns.items():
        whole = getattr(layer, name)
        parts = [getattr(cut, name).weight.chunk(fused) for cut in cuts]
        assert torch.equal(
            torch.cat([p for parts_ in zip(*parts, strict=True) for p in parts_]), whole.weight
        )
        if whole.bias is not None:
            parts = [getattr(cut, name).bias.chunk(fused) for cut in cuts]
            assert torch.equal(
                torch.cat([p for parts_ in zip(*parts, strict=True) for p in parts_]), whole.bias
            )
        assert all(getattr(cut, name).out_features == len(getattr(cut, name).weight) for cut in cuts)
    for name in layer.tensor_split.rows:
        if getattr(layer, name) is not None:
            rows = [getattr(cut, name) for cut in cuts]
            assert torch.equal(torch.cat([r.weight for r in rows], 1), getattr(layer, name).weight)
            assert all(torch.equal(r.bias, getattr(layer, name).bias) for r in rows)
            assert all(r.in_features == r.weight.shape[1] for r in rows)
    assert all(cut.state_dict().keys() == layer.state_dict().keys() for cut in cuts)


def test_heads_are_never_cut_through():
    layer = Attention(20, 5)
    cuts = [share(layer, index, 2) for index in range(2)]
    assert [cut.num_heads for cut in cuts] == [b - a for a, b in shares(5, 2)] == [3, 2]
    assert [cut.q.out_features for cut in cuts] == [12, 8]


def test_heads_of_keys_go_with_the_queries_that_they_serve():
    layer = CausalAttention(8, 6, 3, 2)
    cuts = [share(layer, index, 2) for index in range(2)]
    assert [cut.num_kv_heads for cut in cuts] == [2, 1] and all(cut.group == 2 for cut in cuts)
    assert [(cut.q.out_features, cut.k.out_features, cut.out.in_features) for cut in cuts] == [
        (8, 4, 8),
        (4, 2, 4),
    ]
    assert torch.equal(cuts[1].k.weight, layer.k.weight[4:]) and torch.equal(
        cuts[1].q.weight, layer.q.weight[8:]
    )


def test_it_reaches_layers_inside_any_module_and_leaves_the_others_alone():
    model = nn.ModuleDict({"a": nn.Sequential(nn.Linear(8, 8), Mlp(8, 6)), "norm": nn.LayerNorm(8)})
    cut = share(model, 1, 2)
    assert cut["a"][1].up.out_features == 3
    assert torch.equal(cut["a"][0].weight, model["a"][0].weight)


def test_parts_do_not_keep_the_whole_alive_and_frozen_weights_stay_frozen():
    layer = Mlp(8, 6).requires_grad_(False)
    cut = share(layer, 0, 2)
    assert cut.up.weight.untyped_storage().nbytes() == 3 * 8 * 4
    assert cut.down.weight.untyped_storage().nbytes() == 3 * 8 * 4
    assert not any(p.requires_grad for p in cut.parameters())


def test_layers_without_data_are_cut_too():
    with torch.device("meta"):
        layer = Mlp(8, 6)
    assert share(layer, 0, 2).up.weight.shape == (3, 8)


def test_fewer_heads_or_columns_than_ranks_are_refused():
    with pytest.raises(RunError, match=r"E722.*blocks.0 has 2 heads, too few for 3 ranks\n.*at most 2 ranks"):
        shard_weights(nn.ModuleDict({"blocks": nn.ModuleList([Attention(8, 2)])}), 0, 3)
    with pytest.raises(RunError, match=r"E722.*1 has 2 columns"):
        shard_weights(nn.Sequential(nn.Identity(), Mlp(8, 2)), 0, 3)
