"""The Programs of an `until` loop, one for each rank -> how long all its turns take, when each takes what is said."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from mmm_graph.plan.ops import At, Fn, Instruction, Recv, Repeat, Run, Send, Value

FEW = 4
"""Turns that are followed one by one; those after them take as long as the last two of these."""


def turns_s(
    programs: Mapping[int, Repeat], run_s: Callable[[Fn, At], float], value_s: Callable[[Value], float]
) -> float:
    """Seconds from the first turn's start to the last one's end on the last rank.

    What stands under a condition is done in every turn, the last one too. Loops beside it take their turns in between,
    as the ranks do them: all are done at the end.
    """
    limit = max(each.limit for first in programs.values() for each in (first, *first.beside))
    replay = _Turns(programs, run_s, value_s)
    ends = [replay.turn() for _ in range(min(limit, FEW))]
    return ends[-1] + (limit - FEW) * (ends[-1] - ends[-3]) / 2 if limit > FEW else ends[-1]


class _Turns:
    """Every rank does its own instructions in order; a Recv waits for nothing but its reader does."""

    def __init__(
        self,
        programs: Mapping[int, Repeat],
        run_s: Callable[[Fn, At], float],
        value_s: Callable[[Value], float],
    ) -> None:
        self.programs, self.run_s, self.value_s = programs, run_s, value_s
        self.free = dict.fromkeys(programs, 0.0)
        self.there: dict[tuple[int, Value], float] = {}

    def turn(self) -> float:
        """One more turn of all loops; when it ends."""
        self.sent: dict[tuple[int, int], deque[float]] = {}
        todo = {rank: deque(_bodies(first)) for rank, first in self.programs.items()}
        while any(todo.values()):
            before = sum(map(len, todo.values()))
            for rank, items in todo.items():
                while items and self._can(rank, items[0]):
                    self._do(rank, items.popleft())
            assert sum(map(len, todo.values())) < before, "ranks wait for each other"
        for rank, first in self.programs.items():
            for each in (first, *first.beside):
                following = [(carry, self.there.get((rank, after), 0.0)) for carry, after in each.carried]
                self.there.update(((rank, carry), when) for carry, when in following)
        return max(self.free.values())

    def _can(self, rank: int, item: Instruction) -> bool:
        return not isinstance(item, Recv) or bool(self.sent.get((item.source, rank)))

    def _do(self, rank: int, item: Instruction) -> None:
        if isinstance(item, Run):
            start = max([self.free[rank], *(self.there.get((rank, v), 0.0) for _, v in item.reads)])
            self.free[rank] = start + self.run_s(item.fn, item.at)
            self.there.update(((rank, v), self.free[rank]) for _, v in item.writes)
        elif isinstance(item, Send):
            made = self.there.get((rank, item.value), 0.0)
            self.sent.setdefault((rank, item.to), deque()).append(made + self.value_s(item.value))
        elif isinstance(item, Recv):
            self.there[(rank, item.value)] = self.sent[(item.source, rank)].popleft()


def _bodies(first: Repeat) -> Iterator[Instruction]:
    """One turn of each loop; a loop within does all that it may."""
    for each in (first, *first.beside):
        yield from _flat(each.body)


def _flat(body: tuple[Instruction, ...]) -> Iterator[Instruction]:
    for item in body:
        if isinstance(item, Repeat):
            for _ in range(item.limit):
                yield from _bodies(item)
        else:
            yield item
