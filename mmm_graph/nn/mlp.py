"""Feed-forward layers of transformers and the activations they are named by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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
        bias: of both layers.
    """

    tensor_split: ClassVar[TensorSplit] = TensorSplit(columns={"up": 1}, rows=("down",))

    def __init__(
        self, dim: int, hidden: int, activation: ActivationName = "gelu", *, bias: bool = True
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.up = nn.Linear(dim, hidden, bias)
        self.down = RowLinear(hidden, dim, bias)

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


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU with its tanh approximation. On a CPU by the sigmoid that it equals: torch's tanh takes twice as long.

    Source: Hendrycks and Gimpel 2016 (arXiv:1606.08415), section 2: x/2 (1 + tanh u) = x sigmoid(2u),
    u = sqrt(2/pi) (x + 0.044715 x^3).
    """
    wide = x.device.type == "cpu" and x.dtype is torch.float32
    if not wide or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return F.gelu(x, approximate="tanh")
    y = x.new_empty(x.shape)
    for part, out in zip(x.reshape(-1).split(CHUNK), y.view(-1).split(CHUNK), strict=True):
        torch.mul(part, part, out=out)
        out.mul_(2 * CUBIC * SLOPE).add_(2 * SLOPE).mul_(part).sigmoid_().mul_(part)
    return y


SLOPE, CUBIC = math.sqrt(2 / math.pi), 0.044715
CHUNK = 1 << 17
"""So many numbers at a time stay in a core's cache."""


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "gelu": F.gelu,
        "gelu_tanh": gelu_tanh,
        "quick_gelu": quick_gelu,
        "silu": F.silu,
        "relu": F.relu,
    }
)
