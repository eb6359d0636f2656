import torch
from torch import nn

from mmm_graph.nn.linear import RowLinear
from mmm_graph.parallel.exchange import Single, install


def test_it_is_a_linear_layer_with_the_same_names_and_start():
    torch.manual_seed(0)
    row = RowLinear(6, 4)
    torch.manual_seed(0)
    plain = nn.Linear(6, 4)
    x = torch.randn(2, 3, 6)
    assert torch.equal(row(x), plain(x))
    assert row.state_dict().keys() == plain.state_dict().keys()


def test_the_sum_over_ranks_is_the_exchange_s():
    class Twice(Single):
        def row_linear(self, layer, x, weight, bias):
            return 2 * super().row_linear(layer, x, weight, None) + bias

    row = nn.Sequential(RowLinear(6, 4))
    x = torch.randn(3, 6)
    wanted = 2 * x @ row[0].weight.T + row[0].bias
    assert install(row, Twice()) == ("0",)
    assert torch.allclose(row(x), wanted)
