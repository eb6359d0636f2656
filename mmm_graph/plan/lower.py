"""The global order -> the Program of one rank: its own tasks, both ends of its messages, and what it may forget."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from mmm_graph.plan.ops import Drop, Free, Move, Program, Recv, Run, Send, Task
from mmm_graph.plan.schedule import Step

AHEAD = 256
"""Instructions made at a time: between two large models each would cost three times as much, with cold caches."""
_tuple: Any = tuple.__new__  # a NamedTuple without its Python constructor


def project(sequence: Iterable[Step], rank: int) -> Program:
    """What one rank does. The Send and the Recv of a message stand at the same place of the order.

    So even when a Send waits for its Recv to be posted, the first message or task of the order that is not done can
    always go on: the programs cannot dead-lock.
    """
    items = _instructions(sequence, rank)
    while ahead := list(islice(items, AHEAD)):
        yield from ahead


def _instructions(sequence: Iterable[Step], rank: int) -> Program:
    for item in sequence:
        if type(item) is Task:
            if rank in item.ranks:
                member = item.ranks.index(rank)
                if item.repeat is None:
                    yield _tuple(Run, (item.fn, item.reads[member], item.writes[member], item.at[member]))
                else:
                    yield item.repeat[rank]
        elif type(item) is Drop:
            if item.rank == rank:
                yield Free(item.values)
        elif type(item) is Move:
            if item.source == rank:
                yield Send(item.value, item.to, item.late)
            elif item.to == rank:
                yield Recv(item.value, item.source, item.late)
