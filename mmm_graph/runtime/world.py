"""What a rank knows of the others: a world of one, and one whose ranks are threads (the emulator)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar

import torch

from mmm_graph.errors import RunError, problem
from mmm_graph.parallel.group import ALONE, Group
from mmm_graph.parallel.thread_group import Board, ThreadGroup
from mmm_graph.runtime.codec import from_bytes, to_bytes
from mmm_graph.runtime.lost import Lost, is_lost
from mmm_graph.runtime.transport import Local, Threads, Transport

T = TypeVar("T")


class World(Protocol):
    """All ranks, as one of them sees them. `group`, `open`, `gather` and `agree` are called by all, in the same order.

    Attributes:
        rank: which one this is, from 0.
        size: how many there are.
        device: of this rank.
    """

    rank: int
    size: int
    device: torch.device

    def transport(self) -> Transport:
        """This rank's way to the others, always the same one."""

    def group(self, ranks: Sequence[int]) -> Group | None:
        """The group of these ranks in this order; None for those not in it. Asked again, it is the same one."""

    def open(self, edges: Iterable[tuple[int, int]]) -> None:
        """Let messages go along these directed edges (from, to)."""

    def gather(self, value: Any) -> list[Any]:
        """Small values of all ranks, in their order.

        Raises:
            RunError: E720, a rank did not come; E723, a value cannot travel.
        """

    def agree(self, what: str, digest: str) -> None:
        """Prove that all ranks have the same.

        Raises:
            RunError: E725, with the ranks that differ.
        """

    def note(self, text: str) -> None:
        """Say what this rank is doing, for whoever supervises it. Costs about a microsecond."""

    def running(self) -> AbstractContextManager[None]:
        """Inside, a world that gets no further is one that hangs."""

    def close(self) -> None:
        """Leave in order, when all messages have arrived. Raises E720."""


class LocalWorld:
    """A world of one."""

    rank, size = 0, 1

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self._transport = Local()

    def transport(self) -> Transport:
        return self._transport

    def group(self, ranks: Sequence[int]) -> Group | None:
        assert tuple(ranks) == (0,), ranks
        return ALONE

    def open(self, edges: Iterable[tuple[int, int]]) -> None:
        assert not list(edges), "a world of one rank has no edges"

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def agree(self, what: str, digest: str) -> None:
        """It always does."""

    def note(self, text: str) -> None:
        """Nobody supervises it."""

    def running(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        """Nothing is on its way."""


class ThreadWorld:
    """Ranks that are threads of this process: the emulator. Its results are those of processes, bit for bit.

    Args:
        ranks: how many.
        timeout_s: how long a rank may keep the others waiting. None gets lost here, but all share one machine.
        device: of all of them.
    """

    def __init__(self, ranks: int, timeout_s: float = 600.0, device: str | torch.device = "cpu") -> None:
        self.ranks, self.timeout_s, self.device = ranks, timeout_s, torch.device(device)

    def run(self, work: Callable[[World], T]) -> list[T]:
        """Do `work` on all ranks at once: what each returned. Rank 0 is the thread that calls.

        Whoever watches rank 0 may so run the graph within a run (a preview does), and Ctrl-C reaches a rank.

        Raises:
            what the first rank that failed raised; the others are woken.
        """
        meeting = _Meeting(self.ranks, self.timeout_s)
        found: dict[int, T] = {}
        errors: list[BaseException] = []

        def go(rank: int) -> None:
            try:
                found[rank] = work(_ThreadRank(meeting, rank, self.device))
            except KeyboardInterrupt:  # which only the caller's thread gets
                raise
            except BaseException as error:  # handed to the caller's thread
                errors.append(error)
                meeting.stop()

        others = range(1, self.ranks)
        threads = [threading.Thread(target=go, args=(r,), name=f"rank {r}", daemon=True) for r in others]
        try:
            for thread in threads:
                thread.start()
            go(0)
            for thread in threads:
                thread.join()
        finally:
            meeting.stop()  # after Ctrl-C they still wait for each other
        for error in sorted(errors, key=is_lost):  # who only waited in vain is not the cause
            raise error
        return [found[rank] for rank in range(self.ranks)]


class _Meeting:
    """What the threads share."""

    def __init__(self, ranks: int, timeout_s: float) -> None:
        self.ranks, self.timeout_s = ranks, timeout_s
        self.edges: set[tuple[int, int]] = set()
        self.threads = Threads(ranks, timeout_s, self.edges)
        self.notes = [""] * ranks
        self.slots: list[bytes | None] = [None] * ranks
        self.barrier = threading.Barrier(ranks)
        self.boards: list[Board] = []
        self.lock = threading.Lock()

    def board(self, ranks: tuple[int, ...], number: int) -> Board:
        """The board of the `number`-th group that each rank makes."""
        with self.lock:
            if number == len(self.boards):
                self.boards.append(Board(ranks, self.timeout_s))
            board = self.boards[number]
        assert board.ranks == ranks, f"group {number} of a rank is {ranks}, of another one {board.ranks}"
        return board

    def meet(self, rank: int) -> None:
        """Wait until all have come here.

        Raises:
            RunError: E720, not all did.
        """
        try:
            self.barrier.wait(self.timeout_s)
        except threading.BrokenBarrierError:
            message = f"rank {rank}: not all ranks came together in {self.timeout_s:g} s, or one has failed"
            raise Lost(problem("E720", message)) from None

    def stop(self) -> None:
        """Wake all who wait."""
        self.threads.stop()
        self.barrier.abort()
        with self.lock:
            for board in self.boards:
                board.stop()


class _ThreadRank:
    """A `World` whose others are threads."""

    def __init__(self, meeting: _Meeting, rank: int, device: torch.device) -> None:
        self.rank, self.size, self.device = rank, meeting.ranks, device
        self._meeting = meeting
        self._transport = meeting.threads.at(rank, self.note)
        self._groups: dict[tuple[int, ...], Group | None] = {}
        self._made = 0

    def transport(self) -> Transport:
        return self._transport

    def group(self, ranks: Sequence[int]) -> Group | None:
        members = checked(ranks, self.size)
        if members not in self._groups:
            self._groups[members] = self._new_group(members)
        return self._groups[members]

    def _new_group(self, members: tuple[int, ...]) -> Group | None:
        board = self._meeting.board(members, self._made)
        self._made += 1
        if self.rank not in members:
            return None
        return ALONE if len(members) == 1 else ThreadGroup(board, members.index(self.rank))

    def open(self, edges: Iterable[tuple[int, int]]) -> None:
        self._meeting.edges.update(edges)

    def gather(self, value: Any) -> list[Any]:
        meeting = self._meeting
        meeting.slots[self.rank] = to_bytes(value, "a gathered value")
        meeting.meet(self.rank)
        found = [from_bytes(slot or b"", self.device) for slot in meeting.slots]
        meeting.meet(self.rank)  # nobody writes the next one before all have read
        return found

    def agree(self, what: str, digest: str) -> None:
        agree(self, what, digest)

    def note(self, text: str) -> None:
        self._meeting.notes[self.rank] = text

    def running(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        self._transport.flush()


def agree(world: World, what: str, digest: str) -> None:
    """`World.agree` by way of `gather`."""
    digests: list[str] = world.gather(digest)
    usual, count = Counter(digests).most_common(1)[0]  # of those that are as many, the one of the lowest rank
    others = [rank for rank, found in enumerate(digests) if found != usual]
    if others:
        ranks = f"ranks {', '.join(map(str, others))} have" if len(others) > 1 else f"rank {others[0]} has"
        found = ", ".join(dict.fromkeys(digests[rank] for rank in others))
        message = f"{ranks} another {what} ({found}) than the other {count} ({usual})"
        hint = "all ranks need the same files, options, plugins and versions"
        raise RunError(problem("E725", message, hint=hint))


def checked(ranks: Sequence[int], size: int) -> tuple[int, ...]:
    """The members of a group."""
    members = tuple(ranks)
    assert members and len(set(members)) == len(members), f"a rank is twice in the group {members}"
    assert set(members) <= set(range(size)), f"{members} of {size} ranks"
    return members
