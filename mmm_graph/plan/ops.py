"""What a rank does, as data. A Program is a sequence of these; the interpreter in runtime/ knows no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

ALL = -1
"""Patch index of a task that covers the whole latent."""
TURN = -1
"""Index of a loop that is not unrolled, in the steps of a Repeat's body; the interpreter puts in the turn."""


Span = tuple[int, int]
"""Rows a to b (not included) of an image-shaped value."""
Share = tuple[int, int]
"""(k, n): the k-th of n shares of the batch, as even as they can be, the larger ones first."""
WHOLE: Share = (0, 1)


class Value(NamedTuple):
    """The name of one piece of one value: `name` is `node/path.port`; `span` and `share` say which piece."""

    request: str
    name: str
    step: tuple[int, ...] = ()  # index in each enclosing loop, outermost first
    patch: int = ALL
    span: Span | None = None  # None = all rows, or it has none
    share: Share = WHOLE


class At(NamedTuple):
    """Where in the work a Run stands; bound on the exchange, on noise, and shown in events and traces.

    Attributes:
        patch: index of the patch of a pipelined loop, or ALL.
        share: which share of the batch it works on.
        spans: the rows that each of the ranks that share them holds, together those of the patch; () = all rows are
            here.
        member: whose of `spans` are its own.
        total: rows of the whole image; 0 where there are none, or nobody needs to know.
        sync: nothing stale may be read: a warm-up evaluation, or an exact plan.
    """

    request: str
    node: str
    step: tuple[int, ...] = ()
    patch: int = ALL
    share: Share = WHOLE
    spans: tuple[Span, ...] = ()
    member: int = 0
    total: int = 0
    sync: bool = True


Reads = tuple[tuple[str, Value], ...]
"""(key, value): `x`, `cond.embeds`, `branches#1` for an item of a list, `when#0` for a condition."""
Fn = tuple[object, ...]
"""What to do: ("op", path), ("slice", path, a, b) for steps a..b of a method's path through its model's parts,
("cat"), ("split"), ("collect", axis), ("index", loop depth), ("absent", reason), and what is done for whoever watches:
("output", name), ("store", path), ("turn", path, total), ("preview", path, every), ("stream", path, name)."""


class Run(NamedTuple):
    """Do `fn` with the values `reads`, and name the results `writes`."""

    fn: Fn
    reads: Reads
    writes: Reads
    at: At


@dataclass(frozen=True)
class Send:
    """Give a value to another rank; `late` when its shape is not known before."""

    value: Value
    to: int
    late: bool = False


@dataclass(frozen=True)
class Recv:
    """Expect a value from another rank, posted where its send stands in the global order."""

    value: Value
    source: int
    late: bool = False


class Free(NamedTuple):
    """Forget values: nobody on this rank reads them again."""

    values: tuple[Value, ...]


@dataclass(frozen=True)
class Repeat:
    """An `until` loop on one rank: turns until the flag is true or `limit` is reached.

    Every value that a rank needs at the end of a turn is on it by then: the body ends with the messages.

    Attributes:
        node: path of the loop.
        body: what this rank does in one turn; its values have TURN in their step.
        enter: (carry of the body, its first value).
        carried: (carry of the body, what it is in the next turn).
        flag: the Bool that ends the loop after its turn; None = `limit` turns.
        limit: most turns, at least 1.
        out: (value offered after the loop, value of the last turn).
        collect: (value offered after the loop, value of each turn, axis along which they are concatenated).
        scratch: what is left at the end of a turn.
        beside: loops of other requests that are done turn about with it: while a rank waits for the end of one's turn,
            it does the others'.
        head: how many instructions of `body` come before the first slice of a model on any rank: the next loop takes
            its turn after them, so that a token goes to the first stage as soon as it is picked.
    """

    node: str
    request: str
    step: tuple[int, ...]
    body: tuple[Instruction, ...]
    enter: tuple[tuple[Value, Value], ...] = ()
    carried: tuple[tuple[Value, Value], ...] = ()
    flag: Value | None = None
    limit: int = 1
    out: tuple[tuple[Value, Value], ...] = ()
    collect: tuple[tuple[Value, Value, int], ...] = ()
    scratch: tuple[Value, ...] = ()
    beside: tuple[Repeat, ...] = ()
    head: int = 0


Instruction = Run | Send | Recv | Free | Repeat
Program = Iterator[Instruction]


class Task(NamedTuple):
    """One thing to do, before it is projected: on a group of ranks it is one gang task, an instruction on each member.

    `reads`, `writes` and `at` are per member of `ranks`. `repeat` holds the members' programs of an `until` loop.
    """

    id: tuple[object, ...]
    ranks: tuple[int, ...]
    fn: Fn
    reads: tuple[Reads, ...]
    writes: tuple[Reads, ...]
    at: tuple[At, ...]
    cost: float = 0.0
    after: tuple[tuple[object, ...], ...] = ()
    repeat: Mapping[int, Repeat] | None = None


class Move(NamedTuple):
    """A value goes from one rank to another: a Send on one, a Recv on the other, at one place of the global order."""

    value: Value
    source: int
    to: int
    late: bool = False


class Drop(NamedTuple):
    """A rank forgets values."""

    rank: int
    values: tuple[Value, ...]
