"""Turns what the interpreter does into events, and counts the bytes of live values."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import Any

from mmm_graph.plan.ops import At, Fn, Value
from mmm_graph.runtime.arguments import Values
from mmm_graph.runtime.bound import Bound
from mmm_graph.runtime.events import Event, OnEvent
from mmm_graph.runtime.values import num_bytes


class Watch:
    """One for each rank of a run.

    Attributes:
        live: bytes held by values; `peak` the most there were. A tensor that two values share counts twice.
    """

    def __init__(self, emit: OnEvent) -> None:
        self.emit, self.live, self.peak = emit, 0, 0
        self._began = perf_counter()
        self._sizes: dict[Value, int] = {}

    def now(self) -> float:
        """Seconds since the run began."""
        return perf_counter() - self._began

    def start(self, at: At) -> None:
        self.emit(Event("node_start", at.request, at.node, at.step[-1] if at.step else 0, time_s=self.now()))

    def end(self, at: At, seconds: float) -> None:
        self.emit(Event("node_end", at.request, at.node, at.step[-1] if at.step else 0, time_s=seconds))

    def made(self, values: Iterable[tuple[Value, Any]]) -> None:
        """Values have come; their memory is reported."""
        before = self.live
        for name, value in values:
            size = num_bytes(value)
            self.live += size - self._sizes.get(name, 0)
            self._sizes[name] = size
        self.peak = max(self.peak, self.live)
        if self.live != before:
            self._memory(name.request)

    def freed(self, values: Iterable[Value]) -> None:
        """Values have gone."""
        for name in values:
            self.live -= self._sizes.pop(name, 0)

    def _memory(self, request: str) -> None:
        data = {"bytes": self.live, "peak": self.peak}
        self.emit(Event("memory", request, "", data=data, time_s=self.now()))

    def turn(self, fn: Fn) -> Bound:
        """("turn", path, total): a turn of a loop is over."""
        path, total = str(fn[1]), int(str(fn[2]))

        def run(args: Values, at: At) -> Values:
            self.emit(Event("loop_step", at.request, path, at.step[-1] + 1, total, time_s=self.now()))
            return {}

        return Bound(run)

    def preview(self, fn: Fn) -> Bound:
        """("preview", path, every): the value after every so many turns."""
        path, every = str(fn[1]), int(str(fn[2]))

        def run(args: Values, at: At) -> Values:
            if (at.step[-1] + 1) % every == 0:
                self.emit(Event("preview", at.request, path, at.step[-1] + 1, 0, args["x"], self.now()))
            return {}

        return Bound(run)

    def stream(self, fn: Fn) -> Bound:
        """("stream", path, port): what a turn adds to a collected value."""
        path, port = str(fn[1]), str(fn[2])

        def run(args: Values, at: At) -> Values:
            self.emit(
                Event("stream", at.request, f"{path}.{port}", at.step[-1] + 1, 0, args["x"], self.now())
            )
            return {}

        return Bound(run)
