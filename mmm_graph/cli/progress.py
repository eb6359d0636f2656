"""Run events -> progress bars with ETA on a terminal, or JSON lines."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mmm_graph.api.save import printable
from mmm_graph.cli.app import emit
from mmm_graph.runtime.events import Event

WITH_DATA = ("memory", "stream")
"""Events whose data are small; outputs are in the final record, previews in files."""


class RunProgress:
    """A bar for every loop that is turning. Silent when stderr is no terminal, unless events are asked for."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        console = Console(stderr=True)
        shown = console.is_terminal and not as_json and sys.stderr.isatty()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=console, disable=not shown, transient=True)
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __enter__(self) -> RunProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if self._json:
            self._emit(event)
        elif event.kind == "loop_step":
            key = (event.request, event.node)
            if key not in self._tasks:
                self._tasks[key] = self._bars.add_task(event.node, total=event.total or None)
            self._bars.update(self._tasks[key], completed=event.step)

    def _emit(self, event: Event) -> None:
        fields = {"request": event.request, "node": event.node, "step": event.step, "total": event.total}
        data = {"data": printable(event.data)} if event.kind in WITH_DATA else {}
        emit(event.kind, **fields, time_s=round(event.time_s, 6), **data)
