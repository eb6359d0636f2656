"""How values go from rank to rank: nowhere (Local), or between threads of one process (Threads)."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from mmm_graph.plan.ops import Value
from mmm_graph.runtime.codec import Parts, Spec, copy_of, spec_of
from mmm_graph.runtime.lanes import Channel, Lanes
from mmm_graph.runtime.lost import gone, silent


class Pending(Protocol):
    """A message that was asked for."""

    def wait(self) -> Any:
        """The value, as soon as it is there; asked again, the same.

        Raises:
            RunError: E720, it did not come in time, or its sender is gone.
        """


class Transport(Protocol):
    """One rank's way to the others. Messages of an edge arrive in the order they were sent, late ones apart."""

    def send(self, value: Any, name: Value, to: int, late: bool) -> None:
        """Give a value away; nobody may change it afterwards.

        Args:
            value: see codec.KNOWN.
            late: the other rank does not know its form: the first message of a value whatever its step, and any whose
                form may have changed.

        Raises:
            RunError: E723, it holds what cannot travel; E724, it is not late but has another form than before;
                E720, the other rank is gone.
        """

    def recv(self, name: Value, source: int, late: bool) -> Pending:
        """Take the next message of the edge: its place in the order is fixed now, the value comes later.

        Raises:
            RunError: E724, it is not late, and no message of this value was.
        """

    def forget(self, request: str) -> None:
        """Drop what is remembered of a request's values; all ranks do so, when its messages are over."""

    def flush(self) -> None:
        """Wait until all that was sent has been taken, and all that was asked for is there. Raises E720."""


class Local:
    """A world of one rank, which never sends."""

    def send(self, value: Any, name: Value, to: int, late: bool) -> None:
        """Never called."""
        raise AssertionError("a world of one rank has nobody to send to")

    def recv(self, name: Value, source: int, late: bool) -> Pending:
        """Never called."""
        raise AssertionError("a world of one rank has nobody to receive from")

    def forget(self, request: str) -> None:
        """It remembers nothing."""

    def flush(self) -> None:
        """Nothing is on its way."""


class Threads:
    """Ranks that are threads. `world.at(rank)` is a rank's transport.

    Args:
        ranks: how many.
        timeout_s: how long a message may take before the run fails.
        edges: those that may be used; None = all.
    """

    def __init__(
        self, ranks: int, timeout_s: float = 60.0, edges: set[tuple[int, int]] | None = None
    ) -> None:
        self.timeout_s, self.edges = timeout_s, edges
        self._queues: dict[_Lane, queue.SimpleQueue[Any]] = {
            (a, b, lane): queue.SimpleQueue()
            for a in range(ranks)
            for b in range(ranks)
            if a != b
            for lane in ("header", "late", "declared")
        }

    def at(self, rank: int, note: Callable[[str], None] | None = None) -> Transport:
        """The transport of one rank."""
        return Lanes(_Carrier(self, rank), note)

    def put(self, lane: _Lane, item: Any) -> None:
        """Leave something in a lane."""
        self._lane(lane).put(item)

    def take(self, lane: _Lane, name: Value) -> Any:
        """What comes next in a lane.

        Raises:
            RunError: E720, it did not come in time, or another rank has failed.
        """
        source, rank, _ = lane
        found = self._lane(lane)
        try:
            item = found.get(timeout=self.timeout_s)
        except queue.Empty:
            raise silent(rank, name, source, self.timeout_s) from None
        if item is _STOP:
            found.put(_STOP)
            raise gone(rank, name, source, "a rank has failed")
        return item

    def stop(self) -> None:
        """Wake every rank that waits: one has failed."""
        for found in self._queues.values():
            found.put(_STOP)

    def _lane(self, lane: _Lane) -> queue.SimpleQueue[Any]:
        assert lane in self._queues, f"nothing is sent from rank {lane[0]} to rank {lane[1]}"
        assert self.edges is None or lane[:2] in self.edges, f"the edge {lane[:2]} was not opened"
        return self._queues[lane]


_Lane = tuple[int, int, str]
"""(from, to, "header", "late" or "declared")."""
_STOP = object()


class _Carrier:
    """A rank's hands: see `lanes.Carrier`."""

    def __init__(self, world: Threads, rank: int) -> None:
        self.world, self.rank = world, rank
        self.places: dict[_Lane, deque[_Place]] = {}

    def give_header(self, parts: Parts, name: Value, to: int) -> None:
        self.world.put((self.rank, to, "header"), parts._replace(tensors=()))

    def take_header(self, name: Value, source: int) -> _Header:
        return _Header(self._place(name, source, "header", 1))

    def give(self, tensors: Sequence[Tensor], name: Value, to: int, channel: Channel) -> None:
        for x in tensors:
            self.world.put((self.rank, to, channel), copy_of(x))

    def take(self, specs: Sequence[Spec], name: Value, source: int, channel: Channel) -> _Tensors:
        return _Tensors(self._place(name, source, channel, len(specs)), specs)

    def flush(self) -> None:
        """What was given lies in the other rank's queue, as a copy."""

    def _place(self, name: Value, source: int, channel: str, count: int) -> _Place:
        places = self.places.setdefault((source, self.rank, channel), deque())
        places.append(_Place(self.world, name, (source, self.rank, channel), count, places))
        return places[-1]


class _Place:
    """A place in a lane; waiting for it takes all that stands before it."""

    def __init__(self, world: Threads, name: Value, lane: _Lane, count: int, places: deque[_Place]) -> None:
        self.world, self.name, self.lane, self.count, self.places = world, name, lane, count, places
        self.found: list[Any] | None = None

    def wait(self) -> list[Any]:
        while self.found is None:
            first = self.places.popleft()
            first.found = [self.world.take(self.lane, first.name) for _ in range(first.count)]
        return self.found


class _Header(NamedTuple):
    place: _Place

    def wait(self) -> Parts:
        found = self.place.wait()[0]
        assert isinstance(found, Parts)
        return found


class _Tensors(NamedTuple):
    place: _Place
    specs: Sequence[Spec]

    def wait(self) -> list[Tensor]:
        found = self.place.wait()
        assert [spec_of(x)[:2] for x in found] == [spec[:2] for spec in self.specs], self.place.name
        return found
