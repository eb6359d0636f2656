"""The Programs of an `until` loop, one for each rank -> how long all its turns take, when each takes what is said."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

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
        self.ends = dict(self.free)
        self.there: dict[tuple[int, Value], float] = {}
        self.sent: dict[tuple[int, int], deque[float]] = {}
        self._follow({rank: _heads(first) for rank, first in programs.items()})

    def turn(self) -> float:
        """One more turn of all loops; when its last one ends. The ranks have begun the next turn by then."""
        self._follow({rank: _turn(first) for rank, first in self.programs.items()})
        return max(self.ends.values())

    def _follow(self, programs: Mapping[int, Iterable[Item]]) -> None:
        todo = {rank: deque(items) for rank, items in programs.items()}
        while any(todo.values()):
            before = sum(map(len, todo.values()))
            for rank, items in todo.items():
                while items and self._can(rank, items[0]):
                    self._do(rank, items.popleft())
            assert sum(map(len, todo.values())) < before, "ranks wait for each other"

    def _can(self, rank: int, item: Item) -> bool:
        return not isinstance(item, Recv) or bool(self.sent.get((item.source, rank)))

    def _do(self, rank: int, item: Item) -> None:
        if isinstance(item, Run):
            start = max([self.free[rank], *(self.there.get((rank, v), 0.0) for _, v in item.reads)])
            self.free[rank] = start + self.run_s(item.fn, item.at)
            self.there.update(((rank, v), self.free[rank]) for _, v in item.writes)
        elif isinstance(item, Send):
            made = self.there.get((rank, item.value), 0.0)
            self.sent.setdefault((rank, item.to), deque()).append(made + self.value_s(item.value))
        elif isinstance(item, Recv):
            self.there[(rank, item.value)] = self.sent[(item.source, rank)].popleft()
        elif isinstance(item, _End):
            self.ends[rank] = self.free[rank]
            following = [(carry, self.there.get((rank, after), 0.0)) for carry, after in item.carried]
            self.there.update(((rank, carry), when) for carry, when in following)


class _End(NamedTuple):
    """A turn of a loop is over: what its carries become."""

    carried: tuple[tuple[Value, Value], ...]


Item = Instruction | _End


def _heads(first: Repeat) -> Iterator[Item]:
    """What all loops do before the rest of the first one."""
    for each in (first, *first.beside):
        yield from _flat(each.body[: each.head])


def _turn(first: Repeat) -> Iterator[Item]:
    """The rest of a turn of each loop, and the head of its next one."""
    for each in (first, *first.beside):
        yield from _flat(each.body[each.head :])
        yield _End(each.carried)
        yield from _flat(each.body[: each.head])


def _flat(body: tuple[Instruction, ...]) -> Iterator[Item]:
    """A loop within does all that it may."""
    for item in body:
        if isinstance(item, Repeat):
            yield from _heads(item)
            for _ in range(item.limit):
                yield from _turn(item)
        else:
            yield item
