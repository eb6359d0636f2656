"""Feed-forward layers without biases whose last product is in float32 where the weights are float16."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from mmm_graph.nn.linear import RowLinear
from mmm_graph.nn.mlp import ACTIVATIONS, ActivationName
from mmm_graph.parallel.tensor import TensorSplit


class FeedForward(nn.Module):
    """down(act(up(x))): b l d -> b l d, float32 of float16 weights.

    Args:
        dim: width of input and output.
        hidden: width between.
        activation: a name in ACTIVATIONS.
    """

    tensor_split: ClassVar[TensorSplit] = TensorSplit(columns={"up": 1}, rows=("down",))

    def __init__(self, dim: int, hidden: int, activation: ActivationName) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = RowLinear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return wide_product(self.down, self.activation(self.up(x)))


class GatedFeedForward(nn.Module):
    """down(act(gate(x)) * up(x)): b l d -> b l d, float32 of float16 weights; arguments as of FeedForward.

    Source: Shazeer 2020 (arXiv:2002.05202), eq. 6.
    """

    tensor_split: ClassVar[TensorSplit] = TensorSplit(columns={"gate": 1, "up": 1}, rows=("down",))

    def __init__(self, dim: int, hidden: int, activation: ActivationName) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.gate = nn.Linear(dim, hidden, bias=False)
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = RowLinear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return wide_product(self.down, self.activation(self.gate(x)) * self.up(x))


def wide_product(down: RowLinear, x: Tensor) -> Tensor:
    """down(x), in float32 if the weights are float16: trained T5 makes sums here that float16 cannot hold."""
    y: Tensor = down(x, torch.float32) if x.dtype is torch.float16 else down(x)
    return y
