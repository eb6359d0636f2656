"""Two exchanges of one rank: ranks that pipeline patches afterwards share the rows of whole images in the warm-up."""

from __future__ import annotations

import torch
from torch import Tensor

from mmm_graph.parallel.exchange import Exchange, Positions, Where
from mmm_graph.parallel.sharded import Sharded


class Phased:
    """An `Exchange` that is one where rows are shared and another where they are not; both know the same.

    Args:
        warm: of all ranks of the pipeline; keys and values that it gathers fill the buffer.
        steady: of a stage, which reads the buffer.
    """

    def __init__(self, warm: Sharded, steady: Sharded) -> None:
        self.warm, self.steady = warm, steady
        steady.state = warm.state
        self.now: Exchange = warm

    def bind(self, at: Where) -> None:
        now = self.warm if len(at.spans) > 1 else self.steady
        now.bind(at)
        self.now = now

    def clear(self, request: str, within: str = "") -> None:
        self.warm.clear(request, within)

    def attention(
        self,
        layer: str,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        num_text: int = 0,
    ) -> Tensor:
        return self.now.attention(layer, q, k, v, mask, causal, num_text)

    def conv2d(
        self,
        layer: str,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: tuple[int, int],
    ) -> Tensor:
        return self.now.conv2d(layer, x, weight, bias, stride, padding)

    def group_norm(
        self, layer: str, x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float
    ) -> Tensor:
        return self.now.group_norm(layer, x, num_groups, weight, bias, eps)

    def row_linear(self, layer: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self.now.row_linear(layer, x, weight, bias)

    def positions(self, grid: tuple[int, int], device: torch.device) -> Positions:
        return self.now.positions(grid, device)
