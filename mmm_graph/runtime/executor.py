"""The interpreter: one Program, step by step. It knows instructions, never samplers, models, patches or guidance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from time import perf_counter
from typing import Any

from torch import Tensor

from mmm_graph.errors import Cancelled, MmmError, RunError, problem
from mmm_graph.plan.ops import TURN, At, Fn, Free, Instruction, Recv, Repeat, Run, Send, Value
from mmm_graph.runtime.bound import Bound
from mmm_graph.runtime.copies import join
from mmm_graph.runtime.transport import Pending, Transport
from mmm_graph.runtime.values import Absent, describe, is_empty, truth
from mmm_graph.runtime.watch import Watch

TOLD = ("output", "turn", "preview", "stream")
"""What is only told to those who look on: no other Run reads what it writes."""
BEHIND = 256
"""Of these, how many may wait for other ranks while this one goes on."""


class Executor:
    """Runs the Program of one rank.

    Args:
        calls: callables by fn, for each request.
        transport: to the other ranks.
        values: what is there from the beginning.
        watch: told of what happens; None = nobody looks.
        cancel: asked before each Run; True stops with Cancelled.
        failed: where failures of requests are put; None = the first one is raised.
        note: told what comes next, for whoever supervises this rank, which then is one of several.
        goes_on: where a value to be told of is still on its way from another rank, do what comes next, another request
            perhaps, and tell of it when it is there. `finish` tells the rest.
    """

    def __init__(
        self,
        calls: Mapping[str, Mapping[Fn, Bound]],
        transport: Transport,
        values: dict[Value, Any],
        *,
        watch: Watch | None = None,
        cancel: Callable[[], bool] | None = None,
        failed: dict[str, MmmError] | None = None,
        note: Callable[[str], None] | None = None,
        goes_on: bool = False,
    ) -> None:
        self.calls, self.transport, self.values = calls, transport, values
        self.watch, self.cancel, self.failed, self.note = watch, cancel, failed, note
        self.is_one_of_many = note is not None
        self.goes_on = goes_on
        self.pending: dict[Value, Pending] = {}
        self._behind: dict[Value, list[Run]] = {}  # what is still to be told, by the value that is on its way
        self._dead: set[Value] = set()  # of these values, those that nobody else reads
        self._do: Mapping[type, Callable[[Any, tuple[int, ...]], None]] = {
            Free: self._free,
            Send: self._send,
            Recv: self._recv,
            Repeat: self._repeat,
        }

    def execute(self, program: Iterable[Instruction], turns: tuple[int, ...] = ()) -> None:
        """Do all instructions; `turns` are those of the `until` loops around."""
        do, run, values, watch, behind = self._do, self._run, self.values, self.watch, self._behind
        for item in program:
            if type(item) is Run:
                run(item, turns)
            elif type(item) is Free and watch is None and not behind:
                for value in item.values:
                    values.pop(value, None)
            else:
                do[type(item)](item, turns)

    def _run(self, item: Run, turns: tuple[int, ...]) -> None:
        fn, reads, writes, at = item
        values = self.values
        if self.pending:
            if self.goes_on and fn[0] in TOLD and not turns and self._put_off(item):
                return
            self._arrive([v for _, v in reads])
        if self.note is not None:
            self.note(f"{fn[0]} {at.node}, request {at.request}, turn {at.step}, patch {at.patch}")
        if self.cancel is not None and self.cancel():
            raise Cancelled(problem("E730", f"cancelled before {at.node}"))
        if turns:
            at = _placed(at, turns)
        bound = self.calls[at.request][fn]
        args = {key: values[v] for key, v in reads}
        if (bound.guarded or Absent in map(type, args.values())) and not bound.raw:
            skip = self._skip(bound, args, at)
            if skip is not None:
                values.update([(v, skip) for _, v in writes])
                return
        try:
            found = bound.function(args, at) if self.watch is None else self._watched(bound, args, at, writes)
        except Exception as error:  # whatever a plugin raises becomes an error that names the node
            found = self._fail(bound, args, at, error)
        ports = bound.ports
        for key, v in writes:
            value = found[key]
            if (type(value) is not Tensor or not value.numel()) and key in ports and is_empty(value):
                value = Absent(f"{at.node} gave no {key}")
            values[v] = value

    def _free(self, item: Free, turns: tuple[int, ...]) -> None:
        """As in `execute`, where somebody looks on, or is to be told of values that are on their way."""
        for value in item.values:
            self.values.pop(value, None)
        self._dead.update(value for value in item.values if value in self._behind)
        if self.watch is not None:
            self.watch.freed(item.values)

    def _fail(self, bound: Bound, args: Mapping[str, Any], at: At, error: Exception) -> Mapping[str, Any]:
        """Raise it with all that is known, or put it with its request, whose later nodes are then skipped.

        What ranks do together is not skipped by one of them, nor what a loop sends every turn: the others wait for it.
        Nor are its rows of an image: those that have the other rows would ask it for these.
        """
        failure = _located(bound, args, at, error)
        together = bound.shared or (self.is_one_of_many and (bool(at.step) or len(at.spans) > 1))
        if self.failed is None or together or isinstance(failure, Cancelled):
            raise failure from (error if failure is not error else error.__cause__)
        if failure is not error:
            failure.__cause__ = error
        self.failed.setdefault(at.request, failure)
        return _Gone(Absent(f"{at.node} failed"))

    def _watched(
        self, bound: Bound, args: dict[str, Any], at: At, writes: tuple[tuple[str, Value], ...]
    ) -> Mapping[str, Any]:
        assert self.watch is not None
        if bound.visible:
            self.watch.start(at)
        start = perf_counter()
        found = bound.function(args, at)
        if bound.visible:
            self.watch.end(at, perf_counter() - start)
        self.watch.made([(v, found[key]) for key, v in writes])
        return found

    def _skip(self, bound: Bound, args: dict[str, Any], at: At) -> Absent | None:
        """Why a node does not run, or None; what is absent but optional becomes None."""
        for key in bound.whens:
            flag = args.pop(key)
            if type(flag) is Absent:
                return flag.after(at.node)
            try:
                go = truth(flag)
            except ValueError as error:
                return self._fail(bound, {"when": flag}, at, error)["when"]  # type: ignore[no-any-return]
            if not go:
                return Absent(f"the condition of {at.node} is false")
        for key, value in args.items():
            if type(value) is Absent:
                if key not in bound.optional:
                    return value.after(at.node)
                args[key] = None
        return None

    def _send(self, item: Send, turns: tuple[int, ...]) -> None:
        self._arrive((item.value,))
        self.transport.send(self.values[item.value], item.value, item.to, item.late)

    def _recv(self, item: Recv, turns: tuple[int, ...]) -> None:
        self.pending[item.value] = self.transport.recv(item.value, item.source, item.late)

    def _arrive(self, wanted: Iterable[Value]) -> None:
        """Wait for messages that are read now."""
        for value in wanted:
            message = self.pending.pop(value, None)
            if message is not None:
                self.values[value] = message.wait()
                for told in self._behind.pop(value, ()):
                    self._run(told, ())
                if value in self._dead:
                    self._dead.discard(value)
                    del self.values[value]

    def _put_off(self, item: Run) -> bool:
        """Whether one of its values is on its way; where too many are, the first of them is waited for."""
        missing = next((value for _, value in item.reads if value in self.pending), None)
        if missing is None:
            return False
        self._behind.setdefault(missing, []).append(item)
        if len(self._behind) > BEHIND:
            self._arrive((next(iter(self._behind)),))
        return True

    def finish(self) -> None:
        """Tell what is still to be told of, when all else is done."""
        while self._behind:
            self._arrive((next(iter(self._behind)),))

    def _repeat(self, item: Repeat, turns: tuple[int, ...]) -> None:
        """Loops of several requests in the order (turn, request); members drop one that is over at the same place."""
        going = [self._turns(each, turns) for each in (item, *item.beside)]
        while going:
            going = [loop for loop in going if next(loop, None) is not None]

    def _turns(self, item: Repeat, turns: tuple[int, ...]) -> Iterator[int]:
        """One loop, turn by turn; it stops in each after its head, where the other loops come to their turn."""
        values = self.values
        self._arrive([first for _, first in item.enter])
        for carry, first in item.enter:
            values[carry] = values[first]
        gathered: dict[Value, list[Any]] = {target: [] for target, _, _ in item.collect}
        head, tail = item.body[: item.head], item.body[item.head :]
        for turn in range(item.limit):
            self.execute(head, (*turns, turn))
            yield turn
            self.execute(tail, (*turns, turn))
            self._arrive(item.scratch)
            for target, source, _ in item.collect:
                gathered[target].append(values[source])
            last = self._is_over(item, (*turns, turn)) or turn + 1 == item.limit
            following = [(carry, values[after]) for carry, after in item.carried]
            results = [(target, values[source]) for target, source in item.out] if last else []
            self.execute((Free(item.scratch),))
            if last:
                values.update(results)
                break
            values.update(following)
        for carry, _ in item.enter:
            values.pop(carry, None)
        for target, _, axis in item.collect:
            found = [v for v in gathered[target] if type(v) is not Absent]
            values[target] = join(found, axis) if found else gathered[target][-1]

    def _is_over(self, item: Repeat, turns: tuple[int, ...]) -> bool:
        flag = self.values[item.flag] if item.flag is not None else False
        if type(flag) is Absent:
            return True
        try:
            return truth(flag)
        except ValueError as error:
            at = _placed(At(item.request, item.node, (*item.step, TURN)), turns)
            self._fail(_UNTIL, {"until": flag}, at, error)
            return True


_UNTIL = Bound(lambda args, at: {}, label="until")


class _Gone(dict[str, Any]):
    """Every output of a node that failed."""

    def __init__(self, absent: Absent) -> None:
        super().__init__()
        self.absent = absent

    def __missing__(self, key: str) -> Absent:
        return self.absent


def _placed(at: At, turns: tuple[int, ...]) -> At:
    """`at` with the turns of the `until` loops around it."""
    left = iter(turns)
    return at._replace(step=tuple(next(left) if i == TURN else i for i in at.step))


def _located(bound: Bound, args: Mapping[str, Any], at: At, error: Exception) -> MmmError:
    """The error of a node, with the node, what it is, where it was written and what it was given."""
    if isinstance(error, MmmError) and any(p.place is not None for p in error.problems):
        return error
    if isinstance(error, Cancelled):
        return error
    given = ", ".join(f"{k}={describe(v)}" for k, v in args.items())
    turn = f" in turn {', '.join(map(str, at.step))}" if at.step else ""
    where = f"{at.node} ({bound.label or 'internal'}) failed{turn}"
    hint = f"it was given {given}" if given else ""
    if isinstance(error, MmmError):  # a plugin's own problems, now with their node
        own = [problem(p.code, f"{where}: {p.message}", bound.place, p.hint or hint) for p in error.problems]
        return type(error)(own)
    return RunError(problem("E701", f"{where}: {type(error).__name__}: {error}", bound.place, hint))
