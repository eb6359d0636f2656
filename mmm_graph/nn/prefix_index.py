"""Which prefixes of prompts are kept: the longest one that a new prompt begins with is found by hashes of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from mmm_graph.nn.prefix_store import Word

STEP = 16
"""Prefixes are so many tokens long, or a multiple of that."""
MOST = 256
"""Segments that are kept at once."""


@dataclass(eq=False)
class Segment:
    """Tokens that were computed in one go.

    Attributes:
        before: the segment that these tokens follow, up to `start`; it may go on otherwise.
        start: the place of the first one in the text.
        digests: of the text up to start + STEP, start + 2 STEP ...
    """

    number: int
    before: Segment | None
    start: int
    digests: tuple[bytes, ...]

    @property
    def length(self) -> int:
        """Its tokens."""
        return STEP * len(self.digests)

    def chain(self) -> Iterator[Segment]:
        """Itself, the one before it, and so on."""
        found: Segment | None = self
        while found is not None:
            yield found
            found = found.before


class PrefixIndex:
    """Finds and says what every layer of a model takes of earlier prompts and keeps of this one.

    Where the model is on several ranks (`is_alone` False), what a run keeps or uses counts when the run has ended well,
    and until then nothing is forgotten: requests may pass the ranks in different orders, and ranks that decide each for
    itself, by the same embeds, agree. Half of the budget is then for what the run that is going on keeps.

    Args:
        numbers: of keys and values of one token, in all layers together.
    """

    def __init__(self, numbers: int) -> None:
        self.numbers = numbers
        self.is_alone = True
        self._segments: dict[int, Segment] = {}  # in the order of their last use
        self._places: dict[
            bytes, tuple[Segment, int]
        ] = {}  # digest of a prefix -> its last segment, its length
        self._new: list[Segment] = []  # of this run
        self._used: list[Segment] = []  # by this run
        self._next, self._tokens = 0, 0
        self._lock = Lock()  # ranks that are threads may share a model

    def decide(self, embeds: Tensor, budget: int) -> Word:
        """What to take and keep of a prompt [1,t,d]; at least its last token is computed.

        Args:
            budget: bytes that all that is kept may take, in all layers together.
        """
        digests = digests_of(embeds)
        with self._lock:
            self._tokens = budget // (self.numbers * embeds.element_size())
            return self._decide(digests, embeds.shape[1])

    def _decide(self, digests: Sequence[bytes], length: int) -> Word:
        last, matched = self._longest(digests)
        taken = min(matched, (length - 1) // STEP * STEP)
        keep = self._begin(last, matched, digests[matched // STEP :])
        if last is not None:
            self._use(last)
        if keep is not None:
            self._new.append(keep)
            if self.is_alone:
                self._insert(keep)
        live = self._segments if self.is_alone else {**self._segments, **{s.number: s for s in self._new}}
        said = None
        if keep is not None and keep.number in live:
            said = (keep.number, keep.start, keep.start + keep.length)
        return Word(taken, _pieces(last, taken), said, tuple(sorted(live)), self._next)

    def settle(self, *, is_good: bool) -> None:
        """A run has ended: what it kept is there on all ranks, or not to be relied on."""
        new, used = self._new, self._used
        self._new, self._used = [], []
        if self.is_alone and not is_good:
            for segment in new:
                self._remove(segment)
        if not self.is_alone and is_good:
            for segment in used:
                self._touch(segment)
            for segment in sorted(
                new, key=lambda segment: -segment.length
            ):  # of what begins alike, the longest
                is_known = segment.digests[0] in self._places
                if not is_known and (segment.before is None or segment.before.number in self._segments):
                    self._insert(segment)

    def forget(self) -> None:
        """Keep nothing."""
        for kept in (self._segments, self._places, self._new, self._used):
            kept.clear()

    @property
    def _share(self) -> int:
        """Tokens that segments of runs that have ended may have; as many are for this run, if it is not alone."""
        return self._tokens if self.is_alone else self._tokens // 2

    def _longest(self, digests: Sequence[bytes]) -> tuple[Segment | None, int]:
        for digest in reversed(digests):
            if digest in self._places:
                return self._places[digest]
        return None, 0

    def _begin(self, before: Segment | None, start: int, digests: Sequence[bytes]) -> Segment | None:
        """A segment of what follows the prefix, or as much of it as there is room for."""
        room = self._share - sum(segment.length for segment in before.chain()) if before else self._share
        if not self.is_alone:
            room = min(room, self._share - sum(segment.length for segment in self._new))
        fitting = tuple(digests[: max(0, room) // STEP])
        if not fitting:
            return None
        self._next += 1
        return Segment(self._next - 1, before, start, fitting)

    def _use(self, segment: Segment) -> None:
        if self.is_alone:
            self._touch(segment)
        else:
            self._used.append(segment)

    def _touch(self, segment: Segment) -> None:
        """It is the last used one; those before it are not forgotten before it."""
        for each in segment.chain():
            if each.number in self._segments:
                self._segments[each.number] = self._segments.pop(each.number)

    def _insert(self, segment: Segment) -> None:
        """Know a segment from now on, and forget the least used ones that have no room any more."""
        self._segments[segment.number] = segment
        for i, digest in enumerate(segment.digests):
            self._places.setdefault(digest, (segment, segment.start + STEP * (i + 1)))
        self._touch(segment)
        while len(self._segments) > MOST or sum(s.length for s in self._segments.values()) > self._share:
            self._remove(next(iter(self._segments.values())))

    def _remove(self, segment: Segment) -> None:
        if self._segments.pop(segment.number, None) is not None:
            for digest in segment.digests:
                if self._places[digest][0] is segment:
                    del self._places[digest]

    def __deepcopy__(self, memo: dict[int, Any]) -> PrefixIndex:
        return PrefixIndex(self.numbers)


def _pieces(last: Segment | None, stop: int) -> tuple[tuple[int, int], ...]:
    """(segment, how many of its tokens) of a text up to a place, from its beginning."""
    found: list[tuple[int, int]] = []
    for segment in last.chain() if last is not None else ():
        if stop > segment.start:
            found.append((segment.number, stop - segment.start))
        stop = min(stop, segment.start)
    return tuple(reversed(found))


def digests_of(embeds: Tensor) -> list[bytes]:
    """Of the first STEP rows of embeds [1,t,d], the first 2 STEP rows, and so on: equal where all bytes are equal."""
    rows = embeds[0].detach().to("cpu").contiguous().view(torch.uint8).numpy()
    digest = hashlib.blake2b(f"{embeds.dtype} {embeds.shape[2]}".encode(), digest_size=16)
    found = []
    for start in range(0, len(rows) - STEP + 1, STEP):
        digest.update(rows[start : start + STEP].data)
        found.append(digest.digest())
    return found
