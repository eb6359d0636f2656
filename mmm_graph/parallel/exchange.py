"""The seam between layers and ranks: layers ask their exchange; `Single` answers on one device, plans bring others."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.parallel.product import product


class Where(Protocol):
    """What an exchange reads of the place in the work it is bound to; `plan.ops.At` is one."""

    @property
    def request(self) -> str: ...
    @property
    def node(self) -> str: ...
    @property
    def step(self) -> tuple[int, ...]: ...
    @property
    def patch(self) -> int: ...
    @property
    def share(self) -> tuple[int, int]: ...
    @property
    def spans(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def member(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def sync(self) -> bool: ...


class Positions(NamedTuple):
    """Where a local grid of tokens lies in the whole one.

    Attributes:
        rows, cols: global index of each local row [h] and column [w], int64.
        height, width: size of the whole grid, in tokens.
    """

    rows: Tensor
    cols: Tensor
    height: int
    width: int


class Exchange(Protocol):
    """What a layer needs from other ranks. Every method is local and exact in `Single`.

    `layer` is the qualified name of the asking layer, the key of whatever an exchange keeps for it.
    """

    def bind(self, at: Where) -> None:
        """Called once before each Run, outside traced code: which request, step and piece comes next."""

    def clear(self, request: str, within: str = "") -> None:
        """Forget what is kept for a request that has ended, or for its nodes inside `within`, a loop that has."""

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
        """Softmax attention of q [b,n,l,k] over the keys and values of the *whole* sequence.

        Args:
            mask: True = attend; broadcasts to [b,n,l,l']. Not together with `causal`.
            causal: a token sees itself and those before it.
            num_text: how many tokens at the start are text, of joint attention; only the rank that holds the first
                rows of the first patch has any.
        """

    def conv2d(
        self,
        layer: str,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: tuple[int, int],
    ) -> Tensor:
        """Convolution of rows that continue on other ranks; `padding` = zeros (before, after) on both axes."""

    def group_norm(
        self, layer: str, x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float
    ) -> Tensor:
        """Group normalisation with the statistics of the whole image; x [b,c,h,w]."""

    def row_linear(self, layer: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The second of a pair of linear layers, whose input columns may be on several ranks: x [..., d]."""

    def positions(self, grid: tuple[int, int], device: torch.device) -> Positions:
        """Global positions of a local grid of (rows, columns)."""


class Single:
    """One device holds everything: nothing is exchanged. Has no state, so one object serves all models."""

    def bind(self, at: Where) -> None:
        return None

    def clear(self, request: str, within: str = "") -> None:
        return None

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
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)

    def conv2d(
        self,
        layer: str,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: tuple[int, int],
    ) -> Tensor:
        before, after = padding
        is_point = weight.shape[-1] == stride == 1 and padding == (0, 0)
        if is_point and x.is_contiguous(memory_format=torch.channels_last):
            return product(x.permute(0, 2, 3, 1), weight[..., 0, 0], bias).permute(0, 3, 1, 2)
        if before == after:
            return F.conv2d(x, weight, bias, stride, before)
        return F.conv2d(F.pad(x, (before, after, before, after)), weight, bias, stride)

    def group_norm(
        self, layer: str, x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float
    ) -> Tensor:
        if (
            torch.is_grad_enabled()
            and weight.requires_grad
            and not x.requires_grad
            and x.device.type == "cpu"
        ):
            x = x.contiguous()  # torch's backward for channels last crashes where nobody asks for that of x
        return F.group_norm(x, num_groups, weight, bias, eps)

    def row_linear(self, layer: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return product(x, weight, bias)

    def positions(self, grid: tuple[int, int], device: torch.device) -> Positions:
        height, width = grid
        rows, cols = torch.arange(height, device=device), torch.arange(width, device=device)
        return Positions(rows, cols, height, width)


SINGLE: Exchange = Single()
"""What every layer holds until a plan installs another."""


def install(module: nn.Module, exchange: Exchange, prefix: str = "") -> tuple[str, ...]:
    """Set `exchange`, and the qualified name as `layer`, on every layer of `module` that holds one.

    Args:
        prefix: put before those names, where several modules share an exchange.

    Returns:
        The names of those layers, in the order of `named_modules`.
    """
    names = []
    for name, layer in module.named_modules():
        if hasattr(layer, "exchange"):
            layer.exchange = exchange
            layer.layer = prefix + name
            names.append(prefix + name)
    return tuple(names)
