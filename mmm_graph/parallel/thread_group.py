"""Groups whose members are threads of one process: the emulator and the tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.parallel.group import Gathering, Group, Listed, Pending, in_order

Key = tuple[int, int, int]
"""(number of the call, who gives, who takes)"""
T = TypeVar("T")


class Board:
    """Where the threads of a group leave tensors for each other.

    Args:
        ranks: names of the members, for messages; or how many there are.
        timeout_s: how long a tensor may take before the waiting member fails.
    """

    def __init__(self, ranks: Sequence[int] | int, timeout_s: float = 60.0) -> None:
        self.ranks = tuple(range(ranks)) if isinstance(ranks, int) else tuple(ranks)
        self.timeout_s = timeout_s
        self._given: dict[Key, Tensor] = {}
        self._news = threading.Condition()
        self._stopped = False

    def members(self) -> list[ThreadGroup]:
        """One group object for each thread."""
        return [ThreadGroup(self, index) for index in range(len(self.ranks))]

    def stop(self) -> None:
        """Wake all who wait, with an error: a member has failed."""
        with self._news:
            self._stopped = True
            self._news.notify_all()

    def give(self, key: Key, x: Tensor) -> None:
        """Leave a copy of x."""
        copy = x.detach().clone(memory_format=torch.contiguous_format)
        with self._news:
            self._given[key] = copy
            self._news.notify_all()

    def take(self, key: Key, what: str) -> Tensor:
        """Take what was left, and wait for it until then.

        Raises:
            RunError: E720, it did not come in time, or another member has failed.
        """
        with self._news:
            self._news.wait_for(lambda: key in self._given or self._stopped, self.timeout_s)
            if key in self._given:
                return self._given.pop(key)
        why = "another rank has failed" if self._stopped else f"waited for {self.timeout_s:g} s"
        raise RunError(
            problem("E720", f"ranks {self.ranks}: {what} of rank {self.ranks[key[1]]} did not come: {why}")
        )


class ThreadGroup:
    """A member of a `Board`. Used by one thread; see `Group` for what its methods do."""

    def __init__(self, board: Board, index: int) -> None:
        self.board, self.index, self.size = board, index, len(board.ranks)
        self._calls = 0

    def gather(self, x: Tensor, shapes: Sequence[Sequence[int]]) -> Gathering:
        return self._exchange([x] * self.size, shapes, "a gather")

    def all_to_all(self, xs: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
        return self._exchange(xs, shapes, "an all-to-all").wait()

    def all_reduce(self, x: Tensor) -> Tensor:
        return in_order(self._exchange([x] * self.size, [x.shape] * self.size, "a sum").wait())

    def swap(
        self, gives: Mapping[int, Tensor], shapes: Mapping[int, Sequence[int]], like: Tensor
    ) -> dict[int, Tensor]:
        return self.start_swap(gives, shapes, like).wait()

    def start_swap(
        self, gives: Mapping[int, Tensor], shapes: Mapping[int, Sequence[int]], like: Tensor
    ) -> Pending[dict[int, Tensor]]:
        return self._start(gives, shapes, "a swap")

    def _exchange(self, xs: Sequence[Tensor], shapes: Sequence[Sequence[int]], what: str) -> Gathering:
        others = [member for member in range(self.size) if member != self.index]
        swap = self._start({m: xs[m] for m in others}, {m: shapes[m] for m in others}, what)
        return Listed(swap, self.index, xs[self.index])

    def _start(
        self, gives: Mapping[int, Tensor], shapes: Mapping[int, Sequence[int]], what: str
    ) -> Pending[dict[int, Tensor]]:
        call, self._calls = self._calls, self._calls + 1
        for to, x in gives.items():
            self.board.give((call, self.index, to), x)
        return _Taking(self, call, shapes, what)


class _Taking:
    """What was asked from some members in one call."""

    def __init__(self, group: ThreadGroup, call: int, shapes: Mapping[int, Sequence[int]], what: str) -> None:
        self.group, self.call, self.shapes, self.what = group, call, shapes, what
        self.taken: dict[int, Tensor] = {}

    def wait(self) -> dict[int, Tensor]:
        for source in sorted(self.shapes.keys() - self.taken.keys()):
            x = self.group.board.take((self.call, source, self.group.index), f"{self.what}: the part")
            assert x.shape == tuple(self.shapes[source]), (self.what, source, x.shape, self.shapes[source])
            self.taken[source] = x
        return self.taken


def run_members(size: int, work: Callable[[Group], T], timeout_s: float = 60.0) -> list[T]:
    """`work(group)` on as many threads as members of one group, all at once: what each returned.

    Raises:
        what the first member that failed raised; the others are woken.
    """
    board = Board(size, timeout_s)
    return run_boards([board], lambda index: work(board.members()[index]), size)


def run_boards(boards: Sequence[Board], work: Callable[[int], T], size: int) -> list[T]:
    """`work(i)` on `size` threads, all at once; when one fails, all boards are stopped.

    Raises:
        what the first thread that failed raised.
    """
    failed: list[BaseException] = []

    def look(future: Future[T]) -> None:
        error = future.exception()
        if error is not None:
            failed.append(error)
            for board in boards:
                board.stop()

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(work, index) for index in range(size)]
        for future in futures:
            future.add_done_callback(look)
    if failed:
        raise failed[0]
    return [future.result() for future in futures]
