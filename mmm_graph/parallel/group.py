"""A group of ranks that share the work of one model, and what they can ask each other inside a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor


class Gathering(Protocol):
    """An exchange under way."""

    def wait(self) -> list[Tensor]:
        """What all members gave, in their order."""


class Group(Protocol):
    """Every member calls the same methods in the same order, with shapes that the others can work out.

    Nothing is negotiated: a receiver says which shapes it expects. Tensors that are handed over may be overwritten as
    soon as a call (of `gather`: its `wait`) returns. Sums are made in the order of the members, so that every
    transport gives the same bits.

    Attributes:
        index: own place among the members.
        size: how many there are.
    """

    index: int
    size: int

    def gather(self, x: Tensor, shapes: Sequence[Sequence[int]]) -> Gathering:
        """Start to give x to all; `shapes` are those that the members give, x's own among them."""

    def all_to_all(self, xs: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
        """Give `xs[j]` to member j; returns what each gave, of those shapes."""

    def all_reduce(self, x: Tensor) -> Tensor:
        """The sum of what all gave."""

    def swap(self, gives: Mapping[int, Tensor], shapes: Mapping[int, Sequence[int]]) -> dict[int, Tensor]:
        """Give tensors to some members and take tensors of those shapes from some, all at once."""
