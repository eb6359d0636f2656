"""Listeners of training and evaluation for the command line; each is a context manager."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mmm_graph.cli.app import emit
from mmm_graph.train.events import OnEvent, TrainEvent
from mmm_graph.train.log import ProgressLog


class JsonEvents(AbstractContextManager[OnEvent]):
    """Every event as a line of JSON."""

    def __enter__(self) -> OnEvent:
        return lambda event: emit(
            event.kind, stage=event.stage, step=event.step, total=event.total, **dict(event.data)
        )

    def __exit__(self, *error: object) -> None:
        return None


def train_progress() -> AbstractContextManager[OnEvent]:
    """A bar for each stage."""
    return closing(ProgressLog())


class EvalProgress(AbstractContextManager[OnEvent]):
    """A bar over the batches of each evaluation, on a terminal only."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> OnEvent:
        self._bars.start()
        return self._show

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def _show(self, event: TrainEvent) -> None:
        if event.kind != "eval_step":
            return
        if event.stage not in self._tasks:
            self._tasks[event.stage] = self._bars.add_task(event.stage, total=event.total)
        self._bars.update(self._tasks[event.stage], completed=event.step)
