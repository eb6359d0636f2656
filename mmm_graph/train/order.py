"""Place in the stream -> which sample: shuffled, mixed by weight, grouped by size. Nothing here has a state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import torch

from mmm_graph.train.seeds import derive_seed

KEPT = 4  # permutations in memory: reading ahead looks beyond the end of an epoch


@dataclass(frozen=True)
class Pick:
    """A sample of the stream: its index in the dataset, and how often the dataset was gone through before."""

    index: int
    epoch: int


class Order(Protocol):
    """An endless sequence of samples that can be entered anywhere."""

    def at(self, position: int, /) -> Pick:
        """The sample at a position, from 0."""


@dataclass
class Shuffled:
    """Every sample once an epoch, each epoch in an order keyed by (seed, epoch).

    Args:
        size: samples of the dataset.
        seed: key of the shuffling; None: the dataset's own order.
    """

    size: int
    seed: int | None
    _epochs: dict[int, list[int]] = field(default_factory=dict, repr=False)

    def at(self, position: int) -> Pick:
        """The sample at a position."""
        epoch, offset = divmod(position, self.size)
        return Pick(offset if self.seed is None else self._epoch(self.seed, epoch)[offset], epoch)

    def _epoch(self, seed: int, epoch: int) -> list[int]:
        if epoch not in self._epochs:
            generator = torch.Generator().manual_seed(derive_seed(seed, "shuffle", epoch))
            while len(self._epochs) >= KEPT:
                self._epochs.pop(next(iter(self._epochs)))
            self._epochs[epoch] = torch.randperm(self.size, generator=generator).tolist()
        return self._epochs[epoch]


class Mixed:
    """Several orders by weight, dealt as evenly as whole numbers allow; each goes on by itself, epoch after epoch.

    The first order gets floor(share x positions) of the positions, and so on with what is left: where each of n
    positions goes, and how many went there before, is a formula. After any number of positions an order has had its
    share but for less than 2 samples.

    Args:
        orders: with the index of each one's first sample in the datasets laid end to end.
        weights: their shares, above 0.
    """

    def __init__(self, orders: Sequence[tuple[int, Order]], weights: Sequence[float]) -> None:
        exact = [Fraction(str(weight)) for weight in weights]
        self._orders = list(orders)
        self._shares = [exact[i] / sum(exact[i:]) for i in range(len(exact))]

    def at(self, position: int) -> Pick:
        """The sample at a position."""
        number, place = self.source(position)
        first, order = self._orders[number]
        pick = order.at(place)
        return Pick(first + pick.index, pick.epoch)

    def source(self, position: int) -> tuple[int, int]:
        """(which order, position in it)."""
        place = position
        for number, share in enumerate(self._shares):
            before = int(share * place)
            if int(share * (place + 1)) > before:
                return number, before
            place -= before
        raise AssertionError("the last share is 1")


class Grouped:
    """Batches of samples alike: `span` batches at a time are sorted by key, cut, and dealt in a random order.

    Args:
        order: the stream to take samples from; none is dropped and none is moved further than `span` batches.
        batch: samples of a batch (of all ranks together).
        span: batches sorted together.
        key: of a pick, such as its length.
        seed: key of the order in which the batches of a span come.
    """

    def __init__(
        self, order: Order, batch: int, span: int, key: Callable[[Pick], tuple[int, ...]], seed: int
    ) -> None:
        self._order, self._batch, self._span, self._key, self._seed = order, batch, span, key, seed
        self._spans: dict[int, list[Pick]] = {}

    def at(self, position: int) -> Pick:
        """The sample at a position."""
        number, offset = divmod(position, self._batch * self._span)
        if number not in self._spans:
            while len(self._spans) >= KEPT:
                self._spans.pop(next(iter(self._spans)))
            self._spans[number] = self._sort(number)
        return self._spans[number][offset]

    def _sort(self, number: int) -> list[Pick]:
        size = self._batch * self._span
        picks = [self._order.at(p) for p in range(number * size, (number + 1) * size)]
        picks.sort(key=self._key)  # equal keys stay in the order of the stream
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "group", number))
        dealt = torch.randperm(self._span, generator=generator).tolist()
        return [pick for i in dealt for pick in picks[i * self._batch : (i + 1) * self._batch]]
