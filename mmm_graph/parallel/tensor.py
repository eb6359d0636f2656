"""Tensor parallelism: cuts the weights of layers that say how, so that each rank keeps some heads and columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
from mmm_graph.parallel.shares import shares


@dataclass(frozen=True)
class TensorSplit:
    """How a layer's weights are cut; the layer or its class holds it as `tensor_split`.

    Attributes:
        columns: its linear layers whose outputs are cut -> how many matrices of that kind are fused in one. Each rank
            keeps the same share of every matrix, which may have fewer outputs than others (keys of grouped heads).
        rows: its linear layers whose inputs are cut; each is a `RowLinear`, which sums over the ranks.
        heads: the attribute that counts the heads, which are never cut through; None = any column may be the cut.
        beside: how many inputs of that width stand beside each other in each of `rows`.
    """

    columns: Mapping[str, int]
    rows: tuple[str, ...]
    heads: str | None = None
    beside: int = 1


def shard_weights(module: nn.Module, index: int, size: int) -> None:
    """Keep share `index` of `size` of all layers in `module` that say how they are cut; the others stay whole.

    Raises:
        RunError: E722, a layer has fewer heads or columns than there are ranks.
    """
    for name, layer in module.named_modules():
        split = getattr(layer, "tensor_split", None)
        if split is not None:
            shard_layer(name, layer, split, index, size)


def shard_layer(name: str, layer: nn.Module, split: TensorSplit, index: int, size: int) -> None:
    """`shard_weights` of one layer."""
    width = getattr(layer, split.rows[0]).in_features // split.beside
    units = getattr(layer, split.heads) if split.heads else width
    if units < size:
        what = f"{units} {'heads' if split.heads else 'columns'}"
        hint = f"use at most {units} ranks on the tensor axis of this model"
        raise RunError(problem("E722", f"{name} has {what}, too few for {size} ranks", hint=hint))
    mine = shares(units, size)[index]
    first, last = (unit * width // units for unit in mine)
    for linear, fused in split.columns.items():
        outputs = getattr(layer, linear).out_features // fused
        cut_columns(getattr(layer, linear), fused, *(unit * outputs // units for unit in mine))
    for linear in split.rows:
        if getattr(layer, linear) is not None:
            cut_rows(getattr(layer, linear), split.beside, first, last)
    if split.heads:
        setattr(layer, split.heads, mine[1] - mine[0])


def cut_columns(linear: nn.Linear, fused: int, first: int, last: int) -> None:
    """Keep the outputs first..last (not included) of each of the `fused` matrices."""
    parameters = {"weight": linear.weight, "bias": linear.bias}
    for name, whole in parameters.items():
        if whole is not None:
            matrices = whole.chunk(fused)
            keep(linear, name, torch.cat([matrix[first:last] for matrix in matrices]))
    linear.out_features = len(linear.weight)
    for beside in _beside(linear):
        beside.cut_columns(fused, first, last)


def cut_rows(linear: nn.Linear, beside: int, first: int, last: int) -> None:
    """Keep the inputs first..last (not included) of each of those `beside` each other.

    The bias stays whole, as it is added once, to the sum.
    """
    inputs = linear.weight.chunk(beside, dim=1)
    keep(linear, "weight", torch.cat([each[:, first:last] for each in inputs], dim=1))
    linear.in_features = linear.weight.shape[1]
    for part in _beside(linear):
        part.cut_rows(beside, first, last)


class Beside(Protocol):
    """What runs beside a linear layer's weight, as its child, and is cut with it."""

    def cut_columns(self, fused: int, first: int, last: int) -> None:
        """As the function of that name."""

    def cut_rows(self, beside: int, first: int, last: int) -> None:
        """As the function of that name."""


def _beside(linear: nn.Module) -> list[Beside]:
    return [child for child in linear.children() if hasattr(child, "cut_rows")]  # type: ignore[misc]


def keep(linear: nn.Linear, name: str, part: Tensor) -> None:
    """Put a part of a parameter in its place; nothing else holds the whole."""
    trains = linear.get_parameter(name).requires_grad
    setattr(linear, name, nn.Parameter(part.detach(), requires_grad=trains))
