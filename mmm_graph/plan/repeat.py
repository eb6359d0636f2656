"""An `until` loop -> one task with a Program of one turn for each member: unknown turns cannot be unrolled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mmm_graph.plan.block import Turns
from mmm_graph.plan.expand import Item, Stream
from mmm_graph.plan.lower import project
from mmm_graph.plan.ops import TURN, At, Instruction, Repeat, Run, Task, Value
from mmm_graph.plan.schedule import Step, order

HERE = ("here",)
"""A task that does nothing: its reads make sure that a value is on its rank when a turn ends."""


def repeat_task(stream: Stream, turns: Turns, step: tuple[int, ...]) -> Task:
    """One gang task on all ranks that take part; `stream.env` has the values outside."""
    return _Turn(stream, turns, step).task()


class _Turn:
    def __init__(self, stream: Stream, turns: Turns, step: tuple[int, ...]) -> None:
        self.stream, self.turns, self.step, self.loop = stream, turns, step, turns.loop
        self.limit = max(1, min(n for n in (self.loop.limit, self.loop.count) if n is not None))
        self.outer = set(stream.env.values())
        self.first = {name: stream.env[first] for name, first, _ in turns.carry}
        kept, chain = dict(stream.env), stream.chain
        stream.chain = {}
        inner = (*step, TURN)
        self.carried = {name: Value(stream.request, name, inner) for name in self.first}
        stream.env.update(self.carried)
        self.items = [(task, dead) for task, dead in stream.entries(turns.block.entries, inner)]
        self.env, stream.chain = dict(stream.env), chain
        stream.env.clear()
        stream.env.update(kept)
        self.decider = stream.blocks.home(turns.flag)
        ranks = {q for task, _ in self.items if task is not None for q in task.ranks}
        self.members = tuple(sorted(ranks | {self.decider}))
        self.at_end = self._at_end()

    def _at_end(self) -> dict[Value, set[int]]:
        """Which values have to be on which ranks when a turn ends, beside where they are made."""
        reads: dict[Value, set[int]] = {}
        made: dict[Value, int] = {}
        for task, _ in self.items:
            for rank, own, written in zip(task.ranks, task.reads, task.writes, strict=True) if task else ():
                for _, value in own:
                    reads.setdefault(value, set()).add(rank)
                made.update((v, rank) for _, v in written)
        self.made = made
        wanted: dict[Value, set[int]] = {self.env[self.turns.flag]: set(self.members)}
        for _, inside, _ in (*self.turns.out, *self.turns.collect):
            value = self.env[inside]
            wanted.setdefault(value, set()).add(made.get(value, self.decider))
        changed = True
        while changed:  # what a carry becomes must be where the carry is read
            changed = False
            for name, _, after in self.turns.carry:
                ranks = reads.get(self.carried[name], set()) | wanted.get(self.carried[name], set())
                there = wanted.setdefault(self.env[after], set())
                changed = changed or not ranks <= there
                there |= ranks
        self.reads = {v: reads.get(v, set()) | wanted.get(v, set()) for v in (*wanted, *reads)}
        return wanted

    def _stream(self) -> Iterator[Item]:
        yield from self.items
        for rank in self.members:
            reads = tuple(("x", v) for v, ranks in self.at_end.items() if rank in ranks)
            at = At(self.stream.request, self.loop.path, self.step)
            yield Task((HERE, rank), (rank,), HERE, (reads,), ((),), (at,)), ()

    def task(self) -> Task:
        stream = self.stream
        start = self.outer | set(self.carried.values()) | set(self.first.values())
        sequence = list(order([self._stream()], stream.blocks.plan.ranks, start=start))
        cut = next((i for i, item in enumerate(sequence) if _is_slice(item)), 0)
        programs = {q: _without_marks(sequence, q) for q in self.members}
        heads = {q: len(_without_marks(sequence[:cut], q)) for q in self.members}
        repeats = {q: replace(self._repeat(q, programs[q]), head=heads[q]) for q in self.members}
        reads, writes = [], []
        for q in self.members:
            outer = [v for v, ranks in self.reads.items() if q in ranks and v in self.outer]
            outer += [first for _, first in repeats[q].enter]
            reads.append(tuple(("x", v) for v in dict.fromkeys(outer)))
            made = [*repeats[q].out, *((o, i) for o, i, _ in repeats[q].collect)]
            writes.append(tuple((o.name, o) for o, _ in made))
        at = At(stream.request, self.loop.path, self.step)
        cost = sum(t.cost for t, _ in self.items if t is not None) * self.limit
        me = (stream.request, self.loop.path, self.step)
        fn = ("repeat", self.loop.path)
        return Task(
            me, self.members, fn, tuple(reads), tuple(writes), (at,) * len(self.members), cost, (), repeats
        )

    def _repeat(self, rank: int, body: tuple[Instruction, ...]) -> Repeat:
        """The loop on one rank, with the carries and results that it has."""
        mine = {v for v, ranks in self.reads.items() if rank in ranks}
        carries = [(n, after) for n, _, after in self.turns.carry if self.carried[n] in mine]
        made = [
            (self._outside(o), self.env[i]) for o, i, _ in self.turns.out if self._home(self.env[i]) == rank
        ]
        collect = [
            (self._outside(o), self.env[i], axis)
            for o, i, axis in self.turns.collect
            if self._home(self.env[i]) == rank
        ]
        ends = dict.fromkeys(self.env[n] for n in self.turns.block.ends)
        return Repeat(
            self.loop.path,
            self.stream.request,
            self.step,
            body,
            tuple((self.carried[n], self.first[n]) for n, _ in carries),
            tuple(
                (self.carried[n], self.env[after])
                for n, after in carries
                if self.env[after] != self.carried[n]
            ),
            self.env[self.turns.flag],
            self.limit,
            tuple(made),
            tuple(collect),
            tuple(v for v in ends if v not in self.outer and v not in self.carried.values()),
        )

    def _outside(self, name: str) -> Value:
        return Value(self.stream.request, name, self.step)

    def _home(self, value: Value) -> int:
        return self.made.get(value, self.decider)


def _without_marks(sequence: Sequence[Step], rank: int) -> tuple[Instruction, ...]:
    return tuple(i for i in project(sequence, rank) if not (isinstance(i, Run) and i.fn == HERE))


def _is_slice(item: Step) -> bool:
    return isinstance(item, Task) and item.fn[0] == "slice"
