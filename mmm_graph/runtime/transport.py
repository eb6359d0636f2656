"""How values go from rank to rank: nowhere (Local), or between threads of one process (Threads)."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from mmm_graph.errors import RunError, problem


class Pending(Protocol):
    """A message that was asked for."""

    def wait(self) -> Any:
        """The value, as soon as it is there."""


class Transport(Protocol):
    """One rank's way to the others. Messages of an edge, late ones apart, arrive in the order they were sent."""

    def send(self, value: Any, to: int, late: bool) -> None:
        """Give a value away; it may be overwritten at once."""

    def recv(self, source: int, late: bool) -> Pending:
        """Take the next message of the edge: its place in the order is fixed now, the value comes later."""


class Local:
    """A world of one rank, which never sends."""

    def send(self, value: Any, to: int, late: bool) -> None:
        """Never called."""
        raise AssertionError("a world of one rank has nobody to send to")

    def recv(self, source: int, late: bool) -> Pending:
        """Never called."""
        raise AssertionError("a world of one rank has nobody to receive from")


class Threads:
    """Ranks that are threads. `world.at(rank)` is a rank's transport.

    Args:
        ranks: how many.
        timeout_s: how long a message may take before the run fails.
    """

    def __init__(self, ranks: int, timeout_s: float = 60.0) -> None:
        self.timeout_s = timeout_s
        self._edges: dict[tuple[int, int, bool], queue.SimpleQueue[Any]] = {
            (a, b, late): queue.SimpleQueue()
            for a in range(ranks)
            for b in range(ranks)
            for late in (False, True)
        }
        self._stop = threading.Event()

    def at(self, rank: int) -> Transport:
        """The transport of one rank."""
        return _Rank(self, rank)

    def edge(self, source: int, to: int, late: bool) -> queue.SimpleQueue[Any]:
        """The messages of a directed edge."""
        return self._edges[(source, to, late)]

    def stop(self) -> None:
        """Wake every rank that waits: one has failed."""
        self._stop.set()

    def take(self, edge: queue.SimpleQueue[Any], what: str) -> Any:
        """The next message.

        Raises:
            RunError: E720, it did not come in time, or another rank has failed.
        """
        waited = 0.0
        while not self._stop.is_set() and waited < self.timeout_s:
            try:
                return edge.get(timeout=0.05)
            except queue.Empty:
                waited += 0.05
        raise RunError(problem("E720", f"{what} did not come: the other rank is stuck or has failed"))


class _Rank:
    def __init__(self, world: Threads, rank: int) -> None:
        self.world, self.rank = world, rank
        self.lanes: dict[tuple[int, bool], deque[_Message]] = {}

    def send(self, value: Any, to: int, late: bool) -> None:
        self.world.edge(self.rank, to, late).put(value.clone() if isinstance(value, Tensor) else value)

    def recv(self, source: int, late: bool) -> Pending:
        lane = self.lanes.setdefault((source, late), deque())
        message = _Message(self, source, late, lane)
        lane.append(message)
        return message


class _Message:
    """A place in an edge's order; waiting for it takes all messages before it off the edge."""

    def __init__(self, owner: _Rank, source: int, late: bool, lane: deque[_Message]) -> None:
        self.owner, self.source, self.late, self.lane = owner, source, late, lane
        self.found: list[Any] = []

    def wait(self) -> Any:
        world, edge = self.owner.world, self.owner.world.edge(self.source, self.owner.rank, self.late)
        while not self.found:
            first = self.lane.popleft()
            first.found.append(
                world.take(edge, f"a message from rank {self.source} to rank {self.owner.rank}")
            )
        return self.found[0]


def run_threads(ranks: int, work: Callable[[int, Transport], None]) -> None:
    """Do `work(rank, transport)` on every rank at once.

    Raises:
        what the first rank that failed raised; the others are stopped.
    """
    world, errors = Threads(ranks), []

    def go(rank: int) -> None:
        try:
            work(rank, world.at(rank))
        except BaseException as error:  # handed to the caller's thread
            errors.append(error)
            world.stop()

    threads = [threading.Thread(target=go, args=(rank,), daemon=True) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
