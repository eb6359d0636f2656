"""Gated feed-forward layers."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from mmm_graph.nn.fused import Projections
from mmm_graph.nn.linear import RowLinear
from mmm_graph.nn.mlp import ACTIVATIONS, ActivationName
from mmm_graph.parallel.few_rows import can_take, kernels
from mmm_graph.parallel.tensor import TensorSplit


class GatedUnit(nn.Module):
    """down(act(gate(x)) * up(x)): b t d -> b t d.

    Args:
        dim: width of input and output.
        hidden: width between.
        activation: a name in ACTIVATIONS.
        bias: of all layers.

    Source: Shazeer 2020 (arXiv:2002.05202), eq. 6.
    """

    tensor_split: ClassVar[TensorSplit] = TensorSplit(columns={"gate": 1, "up": 1}, rows=("down",))

    def __init__(
        self, dim: int, hidden: int, activation: ActivationName = "silu", *, bias: bool = False
    ) -> None:
        super().__init__()
        self.activation, self.is_silu = ACTIVATIONS[activation], activation == "silu"
        self.gate = nn.Linear(dim, hidden, bias)
        self.up = nn.Linear(dim, hidden, bias)
        self.down = RowLinear(hidden, dim, bias)
        self.project = Projections("gate", "up", on_cpu=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(self.hidden(x))
        return y

    def hidden(self, x: Tensor) -> Tensor:
        """act(gate(x)) * up(x)."""
        kernel = kernels() if self.is_silu and can_take(x) else None
        if kernel is not None:
            return kernel.gated(self.project.together(self, x))
        gate, up = self.project(self, x)
        return self.activation(gate) * up
