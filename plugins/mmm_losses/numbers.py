"""What the losses share: precision, means over no elements, lengths and unit vectors with safe gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

TINY = 1e-12
"""A vector that is shorter has no direction."""

P = ParamSpec("P")
R = TypeVar("R")


def in_full_precision(loss: Callable[P, R]) -> Callable[P, R]:
    """A loss that autocast leaves alone: logits of cosines times 100 are off by 0.25 in bfloat16."""

    @wraps(loss)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        tensor = next(v for v in (*args, *kwargs.values()) if isinstance(v, Tensor))
        with torch.autocast(tensor.device.type, enabled=False):
            return loss(*args, **kwargs)

    return run


def widened(x: Tensor) -> Tensor:
    """At least float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def mean_of(values: Tensor) -> Tensor:
    """The mean; of no values 0, with a gradient."""
    return values.sum() / max(1, values.numel())


def difference(pred: Tensor, target: Tensor) -> Tensor:
    """pred - target, at least float32.

    Raises:
        ValueError: shapes differ; they would broadcast.
    """
    if pred.shape != target.shape:
        raise ValueError(f"prediction {tuple(pred.shape)} and target {tuple(target.shape)} differ in shape")
    return widened(pred) - widened(target)


def length_of(x: Tensor, dim: int = -1) -> Tensor:
    """|x| along an axis, which goes; the gradient of a zero vector is 0, where a root has none."""
    square = x.square().sum(dim)
    nothing = square == 0
    return square.masked_fill(nothing, 1.0).sqrt().masked_fill(nothing, 0.0)


def unit(x: Tensor, dim: int = -1) -> Tensor:
    """x / |x| along an axis. What is shorter than TINY becomes 0, with the gradient 0."""
    length = length_of(x, dim).unsqueeze(dim)
    nothing = length < TINY
    return (x / length.masked_fill(nothing, 1.0)).masked_fill(nothing, 0.0)
