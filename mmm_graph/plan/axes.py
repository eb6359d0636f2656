"""How the ranks of a model share its work: axes -> members, rows of an image -> spans, a batch -> shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Literal, NamedTuple

from mmm_graph.plan.ops import WHOLE, Share, Span

OUTER = ("patch", "ring")
INNER = "ulysses"
SPLIT_LAYERS = (*OUTER, INNER, "tensor")
"""Axes whose ranks exchange in the layers of a model."""
GroupNorm = Literal["sync", "stale", "corrected", "separate"]


class Member(NamedTuple):
    """What one rank does of a node.

    Attributes:
        share: of the batch.
        piece: index of its rows among `pieces`.
    """

    rank: int
    share: Share = WHOLE
    piece: int = 0
    pieces: int = 1


Team = tuple[Member, ...]
"""The ranks that do a node together; members of the same share and piece do the same, or halves of each layer."""


def alone(rank: int) -> Team:
    """One rank does it all."""
    return (Member(rank),)


def everyone(ranks: int) -> Team:
    """Every rank does it for itself."""
    return tuple(Member(rank) for rank in range(ranks))


@dataclass(frozen=True)
class Axes:
    """The axes of a model in the order of the file: the first varies slowest over the ranks of a slice.

    Attributes:
        sizes: (axis, degree).
        displaced: exchanges of `patch` are one evaluation late.
        group_norm: its statistics under `displaced`.
    """

    sizes: tuple[tuple[str, int], ...] = ()
    displaced: bool = False
    group_norm: GroupNorm = "sync"

    def __getitem__(self, axis: str) -> int:
        """Degree of an axis; 1 where it is not named."""
        return dict(self.sizes).get(axis, 1)

    @property
    def ranks(self) -> int:
        """How many ranks a slice has."""
        return prod(n for _, n in self.sizes)

    @property
    def pieces(self) -> int:
        """How many ranks share the rows."""
        return self["patch"] * self["ring"] * self[INNER]

    def coordinates(self) -> Iterator[Mapping[str, int]]:
        """Place of each rank of a slice on the axes."""
        for at in product(*(range(n) for _, n in self.sizes)):
            yield dict(zip((axis for axis, _ in self.sizes), at, strict=True))

    def piece(self, at: Mapping[str, int]) -> int:
        """Index of the rows of the rank at these coordinates: chunks of the outer split, cut again by ulysses."""
        outer = next((at[a] for a in OUTER if a in at), 0)
        return outer * self[INNER] + at.get(INNER, 0)

    def team(
        self, ranks: tuple[int, ...], branch: int = 0, *, rowed: bool = True, batched: bool = True
    ) -> Team:
        """The members of a call on a slice.

        Args:
            ranks: of the slice; more than the axes need (a slice without axes) do the same.
            branch: place on the `cfg` axis.
            rowed: the call's rows can be shared; otherwise the ranks of the first piece do it.
            batched: so can its batch; otherwise the ranks of the first share do it.
        """
        if not self.sizes:
            return tuple(Member(r) for r in ranks)
        found = []
        for rank, at in zip(ranks, self.coordinates(), strict=True):
            piece, share = self.piece(at), (at.get("data", 0), self["data"])
            if at.get("cfg", 0) != branch or (piece and not rowed) or (share[0] and not batched):
                continue
            found.append(Member(rank, share if batched else WHOLE, piece, self.pieces if rowed else 1))
        return tuple(found)


def split(span: Span, pieces: int, unit: int = 1) -> tuple[Span, ...]:
    """A span cut at multiples of `unit` into pieces as even as they can be, the larger ones first.

    Raises:
        ValueError: it is not a whole number of units, or has fewer than pieces.
    """
    start, stop = span
    units, rest = divmod(stop - start, unit)
    if rest or start % unit:
        raise ValueError(f"rows {start} to {stop} are not a whole number of {unit}")
    if units < pieces:
        raise ValueError(f"{stop - start} rows, cut at multiples of {unit}, make at most {units} pieces")
    each, more = divmod(units, pieces)
    ends = [start + unit * (each * (i + 1) + min(i + 1, more)) for i in range(pieces)]
    return tuple(zip([start, *ends[:-1]], ends, strict=True))


def divide(share: Share, by: int, k: int) -> Share:
    """The k-th part of a share."""
    return (share[0] * by + k, share[1] * by)
