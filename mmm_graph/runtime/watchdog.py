"""Ends a rank when the world gets no further: waiting itself has no time-out, since others may have long work to do."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]

from mmm_graph.errors import problem
from mmm_graph.runtime.lost import Lost
from mmm_graph.runtime.supervised import report_problems

TICK_S = 1.0
_PEER = re.compile(r"from rank (\d+)$")


class Beat(NamedTuple):
    """What a rank tells the others every tick.

    Attributes:
        number: grows as long as the process runs.
        steps: grows with everything that it does in a run.
        is_inside: it is in a run; outside nobody can say how long the user's own work takes.
    """

    number: int
    steps: int
    is_inside: bool

    def text(self) -> str:
        """For the store."""
        return f"{self.number} {self.steps} {int(self.is_inside)}"

    @staticmethod
    def of(text: bytes | str) -> Beat:
        """From the store."""
        number, steps, inside = map(int, text.split())
        return Beat(number, steps, bool(inside))


class Watchdog:
    """Tells the others that this rank lives, and sees whether they do. A thread of its own.

    A rank whose process stands still for `timeout_s` ends the others; and so does a run in which no rank has begun
    anything new for so long. Nothing can wake a thread that waits inside gloo, so the process ends: with status 1,
    and its error where the launcher finds it, or on stderr.

    Args:
        store: of the world, a connection of its own.
    """

    def __init__(self, rank: int, size: int, timeout_s: float, store: Store) -> None:
        self.rank, self.size, self.timeout_s, self.store = rank, size, timeout_s, store
        self.steps, self.doing, self.is_inside = 0, "", False
        self._stop = threading.Event()
        self.store.set(self._key(rank), Beat(0, 0, False).text())
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def note(self, text: str) -> None:
        """Something new begins."""
        self.steps += 1
        self.doing = text

    def end(self) -> None:
        """Watch no more."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        seen = _Seen(self.size, time.monotonic())
        tick, number = min(TICK_S, self.timeout_s / 5), 0
        keys = [self._key(r) for r in range(self.size)]
        while not self._stop.wait(tick):
            number += 1
            try:
                self.store.set(self._key(self.rank), Beat(number, self.steps, self.is_inside).text())
                beats = [Beat.of(text) for text in self.store.multi_get(keys)]
            except (
                RuntimeError
            ):  # the rank that keeps the store has ended: who waits for it is told so by gloo
                return
            why = seen.verdict(beats, time.monotonic(), self.timeout_s)
            if why is not None and not self._stop.is_set():
                self._fail(*why)

    def _fail(self, peer: int | None, why: str) -> None:
        waits = _PEER.search(self.doing)
        peer = int(waits[1]) if peer is None and waits else peer
        message = f"rank {self.rank}, while it did `{self.doing or 'nothing of a run'}`: {why}"
        hint = "what that rank does is the cause, or more time is needed: --timeout"
        end_process(Lost(problem("E720", message, hint=hint), peer))

    def _key(self, rank: int) -> str:
        return f"mmm/beat/{rank}"


class _Seen:
    """When each rank was last seen to live, and when anything last went on."""

    def __init__(self, size: int, now: float) -> None:
        self.beats = [Beat(-1, -1, False)] * size
        self.alive_s = [now] * size
        self.moved_s = now

    def verdict(self, beats: list[Beat], now: float, timeout_s: float) -> tuple[int | None, str] | None:
        """(the rank that stands still, why this one ends), or None."""
        for rank, (old, new) in enumerate(zip(self.beats, beats, strict=True)):
            if new.number != old.number:
                self.alive_s[rank] = now
            if new.steps != old.steps or not new.is_inside:
                self.moved_s = now
        self.beats = beats
        for rank, alive in enumerate(self.alive_s):
            if now - alive > timeout_s:
                return rank, f"rank {rank} has stood still for {timeout_s:g} s"
        if now - self.moved_s > timeout_s:
            return None, f"no rank has got any further for {timeout_s:g} s"
        return None


def end_process(error: Lost, leave: Callable[[int], object] = os._exit) -> None:
    """End at once, from any thread, with the error told."""
    if not report_problems(error):
        print(error, file=sys.stderr, flush=True)
    leave(error.status)


def connect(address: str, port: int, timeout_s: float) -> Store:
    """A connection of its own to the store of the world: the main thread may wait in the other one."""
    return TCPStore(
        address, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=timeout_s)
    )
