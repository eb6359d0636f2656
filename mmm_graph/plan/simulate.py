"""A global order with a time for each task -> who is busy when: the simulator of plans, and of runs measured before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from mmm_graph.graph.graph import Call
from mmm_graph.plan.block import Blocks
from mmm_graph.plan.ops import At, Fn, Move, Share, Task, Value
from mmm_graph.plan.schedule import TOGETHER, Step
from mmm_graph.plan.whole import whole_order

Kind = tuple[Fn, int, int, Share, bool]
"""(fn, patch, member, share, sync): Runs that are alike, whatever their request and evaluation."""
FREE = ("output", "store", "turn", "preview", "stream", "index", "absent", "forget")
"""What takes no time to speak of, where nobody has measured it."""


def kind_of(fn: Fn, at: At) -> Kind:
    """What the time of a Run depends on."""
    return fn, at.patch, at.member, at.share, at.sync


def declared(task: Task, member: int) -> float:
    """The cost that the planner goes by."""
    return task.cost


@dataclass(frozen=True)
class Measured:
    """Seconds by kind, in place of declared costs."""

    seconds: Mapping[Kind, float]

    @staticmethod
    def of(runs: Iterable[tuple[Fn, At, float]]) -> Measured:
        """The median of each kind of (fn, at, seconds)."""
        found: dict[Kind, list[float]] = defaultdict(list)
        for fn, at, seconds in runs:
            found[kind_of(fn, at)].append(seconds)
        return Measured({kind: sorted(all_)[len(all_) // 2] for kind, all_ in found.items()})

    def __call__(self, task: Task, member: int) -> float:
        """Raises KeyError for what was not measured and is not free."""
        kind = kind_of(task.fn, task.at[member])
        if kind not in self.seconds and task.fn[0] in FREE:
            return 0.0
        return self.seconds[kind]


@dataclass(frozen=True)
class Costs:
    """What things take.

    Attributes:
        task_s: seconds of a member's part of a task.
        move_s: from the end of the task that makes a value until it is on the other rank.
        hold_s: how long a message keeps each of its two ranks from other work.
    """

    task_s: Callable[[Task, int], float] = declared
    move_s: Callable[[Move], float] = lambda move: 0.0
    hold_s: float = 0.0


class Done(NamedTuple):
    """What one rank did of a task."""

    task: Task
    member: int
    start_s: float
    end_s: float

    @property
    def rank(self) -> int:
        """Who did it."""
        return self.task.ranks[self.member]

    @property
    def at(self) -> At:
        """Where in the work it stands."""
        return self.task.at[self.member]


class Message(NamedTuple):
    """A value on its way."""

    move: Move
    sent_s: float
    there_s: float


@dataclass(frozen=True)
class Timeline:
    """Who did what when.

    Attributes:
        distinct: how many members of a task do different things; the others repeat them.
    """

    ranks: int
    done: Sequence[Done]
    messages: Sequence[Message] = ()
    distinct: Callable[[Task], int] = field(default=lambda task: len(task.ranks), repr=False)

    @cached_property
    def span_s(self) -> float:
        """From the first start to the last end."""
        return max((d.end_s for d in self.done), default=0.0) - min(
            (d.start_s for d in self.done), default=0.0
        )

    @cached_property
    def work_s(self) -> float:
        """What there is to do; what several ranks do alike counts once."""
        return sum((d.end_s - d.start_s) * self.distinct(d.task) / len(d.task.ranks) for d in self.done)

    @property
    def efficiency(self) -> float:
        """work / (ranks x span): 1 where all ranks do something useful all the time."""
        return self.work_s / (self.ranks * self.span_s) if self.span_s else 1.0

    def busy_s(self, rank: int) -> float:
        """Seconds in which a rank runs tasks."""
        return sum(d.end_s - d.start_s for d in self.done if d.rank == rank)

    def waiting_s(self, rank: int) -> float:
        """Seconds in which it does not, between the first start and the last end of all."""
        return self.span_s - self.busy_s(rank)

    def within(self, path: str, depth: int = 0) -> Timeline:
        """What belongs to the turns of a loop with so many loops around it."""
        own = [d for d in self.done if d.at.node.startswith(f"{path}/") and len(d.at.step) > depth]
        return Timeline(self.ranks, own, (), self.distinct)


def simulate(
    blocks: Blocks, costs: Costs | None = None, *, requests: int = 1, symbols: Mapping[str, int] | None = None
) -> Timeline:
    """Alike requests under the plan of their blocks, in the order that the ranks follow."""
    return replay(
        whole_order(blocks, requests, symbols), blocks.plan.ranks, costs or Costs(), _distinct(blocks)
    )


def replay(
    sequence: Iterable[Step],
    ranks: int,
    costs: Costs,
    distinct: Callable[[Task], int] = lambda task: len(task.ranks),
) -> Timeline:
    """Each rank does its own part in the given order, as soon as what it reads is there.

    Ranks that run a slice of a model together on the same share of a batch exchange in its layers: they start and end
    together. Other members of a task do not wait for each other.
    """
    return _Replay(ranks, costs, distinct).run(sequence)


class _Replay:
    def __init__(self, ranks: int, costs: Costs, distinct: Callable[[Task], int]) -> None:
        self.ranks, self.costs, self.distinct = ranks, costs, distinct
        self.free = [0.0] * ranks
        self.there: dict[tuple[Value, int], float] = {}
        self.done: list[Done] = []
        self.messages: list[Message] = []

    def run(self, sequence: Iterable[Step]) -> Timeline:
        for item in sequence:
            if isinstance(item, Task):
                for members in _together(item):
                    self._do(item, members)
            elif isinstance(item, Move):
                self._move(item)
            else:
                for value in item.values:
                    self.there.pop((value, item.rank), None)
        return Timeline(self.ranks, self.done, self.messages, self.distinct)

    def _do(self, task: Task, members: Sequence[int]) -> None:
        start = 0.0
        for m in members:
            rank = task.ranks[m]
            start = max([start, self.free[rank], *(self.there.get((v, rank), 0.0) for _, v in task.reads[m])])
        # one that comes first waits in the exchange, which its measured time counts too
        end = start + min(self.costs.task_s(task, m) for m in members)
        for m in members:
            rank = task.ranks[m]
            self.free[rank] = end
            self.there.update(((value, rank), end) for _, value in task.writes[m])
            self.done.append(Done(task, m, start, end))

    def _move(self, move: Move) -> None:
        value, source, to, _ = move
        made = self.there[(value, source)]
        there = made + self.costs.move_s(move)
        for rank in (source, to):
            self.free[rank] += self.costs.hold_s
        self.there[(value, to)] = there
        self.messages.append(Message(move, made, there))


def _together(task: Task) -> Iterator[list[int]]:
    """Members that start and end together."""
    if task.fn[0] not in TOGETHER:
        yield from ([m] for m in range(len(task.ranks)))
        return
    groups: dict[Share, list[int]] = defaultdict(list)
    for m, at in enumerate(task.at):
        groups[at.share].append(m)
    yield from groups.values()


def _distinct(blocks: Blocks) -> Callable[[Task], int]:
    """How many members of a task do different things: shares, pieces, and halves of layers."""

    def count(task: Task) -> int:
        pieces = len({(at.share, at.member) for at in task.at})
        site = blocks.flow.sites.get(task.at[0].node)
        if task.fn[0] == "slice" and site is not None and isinstance(site.node, Call):
            pieces *= blocks.plan.axes_of(site.node.model)["tensor"]
        return min(pieces, len(task.ranks))

    return count
