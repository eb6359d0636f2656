"""The linear layer that ends a pair whose inner columns may be on several ranks."""

from __future__ import annotations

from torch import Tensor, nn

from mmm_graph.parallel.exchange import SINGLE, Exchange


class RowLinear(nn.Linear):
    """Linear layer through the exchange, which sums what the ranks that hold its input columns make: ... d -> ... out.

    Args:
        in_features, out_features: widths.
        bias: added once, to the sum.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        self.exchange: Exchange = SINGLE
        self.layer = ""

    def forward(self, input: Tensor) -> Tensor:
        return self.exchange.row_linear(self.layer, input, self.weight, self.bias)
