"""Blocks -> tasks, lazily: counted loops are unrolled turn by turn, each value dies when its last reader is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mmm_graph.errors import InputError, problem
from mmm_graph.plan.block import Blocks, Step, Turns
from mmm_graph.plan.ops import ALL, WHOLE, At, Task, Value

Item = tuple[Task | None, tuple[Value, ...]]
"""A task, and values that no later task of this stream reads."""
_tuple: Any = tuple.__new__  # a NamedTuple without its Python constructor, which costs as much as the rest
UntilLoop = Callable[["Stream", Turns, tuple[int, ...]], Task]


class Stream:
    """The tasks of one request, in an order in which they could run.

    Args:
        blocks: of the request's graph.
        request: its id.
        until: makes the task of an `until` loop: see `repeat`.
    """

    def __init__(self, blocks: Blocks, request: str, until: UntilLoop) -> None:
        self.blocks, self.request, self._until = blocks, request, until
        self.env: dict[str, Value] = {}
        self._bindings: dict[Any, int] = {}  # of values with more than one name: how many
        self.chain: dict[object, tuple[object, ...]] = {}  # the last task of each step
        self._chained = blocks.plan.ranks > 1

    def start(self) -> dict[str, Value]:
        """Names that every rank has from the beginning: inputs, and values given instead of computed."""
        return {n: Value(self.request, n) for n in self.blocks.start}

    def tasks(self) -> Iterator[Item]:
        """All tasks; see Item."""
        self.env = self.start()
        return self.entries(self.blocks.main.entries, ())

    def entries(self, entries: list[Step | Turns], step: tuple[int, ...]) -> Iterator[Item]:
        """One pass through a block."""
        for entry in entries:
            if isinstance(entry, Step):
                task = self._task(entry, step)
                yield task, self._release(entry.release) if entry.release else ()
            else:
                if entry.loop.until is None or entry.loop.count == 0:
                    yield from self._loop(entry, step)
                else:
                    yield from self._repeat(entry, step)
                if entry.release:
                    yield None, self._release(entry.release)

    def _task(self, entry: Step, step: tuple[int, ...]) -> Task:
        env, request = self.env, self.request
        reads = tuple([(key, env[name]) for key, name in entry.reads])
        writes = []
        for key, name in entry.writes:
            value = env[name] = _tuple(Value, (request, name, step, ALL, None, WHOLE))
            writes.append((key, value))
        at = _tuple(At, (request, entry.path, step, ALL, WHOLE, (), 0, 0, True))
        me = (request, entry.index, step)
        after: tuple[tuple[object, ...], ...] = ()
        if self._chained:
            after = (self.chain[entry.index],) if entry.index in self.chain else ()
            self.chain[entry.index] = me
        num = len(entry.ranks)  # members of a team all do the same here
        ends = ((reads,) * num, (tuple(writes),) * num, (at,) * num)
        fields = (me, entry.ranks, entry.fn, *ends, entry.cost, after, None)
        task: Task = _tuple(Task, fields)
        return task

    def _loop(self, turns: Turns, step: tuple[int, ...]) -> Iterator[Item]:
        count = turns.loop.count if turns.loop.count is not None else turns.loop.limit
        if count is None:
            message = f"nothing says how often {turns.loop.path} turns"
            raise InputError(problem("E506", message, turns.loop.place, "give it `each:` or `max:`"))
        if count == 0:
            yield from self._no_turns(turns, step)
            return
        env = self.env
        for name, first, _ in turns.carry:
            self._bind(name, env[first])
        if turns.first:
            yield None, self._release(turns.first)
        gathered: dict[str, list[Value]] = {outside: [] for outside, _, _ in turns.collect}
        for i in range(count):
            yield from self.turn(turns, (*step, i))
            for outside, inside, _ in turns.collect:
                gathered[outside].append(env[inside])
                self._hold(env[inside])
            following = [(name, env[after]) for name, _, after in turns.carry] if i + 1 < count else []
            for _, value in following:
                self._hold(value)
            if i + 1 == count:
                for outside, inside, _ in turns.out:
                    self._bind(outside, env[inside])
            dead = self._release(turns.block.release)
            env.update(following)
            if dead:
                yield None, dead
        for outside, _, axis in turns.collect:
            yield from self._collected(turns, outside, gathered[outside], axis, step)

    def turn(self, turns: Turns, step: tuple[int, ...]) -> Iterator[Item]:
        """One turn of a loop."""
        yield from self.entries(turns.block.entries, step)

    def _named(self, name: str, value: Value, rank: int) -> None:
        """A rank has made a value."""
        self.env[name] = value

    def _collected(
        self, turns: Turns, outside: str, values: list[Value], axis: int, step: tuple[int, ...]
    ) -> Iterator[Item]:
        yield self._collect(turns, outside, values, axis, step), self._drop(values)

    def _collect(
        self, turns: Turns, outside: str, values: list[Value], axis: int, step: tuple[int, ...]
    ) -> Task:
        made, rank = Value(self.request, outside, step), self.blocks.home(outside)
        self._named(outside, made, rank)
        reads = tuple((str(i), v) for i, v in enumerate(values))
        at = (At(self.request, turns.loop.path, step),)
        me = (self.request, outside, step)
        return Task(me, (rank,), ("collect", axis), (reads,), ((("x", made),),), at)

    def _no_turns(self, turns: Turns, step: tuple[int, ...]) -> Iterator[Item]:
        """Carries keep their first value; everything else is absent."""
        absent = [outside for outside, _, _ in turns.collect]
        for outside, _, first in turns.out:
            if first:
                self._bind(outside, self.env[first])
            else:
                absent.append(outside)
        dead = self._release(turns.first)
        if dead:
            yield None, dead
        for name in absent:
            made = Value(self.request, name, step)
            self._named(name, made, 0)
            at = (At(self.request, turns.loop.path, step),)
            fn = ("absent", f"loop {turns.loop.path} has no turns")
            yield Task((self.request, name, step), (0,), fn, ((),), ((("x", made),),), at), ()

    def _repeat(self, turns: Turns, step: tuple[int, ...]) -> Iterator[Item]:
        task = self._until(self, turns, step)
        for writes in task.writes:
            for name, value in writes:
                self.env[name] = value
        yield task, self._release(turns.first)

    def _bind(self, name: str, value: Value) -> None:
        """One more name for a value."""
        self._hold(value)
        self.env[name] = value

    def _hold(self, value: Value) -> None:
        self._bindings[value] = self._bindings.get(value, 1) + 1

    def _release(self, names: tuple[str, ...]) -> tuple[Value, ...]:
        """Forget names; returns the values that have none left."""
        pop = self.env.pop
        values = [pop(name) for name in names]
        return self._drop(values) if self._bindings else tuple(values)

    def _drop(self, values: list[Value]) -> tuple[Value, ...]:
        dead = []
        for value in values:
            left = self._bindings.get(value, 1) - 1
            if left > 1:
                self._bindings[value] = left
            elif left == 1:
                del self._bindings[value]
            else:
                dead.append(value)
        return tuple(dead)
