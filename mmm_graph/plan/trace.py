"""A Timeline -> Chrome trace events, for Perfetto and chrome://tracing: a track for each rank, arrows for messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmm_graph.plan.ops import ALL, WHOLE, Value
from mmm_graph.plan.simulate import Done, Timeline

US = 1e6
"""Trace times are microseconds."""
NEAR = 0.01
"""How far inside a task an arrow begins and ends, as a share of it."""


def trace_of(timeline: Timeline, name: str) -> dict[str, Any]:
    """The object that a trace file holds; times are those of the simulation.

    Source: "Trace Event Format", events of phases X (complete), s and f (flow), M (metadata).
    """
    return {"traceEvents": [*_events(timeline, name)], "displayTimeUnit": "ms"}


def _events(timeline: Timeline, name: str) -> Iterator[dict[str, Any]]:
    yield {"ph": "M", "pid": 0, "name": "process_name", "args": {"name": name}}
    for rank in range(timeline.ranks):
        yield {"ph": "M", "pid": 0, "tid": rank, "name": "thread_name", "args": {"name": f"rank {rank}"}}
        yield {"ph": "M", "pid": 0, "tid": rank, "name": "thread_sort_index", "args": {"sort_index": rank}}
    for done in timeline.done:
        yield _slice(done)
    yield from _arrows(timeline)


def _slice(done: Done) -> dict[str, Any]:
    task, at = done.task, done.at
    args: dict[str, Any] = {"fn": " ".join(map(str, task.fn)), "request": at.request, "turn": list(at.step)}
    if at.patch != ALL:
        args["patch"] = at.patch
    if at.share != WHOLE:
        args["part of the batch"] = f"{at.share[0]} of {at.share[1]}"
    if at.spans:
        args["rows"] = f"{at.spans[at.member][0]} to {at.spans[at.member][1]} of {at.total}"
    return {
        "ph": "X", "pid": 0, "tid": done.rank, "name": _label(done), "cat": str(task.fn[0]),
        "ts": done.start_s * US, "dur": (done.end_s - done.start_s) * US, "args": args,
    }  # fmt: skip


def _label(done: Done) -> str:
    """`predict_cond 3.1`: node, turn and patch."""
    at, kind = done.at, str(done.task.fn[0])
    place = ".".join(map(str, (*at.step, *(() if at.patch == ALL else (at.patch,)))))
    node = at.node.rpartition("/")[2]
    return " ".join(word for word in ("" if kind in ("slice", "op") else kind, node, place) if word)


def _arrows(timeline: Timeline) -> Iterator[dict[str, Any]]:
    """From the task that made a value to the first one that reads it on the other rank."""
    makers: dict[tuple[Value, int], Done] = {}
    readers: dict[tuple[Value, int], Done] = {}
    for done in timeline.done:
        for _, value in done.task.writes[done.member]:
            makers[(value, done.rank)] = done
        for _, value in done.task.reads[done.member]:
            readers.setdefault((value, done.rank), done)
    for i, message in enumerate(timeline.messages):
        value, source, to, late = message.move
        maker, reader = makers[value, source], readers[value, to]
        common = {
            "pid": 0,
            "name": value.name.partition("@")[0].rpartition("/")[2],
            "cat": "message",
            "id": i,
        }
        # an arrow is bound to what encloses its ends
        sent = maker.end_s - NEAR * (maker.end_s - maker.start_s)
        read = reader.start_s + NEAR * (reader.end_s - reader.start_s)
        yield {**common, "ph": "s", "tid": source, "ts": sent * US, "args": {"late": late}}
        yield {**common, "ph": "f", "bp": "e", "tid": to, "ts": read * US}
