"""Events of training -> metrics.csv, TensorBoard and a progress bar. Each log is called with events."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mmm_graph.errors import InputError, problem
from mmm_graph.train.events import TrainEvent
from mmm_graph.train.files import naming, replacing

COLUMNS = (
    *("stage", "step", "epoch", "lr", "loss", "grad_norm"),
    *("samples_per_s", "tokens_per_s", "memory_gb", "seconds"),
)
WIDE = 120
"""Columns of a terminal on which every loss term is shown."""
EXTRA = 'pip install "mmm_graph[train]"'

Row = Mapping[str, Any]


class Log(Protocol):
    """Takes events; `close` is called once, at the end, whatever happened."""

    def __call__(self, event: TrainEvent) -> None: ...

    def close(self) -> None: ...


class CsvLog:
    """`metrics.csv`: a row per log interval and per evaluation, all stages in one file, written as they come.

    Args:
        path: the file; rows that `keep` wants stay in it, the others go.
        columns: beside COLUMNS: `loss.TERM` and `eval.NAME.METRIC`.
        keep: stage -> last step whose rows stay; rows of stages that are not named stay.
    """

    def __init__(self, path: Path, columns: Sequence[str], keep: Mapping[str, int]) -> None:
        self._path = path
        old = read_rows(path)
        rows = [r for r in old if int(r["step"]) <= keep.get(r["stage"], int(r["step"]))]
        names = dict.fromkeys([*COLUMNS, *(old[0] if old else ()), *columns])
        with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(names), restval="")
            writer.writeheader()
            writer.writerows(rows)
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, list(names), restval="")

    def __call__(self, event: TrainEvent) -> None:
        if event.kind == "step" or event.kind == "eval":
            with naming(self._path):
                self._writer.writerow({"stage": event.stage, "step": event.step, **event.data})
                self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a metrics.csv; none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class TensorBoardLog:
    """Scalars under OUT/tensorboard/STAGE.

    Raises:
        InputError: E840, tensorboard is not installed.
    """

    def __init__(self, folder: Path, keep: Mapping[str, int]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(
                problem("E840", f"TensorBoard was asked for, but {error}", hint=EXTRA)
            ) from error
        self._make = SummaryWriter
        self._folder = folder
        self._keep = keep
        self._writers: dict[str, Any] = {}

    def __call__(self, event: TrainEvent) -> None:
        if event.kind not in ("step", "eval", "samples"):
            return
        writer = self._writers.get(event.stage)
        if writer is None:
            purge = self._keep.get(event.stage)
            writer = self._make(
                str(self._folder / event.stage), purge_step=None if purge is None else purge + 1
            )
            self._writers[event.stage] = writer
        if event.kind == "samples":
            _add_pictures(writer, event)
            return
        for name, value in event.data.items():
            if isinstance(value, int | float) and name not in ("step", "seconds"):
                writer.add_scalar(name.replace(".", "/"), value, event.step)

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


def _add_pictures(writer: Any, event: TrainEvent) -> None:
    """Samples that are pictures, of several the one that shows all."""
    from PIL import Image

    readable = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    files: Mapping[str, Sequence[str]] = event.data["files"]
    for name, paths in files.items():
        if f"grid-{name}" in files or Path(paths[0]).suffix.lower() not in readable:
            continue
        with Image.open(paths[0]) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        writer.add_image(f"samples/{name.removeprefix('grid-')}", pixels, event.step, dataformats="HWC")


class ProgressLog:
    """A bar for each stage with loss terms, samples/s and the time left; other events stand above it."""

    def __init__(self, console: Console | None = None) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(elapsed_when_finished=False),
        )
        console = console or Console(stderr=True)
        self._progress = Progress(*columns, console=console)
        self._terms = console.width >= WIDE
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, event: TrainEvent) -> None:
        task = self._tasks.get(event.stage)
        if event.kind == "stage_start":
            self._progress.start()
            self._tasks[event.stage] = self._progress.add_task(event.stage, total=event.total, text="")
            self._progress.update(self._tasks[event.stage], completed=event.step)
            self._print(event)
        elif event.kind == "step" and task is not None:
            self._progress.update(task, completed=event.step, text=step_text(event.data, terms=self._terms))
        elif event.kind in ("eval", "samples", "warning", "save", "stage_end", "stage_skip"):
            self._print(event)

    def _print(self, event: TrainEvent) -> None:
        self._progress.console.print(event_text(event), markup=False, highlight=False)

    def close(self) -> None:
        self._progress.stop()


def step_text(row: Row, *, terms: bool = True) -> str:
    """`loss 0.123 (l1 0.1, kl 2), 31.0% supervised 812 samples/s 9000 tokens/s 1.20 GB`.

    The bracket stands where there are several terms.

    Args:
        terms: there is room for them, and for the memory.
    """
    named = [f"{k[5:]} {v:.4g}" for k, v in row.items() if k.startswith("loss.")]
    bracket = f" ({', '.join(named)})" if terms and len(named) > 1 else ""
    shares = [f", {v:.1%} supervised" for k, v in row.items() if k.startswith("supervised.")]
    speed = f"{row['samples_per_s']:.0f} samples/s"
    speed += f" {row['tokens_per_s']:.0f} tokens/s" if "tokens_per_s" in row else ""
    speed += f" {row['memory_gb']:.2f} GB" if terms and "memory_gb" in row else ""
    return f"loss {row['loss']:.4g}{bracket}{''.join(shares)} {speed}"


def event_text(event: TrainEvent) -> str:
    """One line for a terminal."""
    data = event.data
    if event.kind == "stage_start":
        start = ", ".join(f"{model} from {source}" for model, source in data["start"].items())
        return f"{event.stage}: {data['samples']} samples, {data['weights']} trained weights; {start}"
    if event.kind == "eval":
        return f"{event.stage} step {event.step}: " + ", ".join(f"{k} {v:.5g}" for k, v in data.items())
    if event.kind == "stage_skip":
        return f"{event.stage}: finished before, after {event.step} steps"
    if event.kind == "stage_end":
        return f"{event.stage}: done after {data['seconds']:.0f} s, loss {data['loss']:.4g}"
    return f"{event.stage} step {event.step}: " + str(data.get("message") or f"saved {data.get('path')}")
