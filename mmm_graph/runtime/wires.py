"""Bytes between processes: gloo for the host, NCCL between devices, or gloo for devices too, by way of the host."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

LANES = ("header", "more of header", "late", "declared", "meeting", "more of meeting", "none")
TAGS = {lane: tag for tag, lane in enumerate(LANES, 1)}
"""Lanes of a directed edge, by the tag that gloo gives their messages."""
FOREVER = timedelta(days=7)
"""Senders have no time-out: how long a message lies is the receiver's affair, and a dead one ends it."""

PAUSE_S = 0.01
"""What was sent is kept for so much longer."""


class Arrival(Protocol):
    """Bytes that were asked for."""

    def wait(self, timeout_s: float) -> None:
        """Until they are there.

        Raises:
            RuntimeError: not in time, or the sender is gone.
        """


class Wire(Protocol):
    """Moves [n] uint8 tensors, in order on each lane of each directed edge; sending waits for nobody.

    Sent tensors are kept until they are gone: a Work that is dropped ends the connection, and nobody changes them.
    """

    def send(self, payload: Tensor, to: int, lane: str) -> None:
        """Raises RuntimeError: the other rank is gone."""

    def recv(self, payload: Tensor, source: int, lane: str) -> Arrival:
        """Have it filled. Raises RuntimeError: the other rank is gone."""

    def flush(self, timeout_s: float) -> None:
        """Until all that was sent is gone. Raises RuntimeError: not in time, or a receiver is gone."""


class Gloo:
    """Tensors of the host, in one group of all ranks."""

    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group = group
        self.keepers: dict[int, _Keeper] = {}

    def send(self, payload: Tensor, to: int, lane: str) -> None:
        keeper = self.keepers.get(to)
        if keeper is None:
            keeper = self.keepers[to] = _Keeper(to)
        keeper.check()
        keeper.keep(payload, self.group.send([payload], to, TAGS[lane]))

    def recv(self, payload: Tensor, source: int, lane: str) -> _Work:
        return _Work(payload, self.group.recv([payload], source, TAGS[lane]))

    def flush(self, timeout_s: float) -> None:
        for keeper in self.keepers.values():
            keeper.flush(timeout_s)

    def abort(self) -> None:
        """Let nothing wait any longer: threads inside gloo would crash Python's end.

        Gloo closes all connections with something under way when one wait for them is over its time.
        """
        for to in list(self.keepers)[:1]:
            with suppress(RuntimeError):
                self.group.recv([torch.empty(1)], to, TAGS["none"]).wait(timedelta(milliseconds=1))
        self.end()

    def end(self) -> None:
        """Let the threads end, when nothing is under way."""
        for keeper in self.keepers.values():
            keeper.end()


class _Work:
    """A receive of gloo; it lives, with its tensor, until it is over."""

    def __init__(self, payload: Tensor, work: dist.Work) -> None:
        self.payload, self.work = payload, work

    def wait(self, timeout_s: float) -> None:
        self.work.wait(timedelta(seconds=timeout_s))


class _Keeper:
    """Waits for what was sent to one rank, in a thread: gloo does not tell of a send that is over unless waited for.

    It looks now and then only, as a thread that wakes for each message holds up the one that computes.
    """

    def __init__(self, to: int) -> None:
        self.to = to
        self.failed: list[RuntimeError] = []
        self._sent: deque[tuple[Tensor, dist.Work] | threading.Event | None] = deque()
        self._news, self._hurry = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"sent to rank {to}", daemon=True)
        self._thread.start()

    def keep(self, payload: Tensor, work: dist.Work) -> None:
        self._sent.append((payload, work))
        if not self._news.is_set():
            self._news.set()

    def check(self) -> None:
        """Raises RuntimeError: an earlier message could not be sent."""
        if self.failed:
            raise RuntimeError(f"it has not taken what was sent before: {self.failed[0]}")

    def flush(self, timeout_s: float) -> None:
        over = threading.Event()
        self._now(over)
        if not over.wait(timeout_s):
            raise RuntimeError(f"rank {self.to} has not taken in {timeout_s:g} s what was sent")
        self.check()

    def end(self) -> None:
        self._now(None)
        self._thread.join(1.0)

    def _now(self, mark: threading.Event | None) -> None:
        self._hurry.set()
        self._sent.append(mark)
        self._news.set()

    def _follow(self) -> None:
        while True:
            self._news.wait()
            self._hurry.wait(PAUSE_S)
            self._news.clear()  # before the look: what comes after it is news again
            while self._sent:
                item = self._sent.popleft()
                if item is None:
                    return
                if isinstance(item, threading.Event):
                    self._hurry.clear()
                    item.set()
                else:
                    self._await(item[1])
                del item  # not kept until the next message

    def _await(self, work: dist.Work) -> None:
        try:
            work.wait(FOREVER)
        except RuntimeError as error:  # raised at the next send, or by `flush`
            self.failed.append(error)


class Staged:
    """Tensors of a device by way of pinned host memory, for gloo, which takes only those of the host."""

    def __init__(self, host: Wire) -> None:
        self.host = host

    def send(self, payload: Tensor, to: int, lane: str) -> None:
        self.host.send(_pinned(payload).copy_(payload), to, lane)  # the copy is over when the call returns

    def recv(self, payload: Tensor, source: int, lane: str) -> _Unstaged:
        room = _pinned(payload)
        return _Unstaged(self.host.recv(room, source, lane), room, payload)

    def flush(self, timeout_s: float) -> None:
        self.host.flush(timeout_s)


def _pinned(like: Tensor) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype, pin_memory=like.device.type == "cuda")


class _Unstaged:
    def __init__(self, arrival: Arrival, room: Tensor, payload: Tensor) -> None:
        self.arrival, self.room, self.payload = arrival, room, payload

    def wait(self, timeout_s: float) -> None:
        self.arrival.wait(timeout_s)
        self.payload.copy_(self.room, non_blocking=True)  # PyTorch keeps pinned memory until the copy is over


class Nccl:
    """Tensors of devices; each lane of each directed edge has its own communicator, as operations on one wait in line.

    Args:
        rank: this process.
        device: its device.
    """

    def __init__(self, rank: int, device: torch.device) -> None:
        self.rank, self.device = rank, device
        self.groups: dict[tuple[int, int, str], dist.ProcessGroup] = {}
        self.kept: deque[tuple[Tensor, dist.Work]] = deque()

    def open(self, edges: Iterable[tuple[int, int]]) -> None:
        """Connect; every rank of the world calls it with the same edges in the same order."""
        for source, to in edges:
            for lane in ("late", "declared"):
                group = dist.new_group(sorted((source, to)), timeout=FOREVER, backend="nccl")
                if self.rank in (source, to):  # connected by a collective, before any receive is posted
                    dist.all_reduce(torch.zeros(1, device=self.device), group=group)
                    torch.cuda.synchronize(self.device)
                    self.groups[(source, to, lane)] = group

    def send(self, payload: Tensor, to: int, lane: str) -> None:
        while self.kept and self.kept[0][1].is_completed():
            self.kept.popleft()
        work = dist.isend(payload, to, group=self.groups[(self.rank, to, lane)])
        assert work is not None
        self.kept.append((payload, work))

    def recv(self, payload: Tensor, source: int, lane: str) -> _Polled:
        work = dist.irecv(payload, source, group=self.groups[(source, self.rank, lane)])
        assert work is not None
        return _Polled(payload, work)

    def flush(self, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while self.kept:
            _poll(self.kept[0][1], until)
            self.kept.popleft()


class _Polled:
    """A receive of NCCL. The host waits too: were only the stream to wait, a lost sender would show nowhere."""

    def __init__(self, payload: Tensor, work: dist.Work) -> None:
        self.payload, self.work = payload, work

    def wait(self, timeout_s: float) -> None:
        _poll(self.work, time.monotonic() + timeout_s)
        self.work.wait()  # the current stream after that of the communicator


def _poll(work: dist.Work, until: float) -> None:
    while not work.is_completed():
        if time.monotonic() > until:
            raise RuntimeError("NCCL has not brought it in time")
        time.sleep(5e-5)
