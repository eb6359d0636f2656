"""Linear layers: with the product that is fastest here, and the one whose input columns may be on several ranks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmm_graph.nn.norm import RmsNorm
from mmm_graph.parallel.exchange import SINGLE, Exchange
from mmm_graph.parallel.product import product


class Linear(nn.Linear):
    """nn.Linear by `product`: ... d -> ... out."""

    def forward(self, input: Tensor) -> Tensor:
        return product(input, self.weight, self.bias)


class Logits(Linear):
    """The linear layer that makes logits: ... d -> ... out, without bias. Quantized, it is int8: 4 bits show in what is
    likely (docs/decisions/029).
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)


def use_products(module: nn.Module) -> None:
    """Let every nn.Linear and nn.RMSNorm of a module, whoever wrote it, be ours; classes derived from them stay."""
    for layer in module.modules():
        layer.__class__ = OURS.get(type(layer), type(layer))


OURS: Mapping[type[nn.Module], type[nn.Module]] = {nn.Linear: Linear, nn.RMSNorm: RmsNorm}
"""Classes of torch -> those that compute the same by faster kernels."""


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

    def forward(self, input: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """`dtype`: in which it is computed; None = that of the weights, which the input has too."""
        if dtype is None:
            return self.exchange.row_linear(self.layer, input, self.weight, self.bias)
        weight, bias = self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype)
        return self.exchange.row_linear(self.layer, input.to(dtype), weight, bias)
