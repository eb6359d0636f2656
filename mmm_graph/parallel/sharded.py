"""The exchange of a rank that shares a model's rows, heads or patches with others: it only puts the pieces together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmm_graph.parallel import halo, positions, stats
from mmm_graph.parallel.attend import attend, choose
from mmm_graph.parallel.exchange import Positions, Where
from mmm_graph.parallel.group import ALONE, Group
from mmm_graph.parallel.product import product
from mmm_graph.parallel.refuse import refuse_gradients, refuse_masks
from mmm_graph.parallel.state import StateStore


@dataclass(frozen=True)
class Groups:
    """Whom a rank asks; an axis that the model is not spread over has `ALONE`.

    Attributes:
        tokens: all members that share the rows, in the order of the spans: member = outer.index * inner.size
            + inner.index.
        outer: those that each hold a chunk of the tokens, for all heads that they have (patch, ring).
        inner: those that split the heads among them over the tokens of one chunk (ulysses).
        tensor: those that each hold some heads and columns of the weights.
    """

    tokens: Group = ALONE
    outer: Group = ALONE
    inner: Group = ALONE
    tensor: Group = ALONE


@dataclass(frozen=True)
class ShardConfig:
    """How rows are shared.

    Attributes:
        tokens: how keys and values get round the outer group: all to all members, or chunk by chunk in a ring.
        displaced: evaluations that are not sync read what the others held at the one before (DistriFusion).
        group_norm: whose statistics: of now, of the evaluation before, those corrected by the own change, or own only.
        buffered: keys and values of patches that are not computed now come from a buffer (PipeFusion).

    Raises:
        ValueError: a combination that has no meaning.
    """

    tokens: Literal["patch", "ring"] = "patch"
    displaced: bool = False
    group_norm: Literal["sync", "stale", "corrected", "separate"] = "sync"
    buffered: bool = False

    def __post_init__(self) -> None:
        if self.displaced and (self.buffered or self.tokens == "ring"):
            raise ValueError("displaced patches go neither round a ring nor into a buffer of patches")


class Sharded:
    """An `Exchange` over several ranks. Bound to a place before each Run; every rank of its groups asks alike.

    Args:
        groups: whom it asks.
        warm: whom it asks in a warm-up in which ranks that pipeline patches afterwards share the rows of whole images;
            what they gather then is what the patches find in the buffer. None: the same.

    Attributes:
        at: the place it is bound to.
        groups: those of that place.
        state: what it keeps from one evaluation to the next.
    """

    at: Where

    def __init__(self, groups: Groups, config: ShardConfig, warm: Groups | None = None) -> None:
        self.steady, self.warm, self.config = groups, warm or groups, config
        self.state = StateStore()
        self._cores = {id(g): choose(g, config) for g in (self.steady, self.warm)}
        self._ask(self.steady)

    def _ask(self, groups: Groups) -> None:
        self.groups, self._core = groups, self._cores[id(groups)]

    def bind(self, at: Where) -> None:
        self.at = at
        if self.warm is not self.steady:
            self._ask(self.warm if len(at.spans) > 1 else self.steady)

    def clear(self, request: str, within: str = "") -> None:
        self.state.clear(request, within)

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
        if self._whole():
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        refuse_masks(layer, mask, causal)
        refuse_gradients(layer, q)
        return attend(self, self._core, layer, q, k, v, num_text)

    def conv2d(
        self,
        layer: str,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: tuple[int, int],
    ) -> Tensor:
        return halo.conv2d(self, layer, x, weight, bias, stride, padding)

    def group_norm(
        self, layer: str, x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float
    ) -> Tensor:
        return stats.group_norm(self, layer, x, num_groups, weight, bias, eps)

    def row_linear(self, layer: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.groups.tensor.size == 1:
            return product(x, weight, bias)
        refuse_gradients(layer, x)
        total = self.groups.tensor.all_reduce(product(x, weight, None))
        return total if bias is None else total.add_(bias)

    def positions(self, grid: tuple[int, int], device: torch.device) -> Positions:
        return positions.positions(self.at, grid, device)

    def _whole(self) -> bool:
        """All tokens are here, and none of them is old."""
        return len(self.at.spans) <= 1 and not (self.config.buffered and self.at.spans)
