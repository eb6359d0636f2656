"""Feed-forward layers of transformers and the activations they are named by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.linear import RowLinear
from mmm_graph.parallel.tensor import TensorSplit

ActivationName = Literal["gelu", "gelu_tanh", "quick_gelu", "silu", "relu"]


class Mlp(nn.Module):
    """Linear, activation, linear: b l d -> b l d.

    Args:
        dim: width of input and output.
        hidden: width between.
        activation: a name in ACTIVATIONS.
    """

    tensor_split: ClassVar[TensorSplit] = TensorSplit(columns={"up": 1}, rows=("down",))

    def __init__(self, dim: int, hidden: int, activation: ActivationName = "gelu") -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.up = nn.Linear(dim, hidden)
        self.down = RowLinear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(self.activation(self.up(x)))
        return y


class GatedMlp(nn.Module):
    """down(up(x) * gelu(gate(x))), up and gate in one matrix: b l d -> b l d.

    Source: Shazeer 2020 (arXiv:2002.05202), GEGLU.
    """

    tensor_split: ClassVar[TensorSplit] = TensorSplit(columns={"up": 2}, rows=("down",))

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(dim, 2 * hidden)
        self.down = RowLinear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.up(x).chunk(2, dim=-1)
        y: Tensor = self.down(value * F.gelu(gate))
        return y


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x): the approximation that OpenAI's CLIP weights were trained with."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "gelu": F.gelu,
        "gelu_tanh": partial(F.gelu, approximate="tanh"),
        "quick_gelu": quick_gelu,
        "silu": F.silu,
        "relu": F.relu,
    }
)
