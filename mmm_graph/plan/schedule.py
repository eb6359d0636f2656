"""Streams of tasks -> one global order of tasks, messages and drops: a list schedule over a bounded window."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmm_graph.plan.expand import Item
from mmm_graph.plan.ops import Drop, Move, Repeat, Task, Value

WINDOW = 256
"""Tasks of each request that the order may choose from."""
TOGETHER = ("slice", "repeat")
"""What the ranks of a task are taken to do in step with each other; anything else each does when it is free."""
CHEAP = 1 / 20
"""Share of the dearest task's cost up to which a task comes first."""
Step = Task | Move | Drop
_tuple: Any = tuple.__new__  # a NamedTuple without its Python constructor


def order(
    streams: Sequence[Iterable[Item]],
    ranks: int,
    *,
    start: Iterable[Value] = (),
    steady: Callable[[Value], bool] = lambda value: False,
    window: int = WINDOW,
    in_flight: int | None = None,
) -> Iterator[Step]:
    """The sequence that every rank projects.

    Picks the task that can start first by declared costs; ties go to what is cheap, since the next turn waits for the
    update of a sampler while other streams have slices to run, and to requests that have an `until` loop before them
    which one rank does, since other ranks have nothing to do before they know how it ends; then to the first request,
    then to its own order. On one rank every ready task can start at once, so that this is request after request, each
    in its own order.

    Args:
        streams: of the requests.
        start: values that every rank has.
        steady: whether a value has the same shape, or is absent, in this turn and all that follow; then only the
            first such message on an edge is late.
        in_flight: most requests at once; None = all.
    """
    if ranks == 1:
        return _one_rank(streams)
    return Schedule(streams, start, steady, window=window, in_flight=in_flight).run()


def _one_rank(streams: Sequence[Iterable[Item]]) -> Iterator[Step]:
    for stream in streams:
        for task, dead in stream:
            if task is not None:
                yield task
            if dead:
                yield _tuple(Drop, (0, dead))


@dataclass(eq=False)
class _Waiting:
    """A task of the window: how much of what it needs is not there yet, and when the rest was."""

    task: Task
    key: tuple[bool, int, int]  # whether it is dear, request, place in its order
    missing: int = 0
    ready_s: float = 0.0


@dataclass
class _Stream:
    items: Iterator[Item]
    pending: int = 0
    loops: int = 0  # of the pending tasks: `until` loops that one rank does alone
    pulled: int = 0
    ended: bool = False


class _Ready:
    """Tasks of the same ranks that lack nothing: those that could start now by their key, the others by when."""

    def __init__(self) -> None:
        self.now: list[tuple[tuple[bool, int, int], _Waiting]] = []
        self.later: list[tuple[float, tuple[bool, int, int], _Waiting]] = []

    def __bool__(self) -> bool:
        return bool(self.now or self.later)

    def first(self, free_s: float) -> tuple[float, tuple[bool, int, int]]:
        """(start, key) of the next one, when the ranks are free from then on, which is never earlier than before."""
        while self.later and self.later[0][0] <= free_s:
            _, key, found = heapq.heappop(self.later)
            heapq.heappush(self.now, (key, found))
        return (free_s, self.now[0][0]) if self.now else self.later[0][:2]

    def take(self) -> _Waiting:
        """That one."""
        return heapq.heappop(self.now)[1] if self.now else heapq.heappop(self.later)[2]


class Schedule:
    """The state of a list schedule. A value is moved once to each rank that reads it and does not make it.

    Args:
        move_s: time that a message takes; for simulations.

    Attributes:
        span: when the last task that was given out starts and ends, in declared seconds.
    """

    def __init__(
        self,
        streams: Sequence[Iterable[Item]],
        start: Iterable[Value],
        steady: Callable[[Value], bool],
        *,
        window: int = WINDOW,
        in_flight: int | None = None,
        move_s: Callable[[Value], float] = lambda value: 0.0,
    ) -> None:
        self.streams = [_Stream(iter(s)) for s in streams]
        self.steady, self.window, self.in_flight, self.move_s = steady, window, in_flight, move_s
        self.everywhere = set(start)
        self.held: dict[Value, dict[int, float]] = {}  # rank -> since when it has it
        self.home: dict[Value, int] = {}
        self.planned: dict[Value, set[int]] = {}  # ranks that will make what is not made yet
        self.wanted: dict[Value, dict[int, None]] = {}  # ranks that will read what is not made yet, in order
        self.waiting: dict[object, list[_Waiting]] = {}  # by (value, rank), or the id of a task
        self.reads: dict[tuple[Value, int], int] = {}  # readers to come, by rank
        self.closed: set[Value] = set()
        self.seen: set[tuple[int, int, Value]] = (
            set()
        )  # messages of steady values that have gone, but for their turn
        self.free: dict[int, float] = {}
        self.done: dict[tuple[object, ...], float] = {}
        self.ready: dict[
            tuple[tuple[int, ...], bool], _Ready
        ] = {}  # by ranks, and whether they start together
        self.loops: list[
            _Waiting
        ] = []  # `until` loops that could start: they wait for those of other requests
        self.queue: deque[Step] = deque()  # messages and drops due before the next task
        self.span = (0.0, 0.0)
        self.dearest = 0.0
        self.opened = 0  # so many requests have been begun
        self.touched: set[int] = set()  # those whose window has room again

    def run(self) -> Iterator[Step]:
        """Tasks in order, each after the messages and drops that are due before it."""
        live = 0
        while True:
            while live < len(self.streams) and self.streams[live].ended and not self.streams[live].pending:
                live += 1
            stop = len(self.streams) if self.in_flight is None else self._window_of_requests(live)
            for r in (*sorted(self.touched), *range(self.opened, stop)):
                self._fill(r)
            self.touched.clear()
            self.opened = max(self.opened, stop)
            yield from self._flush()
            if not any(self.ready.values()) and not self.loops:
                if all(s.ended and not s.pending for s in self.streams):
                    return
                if self.in_flight is not None and not any(s.pending for s in self.streams):
                    continue
                raise AssertionError("the tasks wait for each other")
            yield self._next()
            yield from self._flush()

    def _window_of_requests(self, live: int) -> int:
        """The first request that has to wait until others have ended."""
        assert self.in_flight is not None
        open_ = 0
        for r in range(live, len(self.streams)):
            open_ += not (self.streams[r].ended and not self.streams[r].pending)
            if open_ > self.in_flight:
                return r
        return len(self.streams)

    def _fill(self, r: int) -> None:
        """Pull from a stream until its window is full."""
        stream = self.streams[r]
        taken: list[_Waiting] = []
        while stream.pending < self.window and not stream.ended:
            item = next(stream.items, None)
            if item is None:
                stream.ended = True
                break
            task, dead = item
            if task is not None:
                taken.append(self._take(task, r))
            for value in dead:
                self._close(value)
        for found in taken:
            if not found.missing:
                self._push(found)

    def _take(self, task: Task, r: int) -> _Waiting:
        stream = self.streams[r]
        self.dearest = max(self.dearest, task.cost)
        found = _Waiting(task, (task.cost > CHEAP * self.dearest, r, stream.pulled))
        stream.pulled += 1
        stream.pending += 1
        stream.loops += _is_alone(task)
        for rank, reads in zip(task.ranks, task.reads, strict=True):
            for _, value in reads:
                key = (value, rank)
                self.reads[key] = self.reads.get(key, 0) + 1
                if value not in self.everywhere:
                    self._need(found, value, rank)
        for other in task.after:
            if other in self.done:
                found.ready_s = max(found.ready_s, self.done[other])
            else:
                found.missing += 1
                self.waiting.setdefault(other, []).append(found)
        for rank, writes in zip(task.ranks, task.writes, strict=True):
            for _, value in writes:
                self.planned.setdefault(value, set()).add(rank)
        return found

    def _need(self, found: _Waiting, value: Value, rank: int) -> None:
        there = self.held.get(value)
        if there is not None and rank not in self.planned.get(value, ()):
            if rank not in there:
                self._move(value, rank)
            found.ready_s = max(found.ready_s, there[rank])
            return
        if there is None or rank not in there:
            found.missing += 1
            self.waiting.setdefault((value, rank), []).append(found)
            self.wanted.setdefault(value, {})[rank] = None
        else:
            found.ready_s = max(found.ready_s, there[rank])

    def _move(self, value: Value, rank: int) -> None:
        home = self.home[value]
        key = (home, rank, value._replace(step=()))
        settled = self.steady(value)
        late = not settled or key not in self.seen
        (self.seen.add if settled else self.seen.discard)(key)  # a declared one is like the last late one
        self.held[value][rank] = self.held[value][home] + self.move_s(value)
        self.queue.append(Move(value, home, rank, late))

    def _push(self, found: _Waiting) -> None:
        if found.task.repeat is not None and not _is_alone(found.task):
            self.loops.append(found)
            return
        is_dear, request, place = found.key
        key = (is_dear and not self.streams[request].loops, request, place)
        kind = found.task.ranks, found.task.fn[0] in TOGETHER
        heapq.heappush(self.ready.setdefault(kind, _Ready()).later, (found.ready_s, key, found))

    def _free_s(self, ranks: tuple[int, ...], together: bool) -> float:
        """When all of the ranks are free; the first of them, where they do not wait for each other."""
        free = [self.free.get(q, 0.0) for q in ranks]
        return max(free) if together else min(free)

    def _start(self, found: _Waiting) -> float:
        return max(found.ready_s, self._free_s(found.task.ranks, found.task.fn[0] in TOGETHER))

    def _next(self) -> Task:
        """The ready task that can start first."""
        first: tuple[float, tuple[bool, int, int]] | None = None
        chosen: _Ready | None = None
        for kind, ready in self.ready.items():
            found = ready.first(self._free_s(*kind)) if ready else None
            if found is not None and (first is None or found < first):
                first, chosen = found, ready
        if first is None or chosen is None:
            return self._turn_about()
        taken = chosen.take()
        self._made(taken, first[0])
        return taken.task

    def _turn_about(self) -> Task:
        """All `until` loops that the same ranks do together, as one task: their turns take turns.

        A loop that one rank does alone is a task like others: nothing would overlap, and what follows would wait.
        """
        self.loops.sort(key=lambda found: found.key)
        ranks = self.loops[0].task.ranks
        chosen = [found for found in self.loops if found.task.ranks == ranks]
        self.loops = [found for found in self.loops if found.task.ranks != ranks]
        for found in chosen:
            self._made(found, self._start(found))
        tasks = [found.task for found in chosen]
        return tasks[0] if len(tasks) == 1 else _joined(tasks)

    def _made(self, found: _Waiting, now: float) -> None:
        task, together = found.task, found.task.fn[0] in TOGETHER
        starts = [now if together else max(now, self.free.get(q, 0.0)) for q in task.ranks]
        end = max(starts) + task.cost
        self.span = (now, end)
        self.touched.add(found.key[1])
        stream = self.streams[found.key[1]]
        stream.pending -= 1
        stream.loops -= _is_alone(task)
        self.done[task.id] = end
        for other in task.after:
            self.done.pop(other, None)
        for waiter in self.waiting.pop(task.id, ()):
            self._arrived(waiter, end)
        for rank, writes, start in zip(task.ranks, task.writes, starts, strict=True):
            self.free[rank] = start + task.cost
            for _, value in writes:
                self._has(value, rank, start + task.cost)
        for value in {v: None for writes in task.writes for _, v in writes}:
            self._deliver(value)
        for rank, reads in zip(task.ranks, task.reads, strict=True):
            for _, value in reads:
                self.reads[(value, rank)] -= 1
                if not self.reads[(value, rank)]:
                    del self.reads[(value, rank)]
                    if value in self.closed:
                        self._drop(value)

    def _has(self, value: Value, rank: int, when: float) -> None:
        self.home.setdefault(value, rank)
        self.held.setdefault(value, {})[rank] = when
        makers = self.planned.get(value)
        if makers is not None:
            makers.discard(rank)
            if not makers:
                del self.planned[value]

    def _deliver(self, value: Value) -> None:
        """To those that wait for it and will not make it themselves."""
        for rank in list(self.wanted.get(value, ())):
            if rank in self.planned.get(value, ()):
                continue
            del self.wanted[value][rank]
            if rank not in self.held[value]:
                self._move(value, rank)
            for waiter in self.waiting.pop((value, rank), ()):
                self._arrived(waiter, self.held[value][rank])
        if value in self.wanted and not self.wanted[value]:
            del self.wanted[value]
        if value in self.closed:
            self._drop(value)

    def _arrived(self, found: _Waiting, when: float) -> None:
        found.missing -= 1
        found.ready_s = max(found.ready_s, when)
        if not found.missing:
            self._push(found)

    def _close(self, value: Value) -> None:
        """No task to come reads it."""
        self.closed.add(value)
        self._drop(value)

    def _drop(self, value: Value) -> None:
        if value in self.everywhere:
            return
        there = self.held.get(value, {})
        for rank in sorted(q for q in there if (value, q) not in self.reads):
            del there[rank]
            self.queue.append(Drop(rank, (value,)))
        if value in self.held and not there and value not in self.planned:
            del self.held[value], self.home[value]
            self.closed.discard(value)

    def _flush(self) -> Iterator[Step]:
        while self.queue:
            yield self.queue.popleft()


def _is_alone(task: Task) -> bool:
    """Whether it is an `until` loop that one rank does, so that nothing in it overlaps with another one's."""
    return task.repeat is not None and len(task.ranks) == 1


def _joined(tasks: Sequence[Task]) -> Task:
    """Loops of several requests as one gang task; each member has all of them."""
    first = tasks[0]
    repeats: dict[int, Repeat] = {}
    for rank in first.ranks:
        own, *others = (task.repeat[rank] for task in tasks if task.repeat is not None)
        repeats[rank] = replace(own, beside=tuple(others))
    members = range(len(first.ranks))
    reads = tuple(tuple(pair for task in tasks for pair in task.reads[i]) for i in members)
    writes = tuple(tuple(pair for task in tasks for pair in task.writes[i]) for i in members)
    cost = sum(task.cost for task in tasks)
    return first._replace(reads=reads, writes=writes, cost=cost, repeat=repeats)
