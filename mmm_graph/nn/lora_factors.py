"""Factors of a LoRA that are trained: float32 beside a layer of any dtype, and nothing at first."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.drawing import Drawing
from mmm_graph.nn.fused import Projections
from mmm_graph.nn.stand_in import StandIn, stand_in
from mmm_graph.parallel.exchange import SINGLE


class LoraFactors(Drawing):
    """What is added to a layer: factor * up @ down of its input, of which each number is dropped with chance `dropout`.

    Args:
        shape: of the layer's weight: out in, or out in k k.
        rank: r.
        alpha: factor = alpha / r.
        dropout: of the input of `down`, in training; what is left is scaled by 1 / (1 - dropout).
        name: of the layer in its model; keys what is random.
        seed: of the start of `down`, uniform in +-1/sqrt(fan in); `up` is 0 at first.
        step, padding: of a convolution.

    Source: Hu et al. 2021 (arXiv:2106.09685), eq. 3 and section 4.1; convolutions: Yeh et al. 2023 (arXiv:2309.14859).
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        name: str = "",
        seed: int = 0,
        step: int = 1,
        padding: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(name)
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        generator = torch.Generator().manual_seed(seed)
        down = torch.empty(rank, *shape[1:]).uniform_(-bound, bound, generator=generator)
        self.down, self.up = nn.Parameter(down), nn.Parameter(torch.zeros(shape[0], rank))
        self.alpha, self.factor, self.dropout, self.name = alpha, alpha / rank, dropout, name
        self.step, self.padding = step, padding

    def add(self, y: Tensor, x: Tensor) -> Tensor:
        """y, which the layer has made of x, and what this makes of x."""
        x = x.to(self.down.dtype)
        if self.dropout and self.training:
            x = x * self._kept(x)
        if self.down.ndim == 2:
            made = F.linear(F.linear(x, self.down), self.up)
        else:
            thin = SINGLE.conv2d(self.name, x, self.down, None, self.step, self.padding)
            made = F.conv2d(thin, self.up[..., None, None])
        return y + (made * self.factor).to(y.dtype)

    @property
    def draws(self) -> bool:
        """Whether it drops anything."""
        return self.dropout > 0

    @property
    def key(self) -> str:
        """Its name, which says the model too."""
        return self.name

    def _kept(self, x: Tensor) -> Tensor:
        """1 / (1 - p) where a number stays, else 0."""
        return (self.uniform(x) >= self.dropout).to(x.dtype) / (1 - self.dropout)


def add_factors(
    module: nn.Module, name: str, *, rank: int, alpha: float, dropout: float, seed: int, label: str
) -> LoraFactors:
    """Put new factors beside the layer of that name.

    Args:
        label: the layer's name for keys of what is random, which also tells apart models.
        seed: of the run.
    """
    layer = module.get_submodule(name)
    key = int.from_bytes(hashlib.blake2b(f"lora {seed} {label}".encode(), digest_size=8).digest(), "big") >> 1
    weight: Tensor = layer.weight  # type: ignore[assignment]
    is_conv = weight.ndim > 2
    more = {"step": layer.stride, "padding": layer.padding} if is_conv else {}
    factors = LoraFactors(
        tuple(weight.shape),
        rank=rank,
        alpha=alpha,
        dropout=dropout,
        name=label,
        seed=key,
        **more,  # type: ignore[arg-type]
    )
    stand_in(module, name, StandIn(layer, factors.to(weight.device)))
    return factors


def part_projections(module: nn.Module) -> None:
    """Take apart projections that were joined of layers which others stand in for by now."""
    for owner in module.modules():
        for joined in [v for v in vars(owner).values() if isinstance(v, Projections)]:
            if any(isinstance(getattr(owner, name), StandIn) for name in joined.names):
                joined.fused = None
