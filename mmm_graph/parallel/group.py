"""A group of ranks that share the work of one model, and what they can ask each other inside a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar, runtime_checkable

from torch import Tensor

T_co = TypeVar("T_co", covariant=True)


@runtime_checkable
class Pending(Protocol[T_co]):
    """An exchange under way."""

    def wait(self) -> T_co:
        """What it brings; asked again, the same."""


Gathering = Pending[list[Tensor]]
"""Brings what all members gave, in their order."""


class Group(Protocol):
    """Every member calls the same methods in the same order, with shapes that the others can work out.

    Nothing is negotiated: a receiver says which shapes it expects. Tensors that are handed over may be overwritten as
    soon as a call (of what is pending: its `wait`) returns. Sums are made in the order of the members, so that every
    transport gives the same bits. What comes from others is contiguous; what a member gives itself, it gets as it is.

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

    def swap(
        self, gives: Mapping[int, Tensor], shapes: Mapping[int, Sequence[int]], like: Tensor
    ) -> dict[int, Tensor]:
        """Give tensors to some members and take tensors of those shapes from some, all at once.

        All members call it, also one that gives or takes nothing. What is taken has the dtype and device of `like`.
        """

    def start_swap(
        self, gives: Mapping[int, Tensor], shapes: Mapping[int, Sequence[int]], like: Tensor
    ) -> Pending[dict[int, Tensor]]:
        """`swap`, while the caller goes on."""


class Ready(Generic[T_co]):
    """An exchange that is over when it starts."""

    def __init__(self, value: T_co) -> None:
        self.value = value

    def wait(self) -> T_co:
        return self.value


class Listed:
    """What came from the others, and what was kept for itself in its place among them."""

    def __init__(self, others: Pending[dict[int, Tensor]], index: int, own: Tensor) -> None:
        self.others, self.index, self.own = others, index, own

    def wait(self) -> list[Tensor]:
        parts = {**self.others.wait(), self.index: self.own}
        return [parts[member] for member in sorted(parts)]


def in_order(parts: Sequence[Tensor]) -> Tensor:
    """The sum, first to last: a new tensor."""
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total += part
    return total


class Alone:
    """A group of one: it has all there is. Has no state, so one object serves all."""

    index = 0
    size = 1

    def gather(self, x: Tensor, shapes: Sequence[Sequence[int]]) -> Gathering:
        return Ready([x])

    def all_to_all(self, xs: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
        return list(xs)

    def all_reduce(self, x: Tensor) -> Tensor:
        return x

    def swap(
        self, gives: Mapping[int, Tensor], shapes: Mapping[int, Sequence[int]], like: Tensor
    ) -> dict[int, Tensor]:
        return {}

    def start_swap(
        self, gives: Mapping[int, Tensor], shapes: Mapping[int, Sequence[int]], like: Tensor
    ) -> Pending[dict[int, Tensor]]:
        return Ready({})


ALONE: Group = Alone()
"""The group of an axis that a model is not spread over."""
