"""A value in pieces, and how a reader gets the piece it wants: as it is, cut where it lies, joined where it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from mmm_graph.plan.ops import WHOLE, Fn, Share, Span, Value

Copy = Callable[[int, Fn, tuple[Value, ...], Value], None]
"""Told of each copy that has to be made: (rank, fn, reads, result)."""


class Piece(NamedTuple):
    """A part of a value and the ranks that make it."""

    value: Value
    ranks: tuple[int, ...]


@dataclass(eq=False)
class Pieces:
    """All that there is of a value in one turn.

    Attributes:
        step: the turn that made it.
        height: rows of the whole; 0 where nobody can cut it.
        held: pieces, copies among them.
    """

    step: tuple[int, ...]
    height: int = 0
    held: list[Piece] = field(default_factory=list)

    def add(self, value: Value, rank: int) -> None:
        """A rank makes a piece; several ranks may make the same."""
        for i, piece in enumerate(self.held):
            if piece.value == value:
                if rank not in piece.ranks:
                    self.held[i] = Piece(value, (*piece.ranks, rank))
                return
        self.held.append(Piece(value, (rank,)))

    def forget(self, patch: int) -> tuple[Value, ...]:
        """Drop what belongs to that patch alone."""
        gone = tuple(p.value for p in self.held if p.value.patch == patch)
        self.held = [p for p in self.held if p.value.patch != patch]
        return gone

    @property
    def values(self) -> tuple[Value, ...]:
        """Names of all pieces."""
        return tuple(p.value for p in self.held)

    def want(self, rank: int, span: Span | None, share: Share, patch: int, copy: Copy) -> Value:
        """The name of the piece that a rank reads; what has to be cut or joined first is told to `copy`.

        Args:
            span: rows; None = all.
            patch: of the reader: copies for it die with it.
        """
        return _Want(self, rank, patch, copy).find(span, share)

    def nearest(self, rank: int) -> Value:
        """Any piece, one on that rank if there is one."""
        return max(self.held, key=lambda p: rank in p.ranks).value


@dataclass
class _Want:
    pieces: Pieces
    rank: int
    patch: int
    copy: Copy

    def find(self, span: Span | None, share: Share) -> Value:
        if self.pieces.height and span == (0, self.pieces.height):
            span = None
        for held in ([p for p in self.pieces.held if p.value.share == s] for s in (share, WHOLE)):
            if self._is_there(held, span):
                found = self._rows(held, span)
                return found if found.share == share else self._taken(found, share)
        num = self.pieces.held[0].value.share[1]
        parts = tuple(self.find(span, (k, num)) for k in range(num))
        made = self._make(self.rank, ("join", "batch"), parts, parts[0]._replace(share=WHOLE))
        return made if share == WHOLE else self._taken(made, share)

    def _taken(self, value: Value, share: Share) -> Value:
        return self._make(self._home(value), ("take", *share), (value,), value._replace(share=share))

    def _is_there(self, held: list[Piece], span: Span | None) -> bool:
        """Whether these pieces hold all of the rows."""
        at, stop = span or (0, self.pieces.height)
        if not self.pieces.height or any(p.value.span == span for p in held):
            return bool(held)
        for start, end in sorted(map(self._span, held)):
            at = max(at, end) if start <= at else at
        return at >= stop

    def _rows(self, held: list[Piece], span: Span | None) -> Value:
        exact = [p for p in held if p.value.span == span]
        if exact:
            return max(exact, key=lambda p: (p.value.patch == self.patch, self.rank in p.ranks)).value
        if not self.pieces.height:  # it has no rows, or they are not to be cut: all pieces are alike
            return max(held, key=lambda p: (p.value.patch == self.patch, self.rank in p.ranks)).value
        found = tuple(self._cut(piece, part) for piece, part in self._cover(held, span))
        if len(found) == 1:
            return found[0]
        return self._make(self.rank, ("join", "rows"), found, self._named(found[0], span))

    def _cover(self, held: list[Piece], span: Span | None) -> Iterator[tuple[Piece, Span]]:
        """Pieces that together hold the rows, own ones first, and which of their rows."""
        at, stop = span or (0, self.pieces.height)
        while at < stop:
            able = [p for p in held if self._span(p)[0] <= at < self._span(p)[1]]
            best = max(able, key=lambda p: (self.rank in p.ranks, min(self._span(p)[1], stop)))
            end = min(self._span(best)[1], stop)
            yield best, (at, end)
            at = end

    def _cut(self, piece: Piece, part: Span) -> Value:
        start, stop = self._span(piece)
        if part == (start, stop):
            return piece.value
        rank = self.rank if self.rank in piece.ranks else piece.ranks[0]
        fn = ("cut", part[0] - start, part[1] - start)
        return self._make(rank, fn, (piece.value,), self._named(piece.value, part))

    def _named(self, value: Value, span: Span | None) -> Value:
        """A copy for one patch of the reader dies with that patch."""
        return value._replace(span=span, patch=self.patch)

    def _make(self, rank: int, fn: Fn, reads: tuple[Value, ...], value: Value) -> Value:
        if value not in self.pieces.values:
            self.copy(rank, fn, reads, value)
            self.pieces.add(value, rank)
        return value

    def _span(self, piece: Piece) -> Span:
        return piece.value.span or (0, self.pieces.height)

    def _home(self, value: Value) -> int:
        ranks = next(p.ranks for p in self.pieces.held if p.value == value)
        return self.rank if self.rank in ranks else ranks[0]
