"""What goes into a run, what comes out, and what happens meanwhile, as values; no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mmm_graph.errors import MmmError
from mmm_graph.graph.graph import Graph

EventKind = Literal["node_start", "node_end", "loop_step", "preview", "stream", "memory", "output", "done"]


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: node_start, node_end (time_s = seconds it took); loop_step (data: None); preview and stream (data: the
            value; `port` of a stream is in `node`, after a dot); memory (data: {"bytes", "peak"} of live values);
            output (data: the value of the output `node`).
        request: id of the request.
        node: path of the node or loop.
        step: turns done of the innermost loop around it, or index of the turn; 0 outside loops.
        total: turns there are at most; 0 = unknown.
            done is for those who drive a run; the engine does not send it.
        time_s: seconds since the run began, for node_end the time the node took.
    """

    kind: EventKind
    request: str
    node: str
    step: int = 0
    total: int = 0
    data: Any = None
    time_s: float = 0.0


OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class Request:
    """One thing to compute.

    Attributes:
        id: unique in a run.
        inputs: by name; what is left out takes its default.
        seeds: run seed of each batch element, or one for all.
        elements: number of each element in the batch; with its seed it keys all noise. Default: 0 .. b-1 for one
            seed, all 0 for several, so that an element equals a run of its own with that seed.
        graph: its own graph, where it differs from the others' (another number of steps).
    """

    id: str
    inputs: Mapping[str, Any]
    seeds: tuple[int, ...] = (0,)
    elements: tuple[int, ...] | None = None
    graph: Graph | None = None


@dataclass(frozen=True)
class Result:
    """What a request gave.

    Attributes:
        values: outputs by name.
        absent: why the others were not produced.
        owners: of outputs whose rows were routed: the batch element of each row.
        error: why the request failed, when failures are kept apart.
    """

    values: Mapping[str, Any]
    absent: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    error: MmmError | None = None
