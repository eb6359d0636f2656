"""Blocks -> tasks in pieces: teams share rows and elements, and a pipelined loop goes patch by patch; see `expand`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from math import gcd
from typing import Any

from mmm_graph.errors import InputError, problem
from mmm_graph.plan.axes import Member, divide, split
from mmm_graph.plan.block import Blocks, Step, Turns
from mmm_graph.plan.expand import Item, Stream, UntilLoop
from mmm_graph.plan.ops import ALL, WHOLE, At, Fn, Share, Span, Task, Value
from mmm_graph.plan.pieces import Copy, Pieces
from mmm_graph.plan.rows import PLAIN, Form, known_size, size_of
from mmm_graph.spec.plan import LoopPlan

COPY_COST = 1e-6
NEAREST = "turn"
"""What only has to be told that something is there: any piece will do."""


class ShardStream(Stream):
    """The tasks of one request under a plan whose ranks share calls, or pipeline patches or parts of a batch.

    Args:
        symbols: what dims of the graph's inputs are in this request: heights that the file does not say.
    """

    env: dict[str, Any]

    def __init__(
        self, blocks: Blocks, request: str, until: UntilLoop, symbols: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(blocks, request, until)
        self.symbols = symbols or {}
        self.plan = blocks.plan
        self._num_patches, self._sync = 1, True
        self._units = 0  # into how many pieces the rows of the body can be cut; 0 = each entry as it likes
        self._units_of: dict[str, int] = {}  # by path of the loop
        self._copies: list[Task] = []

    def tasks(self) -> Iterator[Item]:
        """All tasks; see Item."""
        everywhere = tuple(range(self.plan.ranks))
        for name, value in self.start().items():
            self.env[name] = Pieces((), self._start_height(name))
            for rank in everywhere:
                self.env[name].add(value, rank)
        return self.entries(self.blocks.main.entries, ())

    def entries(self, entries: list[Step | Turns], step: tuple[int, ...]) -> Iterator[Item]:
        """One pass through a block: what works on pieces patch by patch, the rest once for all patches."""
        patches = self._num_patches
        for patched, run in groupby(entries, key=lambda e: isinstance(e, Step) and e.patched and patches > 1):
            group = list(run)
            if not patched:
                for entry in group:
                    if isinstance(entry, Step):
                        yield from self._pass(entry, step, ALL, is_last=True)
                    else:
                        yield from super().entries([entry], step)
                continue
            for p in range(patches):
                for entry in group:
                    assert isinstance(entry, Step)
                    yield from self._pass(entry, step, p, is_last=p == patches - 1)

    def check(self) -> None:
        """Find out before anything runs whether all that is shared can be cut.

        Raises:
            InputError: E515, E516.
        """
        self._check(self.blocks.main.entries)

    def _check(self, entries: list[Step | Turns]) -> None:
        for entry in entries:
            if isinstance(entry, Step):
                num = 0 if self._is_idle(entry) else self._num_patches if entry.patched else 1
                for patch in range(num) if num > 1 else [ALL] * num:
                    spans, height = self._spans(entry, patch)
                    for key, form in entry.forms.items() if spans else ():
                        self._scaled(spans[0], height, form, f"{entry.path}.{key}")
            elif entry.loop.until is None:  # whose body is not cut
                loop = self._loop_plan(entry)
                for sync in (True,) if loop.warmup == "all" else (True, False):
                    with self._inside(entry, sync=sync):
                        self._check(entry.block.entries)

    def turn(self, turns: Turns, step: tuple[int, ...]) -> Iterator[Item]:
        """One turn of a loop: whole in the warm-up, in patches afterwards."""
        loop = self._loop_plan(turns)
        with self._inside(turns, sync=loop.warmup == "all" or step[-1] < loop.warmup):
            yield from super().turn(turns, step)

    def _loop_plan(self, turns: Turns) -> LoopPlan:
        return self.plan.loops.get(turns.loop.path, LoopPlan())

    @contextmanager
    def _inside(self, turns: Turns, *, sync: bool) -> Iterator[None]:
        """What is known of a turn while its tasks are made."""
        before = self._num_patches, self._sync, self._units
        if turns.loop.path not in self._units_of:
            self._units_of[turns.loop.path] = self._common_units(turns)
        self._sync, self._units = sync, self._units_of[turns.loop.path]
        self._num_patches = 1 if sync else self._loop_plan(turns).patches
        yield
        self._num_patches, self._sync, self._units = before

    def _is_idle(self, entry: Step) -> bool:
        """Whether it is of the other phase of its loop."""
        return entry.phase == ("steady" if self._sync else "warm")

    def _common_units(self, turns: Turns) -> int:
        """Into how many pieces all that a body shares could be cut, so that bounds are the same for all of it."""
        found = 0
        for entry in turns.block.entries:
            if (
                isinstance(entry, Step)
                and entry.unit
                and entry.height
                and (entry.patched or entry.team[0].pieces > 1)
            ):
                found = gcd(found, self._height(entry) // entry.unit)
        return found

    def _loop(self, turns: Turns, step: tuple[int, ...]) -> Iterator[Item]:
        """The turns; what models keep between them is forgotten after the last."""
        yield from super()._loop(turns, step)
        steps = [e for e in turns.block.entries if isinstance(e, Step) and e.fn[0] == "slice"]
        ranks = tuple(sorted({m.rank for e in steps for m in e.team}))
        chains = [(e.index, part) for e in steps for part in self._parts(e)]
        last = tuple(self.chain[c] for c in chains if c in self.chain)
        if ranks:
            nothing, at = ((),) * len(ranks), At(self.request, turns.loop.path, step)
            me = (self.request, "forget", turns.loop.path, step)
            yield Task(me, ranks, ("forget",), nothing, nothing, (at,) * len(ranks), 0.0, last), ()

    def _parts(self, entry: Step) -> list[Share]:
        """The parts of a batch that an entry does one after the other."""
        num = self.plan.microbatches if entry.batched else 1
        return [(k, num) for k in range(num)]

    def _pass(self, entry: Step, step: tuple[int, ...], patch: int, *, is_last: bool) -> Iterator[Item]:
        """An entry for one patch, part of the batch after part."""
        if not self._is_idle(entry) and not (
            entry.fn[0] == "preview" and (step[-1] + 1) % int(str(entry.fn[2]))
        ):
            for part in self._parts(entry):
                task = self._shared_task(entry, step, patch, part)
                yield from self._take_copies()
                yield task, ()
        dead = self._release(entry.release) if is_last else self._forget(entry.release, patch)
        if dead:
            yield None, dead

    def _shared_task(self, entry: Step, step: tuple[int, ...], patch: int, part: Share) -> Task:
        spans, height = self._spans(entry, patch)
        reads, writes, ats = [], [], []
        for m in entry.team:
            share = divide(m.share, part[1], part[0]) if entry.batched else WHOLE
            own = spans[m.piece] if spans else None
            at = At(self.request, entry.path, step, patch, share, spans, m.piece, height, self._sync)
            without: frozenset[str] = frozenset() if patch <= 0 and m.piece == 0 else entry.joint
            region = (own, height, share, patch)
            read = [(k, n) for k, n in entry.reads if k not in without]
            written = [(k, n) for k, n in entry.writes if k not in without and _is_made(entry, k, part)]
            reads.append(tuple((k, self._read(entry, k, n, m, region)) for k, n in read))
            writes.append(tuple((k, self._value(entry, k, n, step, region)) for k, n in written))
            ats.append(at)
        for m, made in zip(entry.team, writes, strict=True):
            for key, value in made:
                self._write(entry, key, value, m.rank, step)
        work = entry.cost / (len(spans) or 1) / ats[0].share[1]
        if patch != ALL and spans:
            work *= (spans[-1][1] - spans[0][0]) / height
        me = (self.request, entry.index, step, patch, part)
        chain = (entry.index, part)
        after = (self.chain[chain],) if chain in self.chain else ()
        self.chain[chain] = me
        return Task(me, entry.ranks, entry.fn, tuple(reads), tuple(writes), tuple(ats), work, after)

    def _spans(self, entry: Step, patch: int) -> tuple[tuple[Span, ...], int]:
        """(rows of each piece, rows of the whole); nothing when the team has whole images."""
        pieces = entry.team[0].pieces
        if not entry.unit or entry.height is None or (pieces == 1 and not entry.patched):
            return (), 0
        height, patches = self._height(entry), self._num_patches if patch != ALL else 1
        common = self._units if height % entry.unit == 0 else 0
        unit = max(entry.unit, height // common) if common else entry.unit
        try:
            full = split((0, height), patches, unit)[patch if patch != ALL else 0]
            return split(full, pieces, unit), height
        except ValueError as error:
            place = self.blocks.flow.sites[entry.path].node.place
            at = f"patch {patch} of {patches} of " if patch != ALL else ""
            message = f"{at}{entry.path} cannot be cut into {pieces} pieces: {error}"
            raise InputError(
                problem("E516", message, place, "fewer patches or ranks, or a larger image")
            ) from error

    def _height(self, entry: Step) -> int:
        """Rows of the whole image that an entry works on."""
        assert entry.height is not None
        return size_of(entry.height, self.symbols, entry.path)

    def _read(
        self, entry: Step, key: str, name: str, member: Member, region: tuple[Span | None, int, Share, int]
    ) -> Value:
        own, height, share, patch = region
        pieces: Pieces = self.env[name]
        if entry.fn[0] == NEAREST:
            return pieces.nearest(member.rank)
        form = entry.forms.get(key, PLAIN)
        span = self._scaled(own, height, form, name)
        wanted = share if form.batched else WHOLE
        return pieces.want(member.rank, span, wanted, patch, self._copier(entry.path))

    def _scaled(self, own: Span | None, height: int, form: Form, name: str) -> Span | None:
        """The rows of a value that go with rows of the base."""
        if own is None or not form.rowed:
            return None
        if form.height is None:
            return own
        rows = size_of(form.height, self.symbols, name)
        return own[0] * rows // height, own[1] * rows // height

    def _value(
        self,
        entry: Step,
        key: str,
        name: str,
        step: tuple[int, ...],
        region: tuple[Span | None, int, Share, int],
    ) -> Value:
        own, height, share, patch = region
        form = entry.forms.get(f">{key}", PLAIN)
        span = self._scaled(own, height, form, name)
        if span is not None and form.height and span == (0, size_of(form.height, self.symbols, name)):
            span = None
        return Value(self.request, name, step, patch, span, share if form.batched else WHOLE)

    def _write(self, entry: Step, key: str, value: Value, rank: int, step: tuple[int, ...]) -> None:
        pieces = self.env.get(value.name)
        if pieces is None or pieces.step != step:
            form = entry.forms.get(f">{key}", PLAIN)
            height = self._known_height(form)
            pieces = self.env[value.name] = Pieces(step, height)
        pieces.add(value, rank)

    def _known_height(self, form: Form) -> int:
        return (known_size(form.height, self.symbols) if form.height is not None else None) or 0

    def _start_height(self, name: str) -> int:
        return self._known_height(self.blocks.start_form(name))

    def _copier(self, path: str) -> Copy:
        """Makes tasks of the copies that a reader needs."""

        def copy(rank: int, fn: Fn, reads: tuple[Value, ...], value: Value) -> None:
            at = At(self.request, path, value.step, value.patch, value.share)
            named = tuple((str(i), v) for i, v in enumerate(reads))
            me = (self.request, "copy", value)
            task = Task(me, (rank,), ("copy", *fn), (named,), ((("x", value),),), (at,), COPY_COST)
            self._copies.append(task)

        return copy

    def _take_copies(self) -> Iterator[Item]:
        copies, self._copies = self._copies, []
        yield from ((task, ()) for task in copies)

    def _collected(
        self, turns: Turns, outside: str, values: list[Any], axis: int, step: tuple[int, ...]
    ) -> Iterator[Item]:
        """Every turn's value whole on one rank."""
        copier = self._copier(turns.loop.path)
        whole = [pieces.want(self.blocks.home(outside), None, WHOLE, ALL, copier) for pieces in values]
        yield from self._take_copies()
        yield self._collect(turns, outside, whole, axis, step), self._drop(values)

    def _named(self, name: str, value: Value, rank: int) -> None:
        self.env[name] = Pieces(value.step)
        self.env[name].add(value, rank)

    def _repeat(self, turns: Turns, step: tuple[int, ...]) -> Iterator[Item]:
        """An `until` loop reads whole values; its body is not cut."""
        copier, blocks = self._copier(turns.loop.path), self.blocks
        read = [n for n in (*turns.reads, *(f for _, f, _ in turns.carry)) if n in self.env]
        whole = {n: self.env[n].want(blocks.home(n), None, WHOLE, ALL, copier) for n in read}
        yield from self._take_copies()
        plain = Stream(blocks, self.request, self._until)
        plain.env = {**{n: pieces.nearest(0) for n, pieces in self.env.items()}, **whole}
        task = self._until(plain, turns, step)
        for rank, writes in zip(task.ranks, task.writes, strict=True):
            for name, value in writes:
                self._named(name, value, rank)
        yield task, self._release(turns.first)

    def _release(self, names: tuple[str, ...]) -> tuple[Value, ...]:
        return self._drop(
            [self.env.pop(n) for n in names if n in self.env]
        )  # what a phase does not make is not there

    def _forget(self, names: tuple[str, ...], patch: int) -> tuple[Value, ...]:
        """What only that patch has of names that are read no more."""
        held = [self.env[n] for n in names if n in self.env and self.env[n] not in self._bindings]
        return tuple(v for pieces in held for v in pieces.forget(patch))

    def _drop(self, values: list[Any]) -> tuple[Any, ...]:
        dead: tuple[Any, ...] = super()._drop(values)
        return tuple(v for pieces in dead for v in pieces.values)


def _is_made(entry: Step, key: str, part: Share) -> bool:
    """What is not of the batch is the same for all parts of it: the first one makes it."""
    return part[0] == 0 or entry.forms.get(f">{key}", PLAIN).batched
