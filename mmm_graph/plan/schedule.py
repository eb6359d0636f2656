"""Streams of tasks -> one global order of tasks, messages and drops: a list schedule over a bounded window."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from mmm_graph.plan.expand import Item
from mmm_graph.plan.ops import Drop, Move, Task, Value

WINDOW = 64
"""Tasks of each request that the order may choose from."""
Step = Task | Move | Drop
_tuple: Any = tuple.__new__  # a NamedTuple without its Python constructor


def order(
    streams: Sequence[Iterable[Item]],
    ranks: int,
    *,
    start: Iterable[Value] = (),
    late: Callable[[Value], bool] = lambda value: True,
    window: int = WINDOW,
) -> Iterator[Step]:
    """The sequence that every rank projects.

    Picks the task that can start first by declared costs; ties go to the first request, then to its own order. On
    one rank every ready task can start at once, so that this is request after request, each in its own order.

    Args:
        streams: of the requests.
        start: values that every rank has.
        late: whether a value's shape is known only when it is made.
    """
    if ranks == 1:
        return _one_rank(streams)
    return _Schedule(streams, start, late, window).run()


def _one_rank(streams: Sequence[Iterable[Item]]) -> Iterator[Step]:
    for stream in streams:
        for task, dead in stream:
            if task is not None:
                yield task
            if dead:
                yield _tuple(Drop, (0, dead))


class _Schedule:
    """The state of a list schedule. A value lives on the rank that makes it and is moved once to each that reads it."""

    def __init__(
        self,
        streams: Sequence[Iterable[Item]],
        start: Iterable[Value],
        late: Callable[[Value], bool],
        window: int,
    ) -> None:
        self.streams = [iter(s) for s in streams]
        self.window, self.late = window, late
        self.pending: list[deque[Task]] = [deque() for _ in streams]
        self.everywhere = set(start)
        self.home: dict[Value, tuple[int, float]] = {}  # rank and time of its making
        self.copies: dict[Value, set[int]] = {}
        self.wanted: dict[Value, dict[int, None]] = {}  # ranks that will read what is not made yet, in order
        self.reads: dict[tuple[Value, int], int] = {}  # readers to come, by rank
        self.closed: set[Value] = set()
        self.free: dict[int, float] = {}
        self.done: dict[tuple[object, ...], float] = {}
        self.queue: deque[Step] = deque()  # messages and drops due before the next task

    def run(self) -> Iterator[Step]:
        live = list(range(len(self.streams)))
        while live:
            live = [r for r in live if self._fill(r)]
            yield from self._flush()
            if not live:
                return
            r, k = min(
                ((r, k) for r in live for k, t in enumerate(self.pending[r]) if self._ready(t)),
                key=lambda rk: (self._start(self.pending[rk[0]][rk[1]]), rk),
            )
            task = self.pending[r][k]
            del self.pending[r][k]
            yield task
            self._made(task)
            yield from self._flush()

    def _fill(self, r: int) -> bool:
        """Pull from a stream until its window is full; False when nothing is left of it."""
        pending = self.pending[r]
        while len(pending) < self.window:
            item = next(self.streams[r], None)
            if item is None:
                break
            task, dead = item
            if task is not None:
                pending.append(task)
                self._seen(task)
            for value in dead:
                self._close(value)
        return bool(pending)

    def _seen(self, task: Task) -> None:
        for rank, reads in zip(task.ranks, task.reads, strict=True):
            for _, value in reads:
                key = (value, rank)
                self.reads[key] = self.reads.get(key, 0) + 1
                if value in self.everywhere:
                    continue
                if value in self.home:
                    self._move(value, rank)
                else:
                    self.wanted.setdefault(value, {})[rank] = None

    def _move(self, value: Value, rank: int) -> None:
        if rank not in self.copies[value]:
            self.copies[value].add(rank)
            self.queue.append(Move(value, self.home[value][0], rank, self.late(value)))

    def _ready(self, task: Task) -> bool:
        known = all(v in self.everywhere or v in self.home for reads in task.reads for _, v in reads)
        return known and all(other in self.done for other in task.after)

    def _start(self, task: Task) -> float:
        ends = [self.home[v][1] for reads in task.reads for _, v in reads if v in self.home]
        return max(
            [0.0, *(self.free.get(q, 0.0) for q in task.ranks), *ends, *(self.done[a] for a in task.after)]
        )

    def _made(self, task: Task) -> None:
        end = self._start(task) + task.cost
        self.done[task.id] = end
        for other in task.after:
            self.done.pop(other, None)
        for rank, writes in zip(task.ranks, task.writes, strict=True):
            self.free[rank] = end
            for _, value in writes:
                self.home[value], self.copies[value] = (rank, end), {rank}
                for reader in self.wanted.pop(value, {}):
                    self._move(value, reader)
                if value in self.closed:
                    self._drop(value)
        for rank, reads in zip(task.ranks, task.reads, strict=True):
            for _, value in reads:
                self.reads[(value, rank)] -= 1
                if not self.reads[(value, rank)]:
                    del self.reads[(value, rank)]
                    if value in self.closed:
                        self._drop(value)

    def _close(self, value: Value) -> None:
        """No task to come reads it."""
        self.closed.add(value)
        self._drop(value)

    def _drop(self, value: Value) -> None:
        if value in self.everywhere:
            return
        copies = self.copies.get(value, set())
        for rank in sorted(q for q in copies if (value, q) not in self.reads):
            copies.remove(rank)
            self.queue.append(Drop(rank, (value,)))
        if value in self.copies and not copies:
            del self.copies[value], self.home[value]
            self.closed.discard(value)

    def _flush(self) -> Iterator[Step]:
        while self.queue:
            yield self.queue.popleft()
