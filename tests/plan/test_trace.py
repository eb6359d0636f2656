"""Trace events: one track for a rank, arrows that begin and end inside what they join."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise

from mmm_graph.plan.simulate import Costs, simulate
from mmm_graph.plan.trace import NEAR, US, trace_of
from tests.plan.cases import Case


def trace(case: Case, requests: int = 1):
    return trace_of(simulate(case.blocks["0"], Costs(), requests=requests), "p")["traceEvents"]


def test_tracks_are_ranks_and_nothing_overlaps() -> None:
    events = trace(Case(sizes=(("cfg", 2),)), 2)
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert names == {r: f"rank {r}" for r in range(4)}
    tracks = defaultdict(list)
    for e in events:
        if e["ph"] == "X":
            assert e["dur"] >= 0 and e["pid"] == 0
            tracks[e["tid"]].append((e["ts"], e["ts"] + e["dur"]))
    for spans in tracks.values():
        spans.sort()
        assert all(a[1] <= b[0] + 1e-6 for a, b in pairwise(spans))
    assert json.loads(json.dumps(events)) == events


def test_every_message_is_an_arrow_between_two_tasks() -> None:
    case = Case(steps=(3,))
    timeline = simulate(case.blocks["0"], Costs())
    events = trace_of(timeline, "p")["traceEvents"]
    starts = {e["id"]: e for e in events if e["ph"] == "s"}
    ends = {e["id"]: e for e in events if e["ph"] == "f"}
    assert starts.keys() == ends.keys() and len(starts) == len(timeline.messages) > 0
    slices = [e for e in events if e["ph"] == "X"]
    for i, start in starts.items():
        assert start["ts"] <= ends[i]["ts"] and start["name"] == ends[i]["name"]
        for end in (start, ends[i]):
            inside = [
                s for s in slices if s["tid"] == end["tid"] and s["ts"] <= end["ts"] <= s["ts"] + s["dur"]
            ]
            assert inside, end


def test_labels_and_arguments() -> None:
    case = Case(steps=(3,), sizes=(("data", 2),), microbatches=2)
    events = [e for e in trace(case) if e["ph"] == "X" and e["name"].startswith("pc 2.1")]
    assert events[0]["cat"] == "slice" and 0 < NEAR < 0.5 and US == 1e6
    assert events[0]["args"] == {
        "fn": "slice denoise/pc 0 3", "request": "0", "turn": [2], "patch": 1, "part of the batch": "0 of 4",
        "rows": "8 to 16 of 16",
    }  # fmt: skip
